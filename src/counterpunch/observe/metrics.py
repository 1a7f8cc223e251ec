"""``metrics()``: the counters of this process in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..core.port import current
from ..core.values.counts import BOUNDS, Counts, Times
from .health import health
from .queries import stats

__all__ = ["CONTENT_TYPE", "metrics"]

#: What a page that serves ``metrics()`` says it is.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, dict[str, str], float]

LIVE = ("deferred", "scheduled", "queued", "running", "retrying")
ENDED = ("succeeded", "failed", "cancelled", "discarded", "lost")


def metrics() -> str:
    """The state of this process as Prometheus text, version 0.0.4.

    All names begin with ``counterpunch_``, all times are seconds, and the label ``job_class`` is
    the class's name as in ``stats()`` (``job`` is Prometheus's own word for what it scrapes).
    Several server processes behind one port answer each for itself; ``/metrics`` of a dashboard
    with ``processes=True`` has all of them, each in a label ``process``.

    Counters and histograms only rise. They start at zero in a new process, in a forked one,
    and with the first enqueue after a ``shutdown()``: the one kind of fall that ``rate()``
    and ``increase()`` expect. ``counterpunch_start_time_seconds`` says when that was.
    """
    snapshot = stats()
    families = [
        _family("healthy", "gauge", "1 if health() is ok.", [("", {}, int(health().ok))]),
        _family(
            "start_time_seconds",
            "gauge",
            "When the counters began at zero, in seconds since the epoch.",
            [("", {}, current().since)],
        ),
        _family("threads", "gauge", "Threads of this library.", [("", {}, snapshot.total.threads)]),
    ]
    for name, kind, text, samples in _FAMILIES:
        rows = [
            (suffix, {"job_class": job, **labels}, value)
            for job, counts in snapshot.jobs.items()
            for suffix, labels, value in samples(counts)
        ]
        families.append(_family(name, kind, text, rows))
    return "".join(families)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    full = f"counterpunch_{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    for suffix, labels, value in samples:
        shown = ",".join(f'{label}="{_escape(value)}"' for label, value in labels.items())
        lines.append(f"{full}{suffix}{f'{{{shown}}}' if shown else ''} {value!r}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _one(field: str) -> Callable[[Counts], Iterator[Sample]]:
    def samples(counts: Counts) -> Iterator[Sample]:
        yield "", {}, getattr(counts, field)

    return samples


def _by_status(names: tuple[str, ...]) -> Callable[[Counts], Iterator[Sample]]:
    def samples(counts: Counts) -> Iterator[Sample]:
        for status in names:
            yield "", {"status": status}, getattr(counts, status)

    return samples


def _discards(counts: Counts) -> Iterator[Sample]:
    for reason, value in counts.discards._asdict().items():
        yield "", {"reason": reason}, value


def _workers(counts: Counts) -> Iterator[Sample]:
    yield "", {"state": "busy"}, counts.workers.busy
    yield "", {"state": "idle"}, counts.workers.idle


def _histogram(field: str) -> Callable[[Counts], Iterator[Sample]]:
    def samples(counts: Counts) -> Iterator[Sample]:
        times: Times = getattr(counts, field)
        below = 0
        for bound, count in zip((*BOUNDS, None), times.buckets, strict=True):
            below += count
            yield "_bucket", {"le": "+Inf" if bound is None else f"{bound:g}"}, below
        yield "_sum", {}, times.sum
        yield "_count", {}, below

    return samples


_FAMILIES: tuple[tuple[str, str, str, Callable[[Counts], Iterator[Sample]]], ...] = (
    ("jobs_accepted_total", "counter", "Jobs accepted.", _one("accepted")),
    ("jobs_ended_total", "counter", "Jobs that have ended, by how.", _by_status(ENDED)),
    ("jobs", "gauge", "Jobs that have not ended, by where they are.", _by_status(LIVE)),
    ("attempts_total", "counter", "Attempts started.", _one("attempts")),
    ("retries_total", "counter", "Failed attempts that another was to follow.", _one("retries")),
    ("discards_total", "counter", "Jobs discarded, by reason.", _discards),
    ("workers", "gauge", "Workers, by what they do.", _workers),
    (
        "oldest_wait_seconds",
        "gauge",
        "Age of the job queued longest, 0 if none is.",
        _one("oldest_wait"),
    ),
    (
        "wait_seconds",
        "histogram",
        "From due to started, of each attempt that has ended.",
        _histogram("wait_times"),
    ),
    (
        "run_seconds",
        "histogram",
        "From started to ended, of each attempt.",
        _histogram("run_times"),
    ),
)
