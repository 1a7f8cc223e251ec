"""What every backend does alike: threads, the test modes, Celery, RQ and Dramatiq.

The same tests for all; what a backend cannot do is expected to be refused by name. Engines
run on a real Redis server, with their own worker command in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conformance import beside, only, waiting
from conformance import jobs as jobs
from conformance import key as key
from engine_places import ENGINES, Place
from engine_processes import APPS, Ledger, eventually

import counterpunch
from counterpunch import (
    Batch,
    CounterpunchError,
    Discard,
    Discarded,
    InvalidOption,
    NotSupported,
    RemoteError,
    Retry,
    Status,
    testing,
)
from counterpunch.backends.protocol import Backend

pytestmark = pytest.mark.timeout(90)


def test_it_answers_the_protocol(place: Place) -> None:
    """Threads, test modes and engines are the same kind of thing to the core."""
    assert isinstance(place.backend, Backend)
    assert place.can.survives_exit is place.remote


def test_a_job_runs_and_its_handle_tells(place: Place, jobs: Any) -> None:
    """Status, times, attempt, arguments and result, on the same handle everywhere."""
    handle = place.run(lambda: jobs.Add.perform_async(2, two=3))
    assert handle.result(30) == 5
    assert handle.status is Status.SUCCEEDED
    assert (handle.done(), handle.running(), handle.cancelled()) == (True, False, False)
    assert (handle.args, handle.kwargs, handle.attempt) == ((2,), {"two": 3}, 1)
    assert handle.job is jobs.Add
    assert handle.error is None
    assert handle.exception(0) is None
    assert handle.started_at is not None
    assert handle.finished_at is not None
    assert handle.enqueued_at <= handle.started_at <= handle.finished_at
    assert handle.as_dict()["status"] == "succeeded"


def test_found_by_its_id(place: Place, jobs: Any) -> None:
    """``counterpunch.find`` and the backend's own; unknown ids are None."""
    handle = place.run(lambda: jobs.Add.perform_async(1, two=1))
    for found in (counterpunch.find(handle.id), place.backend.find(handle.id)):
        assert found is not None
        assert (found.id, found.job, found.status) == (handle.id, jobs.Add, Status.SUCCEEDED)
        assert (found.args, found.kwargs, found.result(0)) == ((1,), {"two": 1}, 2)
    assert counterpunch.find(handle.id + "beef") is None
    assert counterpunch.find("nothing") is None


@only(*ENGINES)
def test_found_from_another_process(place: Place, jobs: Any, redis: Any) -> None:
    """An engine's job by its id alone, in a process that has not enqueued it."""
    handle = place.run(lambda: jobs.Raises.perform_async("far away"))
    script = (
        "import sys, counterpunch\n"
        "from engine_site import backend\n"
        "handle = counterpunch.find(sys.argv[1])\n"
        "print(handle.status, handle.args, repr(handle.exception(5)))\n"
    )
    source = Path(counterpunch.__file__).parents[1]
    environ = {
        **os.environ,
        "PYTHONPATH": f"{source}{os.pathsep}{APPS}",
        "ENGINE": place.name,
        "ENGINE_REDIS": redis.url,
    }
    done = subprocess.run(
        [sys.executable, "-c", script, handle.id],
        env=environ,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    wanted = "failed ('far away',) ArithmeticError('far away', Decimal('1.5'))"
    assert done.stdout.strip() == wanted, done.stderr


def test_arguments_come_out_as_they_went_in(place: Place, jobs: Any) -> None:
    """Everything that the encoding knows, and the values that look like it."""
    args = (
        None, True, 1 << 70, 0.1, "ü\x00", [1, [2]], (1, (2,)), {"a": {"b": []}},
        {"$": "datetime", "v": "no"}, datetime(2026, 1, 2, 3, 4, 5, 6),
        datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")), date(2026, 1, 2),
        clock_time(1, 2, 3), timedelta(days=-1, microseconds=1), Decimal("1.10"),
        uuid.UUID(int=7), b"\x00\xff",
    )  # fmt: skip
    handle = place.run(lambda: jobs.Echo.perform_async(*args, when=args[9]))
    back = handle.result(30)
    assert back == [list(args), {"when": args[9]}]
    assert [type(value) for value in back[0]] == [type(value) for value in args]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "object is no JSON value"),
        ({1: 2}, "its key 1 is no str"),
        (float("nan"), "NaN"),
        ([{"deep": {3}}], r"args\[0\]\[0\]\['deep'\]"),
        (Status.FAILED, "Status is no JSON value"),
        pytest.param(1 << 20_000, "too long", id="long"),
        (clock_time(1, tzinfo=ZoneInfo("Europe/Berlin")), "its zone has no offset"),
    ],
)
def test_arguments_that_cannot_travel(place: Place, jobs: Any, value: Any, why: str) -> None:
    """Refused at the call with class and argument, or passed by reference."""
    if place.can.any_argument:
        assert place.run(lambda: jobs.Echo.perform_async(value)).result(30)[0][0] is value
        return
    with pytest.raises(TypeError, match=f"Echo was not enqueued on {place.name}.*{why}"):
        jobs.Echo.perform_async(value)
    with pytest.raises(TypeError, match=r"name="):
        jobs.Echo.perform_async(name=object())


def test_arguments_that_do_not_fit(place: Place, jobs: Any) -> None:
    """The TypeError is raised at the call, as in threads."""
    with pytest.raises(TypeError, match=r"Add\.perform"):
        jobs.Add.perform_async()


@pytest.mark.parametrize("how", ["in", "at", "using"])
def test_a_delay(place: Place, jobs: Any, key: str, ledger: Ledger, how: str) -> None:
    """A delayed job is scheduled, and never starts early."""
    before, delay = time.time(), place.moment * 1.2
    ways = {
        "in": lambda: jobs.Noted.perform_in(delay, key),
        "at": lambda: jobs.Noted.perform_at(datetime.now(timezone.utc) + timedelta(0, delay), key),
        "using": lambda: jobs.Noted.using(delay=delay).perform_async(key),
    }
    handle = place.enqueue(ways[how])
    if place.name != "inline":  # which waits for nothing
        status = handle.status
        assert status is Status.SCHEDULED or time.time() - before >= delay  # a busy machine
        assert handle.run_at - handle.enqueued_at > timedelta(seconds=0.9 * delay)
    place.end(handle)
    ((_, _, ran),) = ledger.lines(key)
    if place.name not in ("inline", "fake"):
        assert ran >= before + delay


def test_retries_and_hooks(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """Two failures and a success: each hook in its turn, by our policy's waits."""
    handle = place.run(lambda: jobs.Hooked.perform_async(key, 2))
    assert (handle.result(30), handle.attempt, handle.status) == (3, 3, Status.SUCCEEDED)
    failed = ["enter", "before", "perform-{}-" + handle.id, "on_error", "after"]
    last = ["enter", "before", "perform-3-" + handle.id, "leave", "on_success-3", "after"]
    first, second = ([word.format(n) for word in failed] for n in (1, 2))
    assert ledger.words(key) == ["on_enqueue", *first, *second, *last]
    starts = [at for word, _, at in ledger.lines(key) if word.startswith("perform")]
    if place.name not in ("inline", "fake"):
        wait = jobs.Hooked.retry.wait
        assert starts[1] - starts[0] >= wait
        assert starts[2] - starts[1] >= 2 * wait
    error = handle.error
    assert error is not None
    assert "attempt 2" in error


def test_given_up(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """After ``max_attempts`` it has failed: once, with the job's own exception."""
    handle = place.run(lambda: jobs.Hooked.perform_async(key, 9))
    with pytest.raises(OSError, match="attempt 3") as caught:
        handle.result(30)
    assert caught.value.errno == 5
    assert (handle.status, handle.attempt) == (Status.FAILED, 3)
    words = ledger.words(key)
    assert (words.count("on_error"), words.count("on_failure"), words.count("after")) == (3, 1, 3)
    error = handle.error
    assert error is not None
    assert "Traceback" in error
    assert error.strip().endswith("OSError: [Errno 5] attempt 3")


def test_a_policy_for_one_call(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """``using(retry=...)`` travels by its values, exception classes by their path."""
    policy = Retry(2, on=(OSError,), wait=0.0, jitter=0)
    handle = place.run(lambda: jobs.Hooked.using(retry=policy).perform_async(key, 9))
    assert (handle.status, handle.attempt) == (Status.FAILED, 2)
    key += "-none"
    handle = place.run(lambda: jobs.Hooked.using(retry=None).perform_async(key, 9))
    assert (handle.status, handle.attempt) == (Status.FAILED, 1)
    if place.remote:
        with pytest.raises(InvalidOption, match="without a delay function"):
            jobs.Hooked.using(retry=Retry(delay=lambda attempt, exc: 1.0)).perform_async(key)
        local = type("Local", (Exception,), {})
        with pytest.raises(InvalidOption, match=r"discard_on=.*imported by their path"):
            jobs.Hooked.using(discard_on=(local,)).perform_async(key)


def test_an_exception_that_cannot_be_made_again(place: Place, jobs: Any) -> None:
    """It comes as a ``RemoteError`` with its text; in this process it is the very one."""
    for what, text in (("awkward", "7: so"), ("exit", "SystemExit")):
        handle = place.run(lambda what=what: jobs.Raises.perform_async(what))
        exc = handle.exception(30)
        assert handle.status is Status.FAILED
        if place.remote and what == "awkward":
            assert isinstance(exc, RemoteError)
        assert text in repr(exc) + str(exc)


@pytest.mark.parametrize("what", ["discard", "key"])
def test_discarded(place: Place, jobs: Any, what: str) -> None:
    """``Discard`` and ``discard_on`` end a job quietly."""
    handle = place.run(lambda: jobs.Raises.perform_async(what))
    assert handle.status is Status.DISCARDED
    with pytest.raises(Discarded, match=r"wanted|gone"):
        handle.result(30)


@beside
def test_too_late(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """``expires_in`` counts from the due time to the start, wherever that is."""
    handle = place.run(lambda: jobs.Noted.using(expires_in=1e-9).perform_async(key))
    assert handle.status is Status.DISCARDED
    assert "expires_in" in str(handle.error)
    assert ledger.lines(key) == []


def test_a_coroutine(place: Place, jobs: Any) -> None:
    """``async def perform``; ``current_job()`` is the job's handle there, too."""
    assert place.run(lambda: jobs.Coroutine.perform_async(21)).result(30) == 42


@beside
def test_jobs_are_kept_apart(place: Place, jobs: Any, key: str) -> None:
    """Each has its own context and handle, beside others on the same worker too. An engine's job
    starts with no context variable of anybody's."""
    slots = 1 if place.name == "rq" else 2
    at_once = [jobs.Meets.perform_async(key, f"{n}", slots - 1) for n in range(slots)]
    for n, handle in enumerate(at_once):
        assert place.end(handle).result(30) == ["nobody's", f"{n}", f"{n}"]


def test_a_function(place: Place, jobs: Any) -> None:
    """One decorated with ``@job`` is known by its path as well."""
    assert place.run(lambda: jobs.shout.perform_async("hey")).result(30) == "HEY"


def test_many(place: Place, jobs: Any) -> None:
    """``perform_bulk``: every job gets a handle of its own."""
    handles = jobs.Add.perform_bulk([(n, 1) for n in range(5)])
    assert [place.end(handle).result(30) for handle in handles] == [1, 2, 3, 4, 5]
    assert len({handle.id for handle in handles}) == 5


def test_progress_and_data(place: Place, jobs: Any) -> None:
    """What the job last said of itself is there after its end."""
    handle = place.run(jobs.Reports.perform_async)
    assert handle.progress == (4, 4, "")
    assert handle.data == {"step": "two", "amount": Decimal("2.5")}


@beside
def test_progress_of_a_running_job(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """It is seen while the job runs."""
    handle = jobs.Stands.perform_async(key)
    try:
        eventually(lambda: (handle.progress or (0,))[0], "progress")
        assert handle.status is Status.RUNNING
        assert handle.running()
        assert handle.progress is not None
        assert handle.progress[1:] == (1000, "standing")
    finally:
        ledger.write(key, "go")
    assert handle.result(30) == "went on"


def test_a_value_that_cannot_be_stored(place: Place, jobs: Any) -> None:
    """The job has succeeded all the same; asking for the value says why there is none."""
    handle = place.run(jobs.Unstorable.perform_async)
    assert handle.status is Status.SUCCEEDED
    if place.can.any_argument:
        assert hasattr(handle.result(30), "acquire")
    else:
        with pytest.raises(CounterpunchError, match=r"cannot be stored: .*lock is no JSON"):
            handle.result(30)


def test_perform_now_runs_here(place: Place, jobs: Any, key: str) -> None:
    """Always in the calling process."""
    assert jobs.Noted.perform_now(key) == os.getpid()


def test_where_it_runs(place: Place, jobs: Any, key: str) -> None:
    """An engine's jobs run in its worker, all others here."""
    assert (place.run(lambda: jobs.Noted.perform_async(key)).result(30) == os.getpid()) is (
        not place.remote
    )


def test_middleware_refuses(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """``Discard`` in ``around_enqueue`` ends the job before it is anywhere."""

    def refuse(handle: Any) -> Any:
        raise Discard("not today")

    remove = counterpunch.around_enqueue(refuse)
    try:
        handle = place.enqueue(lambda: jobs.Noted.perform_async(key))
    finally:
        remove()
    assert handle.status is Status.DISCARDED
    assert handle.error == "not today"
    counts = jobs.Noted.stats()
    assert (counts.accepted, counts.discarded) == (1, 1)
    assert ledger.lines(key) == []


def test_middleware_changes_options(place: Place, jobs: Any, key: str) -> None:
    """What it sets counts, and is looked at as if the caller had written it."""
    from contextlib import contextmanager

    @contextmanager
    def once(handle: Any) -> Any:
        handle.options["retry"] = None
        yield

    remove = counterpunch.around_enqueue(once)
    try:
        handle = place.run(lambda: jobs.Hooked.perform_async(key, 9))
    finally:
        remove()
    assert (handle.status, handle.attempt) == (Status.FAILED, 1)


@pytest.mark.parametrize(
    ("name", "flag", "option"),
    [
        ("Unique", "supports_unique", "unique='active'"),
        ("Rated", "supports_rate", "rate=Rate"),
        ("Serial", "supports_serial", "workers=1"),
        ("Bounded", "supports_bounds", "max_jobs=10"),
        ("Overflowing", "supports_bounds", "overflow='discard'"),
        ("Pooled", "supports_pool", "pool='mail'"),
        ("Urgent", "supports_priority", "priority=5"),
    ],
)
def test_options_of_a_class(place: Place, jobs: Any, name: str, flag: str, option: str) -> None:
    """Kept where they can be, refused by name at the enqueue where not."""
    counterpunch.configure(pools={"mail": 1})
    job = getattr(jobs, name)
    if getattr(place.can, flag):
        assert place.run(lambda: job.perform_async(1, 1)).result(30) == 2
    else:
        with pytest.raises(InvalidOption, match=rf"{name}: {option}.*on {place.name}: "):
            job.perform_async(1, 1)


def test_options_of_a_call(place: Place, jobs: Any) -> None:
    """The same for ``using(...)``."""
    counterpunch.configure(pools={"mail": 1})
    for options, flag in (
        ({"priority": 3}, "supports_priority"),
        ({"pool": "mail"}, "supports_pool"),
        ({"tags": ("a",), "timeout": 9.0, "expires_in": 60.0}, "supports_defer"),
    ):
        call = jobs.Add.using(**options)
        if getattr(place.can, flag):
            handle = place.run(lambda call=call: call.perform_async(1, 1))
            assert handle.result(30) == 2
            assert handle.tags == frozenset(options.get("tags", ()))
        else:
            with pytest.raises(InvalidOption, match=f"on {place.name}: "):
                call.perform_async(1, 1)


def test_a_batch(place: Place, jobs: Any) -> None:
    """Counts its members in this process, so an engine's job cannot be one."""
    batch = Batch()
    with batch:
        if place.can.supports_batch:
            handle = place.enqueue(lambda: jobs.Add.perform_async(1))
        else:
            with pytest.raises(NotSupported, match=f"runs on {place.name}"):
                jobs.Add.perform_async(1)
            return
    place.end(handle)
    assert batch.progress == (1, 1)


def test_the_class_as_a_whole(place: Place, jobs: Any) -> None:
    """``pause`` and the like reach this process's jobs; they do not pretend to more."""
    calls = (jobs.Add.pause, jobs.Add.resume, jobs.Add.cancel_all)
    for call in calls:
        if place.can.supports_pause:
            call()
        else:
            with pytest.raises(NotSupported, match=f"Add runs on {place.name}"):
                call()
    for call in (jobs.Unique.in_progress, jobs.Unique.status, jobs.Unique.latest):
        if place.can.supports_identity:
            assert not call(7)
        else:
            with pytest.raises(NotSupported, match=f"Unique runs on {place.name}"):
                call(7)


def test_a_class_of_its_own_place(place: Place, jobs: Any, key: str) -> None:
    """``backend = "threads"`` on a class wins over ``configure``; the test modes stay in front."""
    handle = place.enqueue(lambda: jobs.Child.perform_async(key))
    assert not handle.id.startswith(f"{place.name}-")
    place.end(handle)
    if not place.remote:
        return
    with testing.inline():
        assert jobs.Noted.perform_async(key).result(0) == os.getpid()
    with testing.fake() as fake:
        jobs.Add.perform_async(1)
        fake.assert_enqueued(jobs.Add, args=(1,))
        assert fake.drain() == 1
    counterpunch.configure(backend=None)
    assert jobs.Noted.perform_async(key).result(30) == os.getpid()
    heavy = type("Heavy", (jobs.Noted,), {"backend": place.backend, "__module__": jobs.__name__})
    jobs.Heavy = heavy
    try:
        with pytest.raises(CounterpunchError, match="name leads to something else"):
            type("Heavy", (jobs.Noted,), {**vars(heavy)}).perform_async(key)
        handle = heavy.perform_async(key)  # the worker has no such class
        with pytest.raises(AttributeError, match="Heavy"):
            handle.result(30)
        assert handle.status is Status.FAILED
    finally:
        del jobs.Heavy


def test_a_class_that_no_worker_can_import(place: Place) -> None:
    """Refused at the call, with the reason; elsewhere it runs."""

    class Local(counterpunch.Job):
        def perform(self) -> int:
            return 1

    if place.remote:
        with pytest.raises(CounterpunchError, match=r"Local.*defined inside a function"):
            Local.perform_async()
        Local.__qualname__, Local.__module__ = "Local", "__main__"
        with pytest.raises(CounterpunchError, match=r"Local.*__main__"):
            Local.perform_async()
    else:
        assert place.run(Local.perform_async).result(30) == 1


@only("threads", "inline", *ENGINES)
def test_what_a_job_enqueues_into_threads(
    place: Place, jobs: Any, key: str, ledger: Ledger
) -> None:
    """Runs in the process the job runs in, which waits for it before it leaves."""
    place.run(lambda: jobs.Parent.perform_async(key))
    eventually(lambda: ledger.words(key) == ["child"], "the child's line")


@waiting
def test_after_commit(place: Place, jobs: Any, key: str, ledger: Ledger) -> None:
    """Sent once the transaction has committed, dropped with it, cancelled before it ends."""

    class Transaction:
        def defer(self, commit: Any, rollback: Any) -> bool:
            self.commit, self.rollback = commit, rollback
            return True

    transaction = Transaction()
    enqueue = jobs.Noted.using(after_commit=transaction).perform_async
    handle = enqueue(key)
    assert handle.status is Status.DEFERRED
    transaction.commit()
    place.end(handle)
    assert handle.status is Status.SUCCEEDED
    assert len(ledger.lines(key)) == 1
    handle = enqueue(key)
    transaction.rollback()
    assert handle.status is Status.DISCARDED
    handle = enqueue(key)
    assert handle.cancel() is True
    transaction.commit()
    assert handle.status is Status.CANCELLED
    assert len(ledger.lines(key)) == 1


def test_stats_count_what_runs_here(place: Place, jobs: Any) -> None:
    """An engine's jobs are counted where they run, not where they are enqueued."""
    place.run(lambda: jobs.Add.perform_async(1))
    counts = jobs.Add.stats()
    assert (counts.accepted, counts.succeeded) == ((0, 0) if place.remote else (1, 1))
