"""metrics(): text that Prometheus reads, with the numbers of stats() in it."""

from __future__ import annotations

import logging
import os
import re
import threading
import time

import pytest

import counterpunch
from counterpunch import Discard, Job, Retry

SOON = 10.0  # seconds

LINE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})?'
    r" (?P<value>-?[0-9.]+(?:e[+-]?[0-9]+)?)"
)
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """A strict reader of the format: {name: (type, {labels: value})}; asserts on anything odd."""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, help_text = line.split(" ", 3)
            assert help_text
            assert name not in families, "a family comes once"
            current = name
            families[name] = [None, {}]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
            families[name][0] = kind
        else:
            match = LINE.fullmatch(line)
            assert match, line
            base = re.sub(r"_(bucket|sum|count)$", "", match["name"])
            family = match["name"] if match["name"] == current else base
            assert family == current, "samples follow their own family's head"
            labels = frozenset(LABEL.findall(match["labels"] or ""))
            key = (match["name"], labels)
            assert key not in families[family][1], "no sample twice"
            families[family][1][key] = float(match["value"])
    return families


def value(families, name, **labels):
    family = re.sub(r"_(bucket|sum|count)$", "", name)
    samples = (families.get(name) or families[family])[1]
    return samples[(name, frozenset(labels.items()))]


class Metered(Job):
    retry = Retry(max_attempts=2, on=(OSError,), wait=0, jitter=0)

    def perform(self, how: str) -> None:
        if how == "discard":
            raise Discard("not today")
        if how == "fail" or (how == "once" and self.attempt == 1):
            raise OSError(how)


@pytest.fixture(autouse=True)
def quiet_log():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


def test_the_numbers_are_those_of_the_jobs():
    """Accepted, ended by status, attempts, retries, discards by reason."""
    for how in ("ok", "ok", "once", "fail", "discard"):
        Metered.perform_async(how)
    assert counterpunch.wait_idle(SOON, scheduled=True)
    found = parse(counterpunch.metrics())
    job = "Metered"
    assert value(found, "counterpunch_jobs_accepted_total", job_class=job) == 5
    assert value(found, "counterpunch_jobs_ended_total", job_class=job, status="succeeded") == 3
    assert value(found, "counterpunch_jobs_ended_total", job_class=job, status="failed") == 1
    assert value(found, "counterpunch_jobs_ended_total", job_class=job, status="discarded") == 1
    assert value(found, "counterpunch_attempts_total", job_class=job) == 7
    assert value(found, "counterpunch_retries_total", job_class=job) == 2
    assert value(found, "counterpunch_discards_total", job_class=job, reason="raised") == 1
    assert value(found, "counterpunch_discards_total", job_class=job, reason="expired") == 0
    assert value(found, "counterpunch_jobs", job_class=job, status="queued") == 0
    assert value(found, "counterpunch_healthy") == 1
    assert value(found, "counterpunch_threads") >= 1


def test_histograms_count_each_attempt_once_and_never_fall_with_the_bound():
    """Buckets are cumulative, the last one is +Inf and equals the count."""
    for how in ("ok", "once", "discard"):
        Metered.perform_async(how)
    assert counterpunch.wait_idle(SOON, scheduled=True)
    found = parse(counterpunch.metrics())
    for name in ("counterpunch_wait_seconds", "counterpunch_run_seconds"):
        kind, samples = found[name]
        assert kind == "histogram"
        buckets = [
            (float(dict(labels)["le"]), number)
            for (sample, labels), number in samples.items()
            if sample.endswith("_bucket")
        ]
        assert buckets == sorted(buckets)
        assert [number for _, number in buckets] == sorted(number for _, number in buckets)
        assert buckets[-1] == (float("inf"), 4)
        assert value(found, f"{name}_count", job_class="Metered") == 4
        assert value(found, f"{name}_sum", job_class="Metered") >= 0


def test_every_family_has_help_type_and_a_base_unit():
    """Counters end in _total, times in _seconds."""
    Metered.perform_async("ok").result(SOON)
    for name, (kind, samples) in parse(counterpunch.metrics()).items():
        assert kind in ("counter", "gauge", "histogram")
        assert samples
        assert name.endswith("_total") == (kind == "counter"), name
        assert name.endswith("_seconds") or kind != "histogram"


def test_a_hostile_class_name_is_escaped():
    """Quotes, backslashes and line ends in a label do not break the text."""
    name = 'Bad"\\\nName'
    bad = type(Job)(name, (Job,), {"perform": lambda self: None, "__qualname__": name})
    bad.perform_async().result(SOON)
    found = parse(counterpunch.metrics())
    label = 'Bad\\"\\\\\\nName'
    assert value(found, "counterpunch_jobs_accepted_total", job_class=label) == 1


def test_counters_only_rise_while_jobs_run():
    """Read again and again under load: no counter, bucket or sum ever falls."""
    counterpunch.start()
    Metered.perform_async("ok").result(SOON)  # the feeder may come to nothing before the end
    stop = threading.Event()

    def feed():
        while not stop.is_set():
            Metered.perform_bulk([("ok",), ("once",), ("discard",)])
            counterpunch.wait_idle(SOON)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        before = {}
        for _ in range(60):
            found = parse(counterpunch.metrics())
            now = {
                key: number
                for kind, samples in found.values()
                if kind != "gauge"
                for key, number in samples.items()
            }
            assert all(now[key] >= number for key, number in before.items())
            before = now
    finally:
        stop.set()
        feeder.join(SOON)
    assert sum(before.values()) > 0


def test_a_fall_of_the_counters_shows_as_a_new_start():
    """After a shutdown the next enqueue counts from one, and the start time has risen."""
    Metered.perform_async("ok").result(SOON)
    before = parse(counterpunch.metrics())
    started = value(before, "counterpunch_start_time_seconds")
    assert abs(started - time.time()) < 60
    counterpunch.shutdown(timeout=SOON)
    stopped = parse(counterpunch.metrics())
    assert (
        value(stopped, "counterpunch_jobs_ended_total", job_class="Metered", status="succeeded")
        == 1
    )
    assert value(stopped, "counterpunch_start_time_seconds") == started
    Metered.perform_async("ok").result(SOON)
    after = parse(counterpunch.metrics())
    assert value(after, "counterpunch_jobs_accepted_total", job_class="Metered") == 1
    assert value(after, "counterpunch_start_time_seconds") > started


def test_a_real_parser_reads_it():
    """The parser of the official client accepts every family, a hostile label included."""
    if not os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"):
        pytest.importorskip("prometheus_client.parser")
    from prometheus_client.parser import text_string_to_metric_families

    name = 'Bad"\\\n{}Name'
    bad = type(Job)(name, (Job,), {"perform": lambda self: None, "__qualname__": name})
    bad.perform_async().result(SOON)
    Metered.perform_async("once").result(SOON)
    text = counterpunch.metrics()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    for family in families.values():
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
    assert families["counterpunch_run_seconds"].type == "histogram"
    accepted = families["counterpunch_jobs_accepted"]
    assert accepted.type == "counter"
    assert {s.labels["job_class"] for s in accepted.samples} == {name, "Metered"}
    assert sum(len(f.samples) for f in families.values()) == len(
        [line for line in text.splitlines() if not line.startswith("#")]
    )
