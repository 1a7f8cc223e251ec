"""What the handle of an engine's job says; the encoding, and what an engine refuses."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from typing import Any

import pytest
from list_engine import ListEngine, deliver
from list_engine import engine as engine
from list_engine import jobs as jobs

import counterpunch
from counterpunch import (
    BackendError,
    CounterpunchError,
    InvalidOption,
    Job,
    Rate,
    RemoteError,
    Status,
)
from counterpunch.backends import _watch
from counterpunch.backends._bounded import Bounded
from counterpunch.backends._encoding import DEPTH, Unencodable, decode, encode, pack, unpack
from counterpunch.backends._rules import OPTIONS
from counterpunch.define.options import DEFAULTS

# What the handle says


def test_a_record_that_is_gone(engine: ListEngine, jobs: Any) -> None:
    """Expired or flushed: an error that says so, not a wait without end."""
    handle = jobs.Add.perform_async(1)
    engine.kept.clear()
    with pytest.raises(BackendError, match="does not know it any longer"):
        handle.result(5)
    assert counterpunch.find(handle.id) is None


def test_a_failure_calls_no_code_but_exceptions(engine: ListEngine, jobs: Any) -> None:
    """Whatever somebody has written into the store."""
    handle = jobs.Add.perform_async(1)
    record = engine.record(handle.id)
    for path in ("os:system", "builtins:print", "engine_jobs:Gone", "nowhere:Error", "x"):
        exception = {"path": path, "args": ["echo no"], "text": "made up"}
        over = {"status": "failed", "exception": exception}
        engine.kept[handle.id] = pack({**record, **over})
        found = engine.find(handle.id)
        assert found is not None
        with pytest.raises(RemoteError, match="made up"):
            found.result(0)


def test_one_look_for_a_page(engine: ListEngine, jobs: Any) -> None:
    """``as_dict`` asks the store once."""
    handle = jobs.Add.perform_async(1)
    read, reads = engine.read, itertools.count()

    def counted(key: str) -> str | None:
        next(reads)
        return read(key)

    engine.read = counted  # type: ignore[method-assign]
    assert handle.as_dict()["status"] == "queued"
    assert next(reads) == 1


def test_callbacks_survive_a_store_that_is_away(
    engine: ListEngine, jobs: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come once it answers again."""
    monkeypatch.setattr(_watch, "PAUSE", 0.01)
    caplog.set_level(logging.WARNING)
    handle = jobs.Add.perform_async(1)
    called = threading.Event()
    handle.add_done_callback(lambda over: called.set())
    read, failed = engine.read, threading.Event()

    def away(key: str) -> str | None:
        failed.set()
        raise OSError("away")

    engine.read = away  # type: ignore[method-assign]
    assert failed.wait(20)
    engine.read = read  # type: ignore[method-assign]
    deliver(engine, engine.take())
    assert called.wait(20)
    assert "a done callback waits on" in caplog.text


def test_one_warning_per_outage(
    engine: ListEngine, jobs: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised, the thread goes on; it does not fill the log meanwhile."""
    monkeypatch.setattr(_watch, "PAUSE", 0.01)
    caplog.set_level(logging.WARNING)
    handle = jobs.Add.perform_async(1)
    called, enough = threading.Event(), threading.Event()
    handle.add_done_callback(lambda over: called.set())
    read, reads = engine.read, itertools.count(1)

    def garbled(key: str) -> str | None:
        if next(reads) == 3:
            enough.set()
        return '"no record"'

    engine.read = garbled  # type: ignore[method-assign]
    assert enough.wait(20)
    engine.read = read  # type: ignore[method-assign]
    deliver(engine, engine.take())
    assert called.wait(20)
    assert caplog.text.count("a done callback waits on") == 1


def test_a_future_of_a_record_that_is_gone(engine: ListEngine, jobs: Any) -> None:
    """It will not come back: who waits is told."""
    future = jobs.Add.perform_async(1).future()
    engine.kept.clear()
    assert isinstance(future.exception(20), BackendError)


def test_a_future_of_a_result_that_cannot_be_stored(engine: ListEngine, jobs: Any) -> None:
    """The error that ``result()`` raises."""
    handle = jobs.Unstorable.perform_async()
    deliver(engine, engine.take())
    with pytest.raises(CounterpunchError, match="cannot be stored"):
        handle.future().result(20)


def test_attempt_looks(engine: ListEngine, jobs: Any) -> None:
    handle = jobs.Add.perform_async(1)
    assert handle.attempt == 0
    deliver(engine, engine.take())
    assert handle.attempt == 1


def test_an_end_is_not_taken_back(engine: ListEngine, jobs: Any) -> None:
    """An answer that was asked for before the end may arrive after it."""
    handle = jobs.Add.perform_async(1)
    early = engine.record(handle.id)
    deliver(engine, engine.take())
    assert handle.done()
    handle.learn(early)
    assert (handle.status, handle.result(0)) == (Status.SUCCEEDED, 1)


def test_an_enqueue_without_an_answer_may_have_happened(engine: ListEngine, jobs: Any) -> None:
    gate, engine.bounded.seconds = threading.Event(), 0.01
    engine.write = lambda key, text: gate.wait(20)  # type: ignore
    with pytest.raises(BackendError, match="Add may not have been enqueued"):
        jobs.Add.perform_async(1)
    gate.set()


def test_a_helper_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread, no bound: refused, unless the interpreter is ending."""
    bounded = Bounded("list", 20.0)
    why = ["can't start new thread"]

    def start(thread: threading.Thread) -> None:
        raise RuntimeError(why[0])

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(BackendError, match="asked: can't start new thread"):
            bounded.call("asked", lambda: 7)
        why[0] = "can't create new thread at interpreter shutdown"
        assert bounded.call("asked", lambda: 7) == 7
    assert bounded.call("asked", lambda: 8) == 8


# The encoding, and what an engine refuses


def test_every_option_has_its_rule() -> None:
    """An option that is added to classes must be decided on here, too."""
    assert OPTIONS.keys() == DEFAULTS.keys()


def test_defaults_are_harmless(engine: ListEngine) -> None:
    """A class that sets nothing can move."""
    engine.refuse("Plain", DEFAULTS)


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        ({"workers": 1}, "a queue of its own with a single worker"),
        ({"max_jobs": 5}, "the broker's queue has no bound"),
        ({"overflow": "block"}, "no bound to answer for"),
        ({"pool": "mail"}, "name a queue instead"),
        ({"priority": -1}, "or this queue of it, has no priorities"),
        ({"unique": "queued", "identity": lambda *_: 1}, "uniqueness is kept within one process"),
        ({"rate": Rate(1, per=1.0)}, "a rate is kept within one process"),
        ({"loop": "app"}, "not in the worker's process"),
    ],
)
def test_what_is_refused(
    engine: ListEngine, jobs: Any, options: dict[str, Any], way_out: str
) -> None:
    """By class, option, value and engine, with the way out; before anything is sent."""
    counterpunch.configure(pools={"mail": 1})
    job: Any = type("Changed", (jobs.Add,), dict(options))
    name = next(iter(options))
    with pytest.raises(InvalidOption, match=rf"Changed: {name}=.*on list: .*{way_out}"):
        job.perform_async(1)
    assert (engine.sent, engine.kept) == ([], {})


def test_what_has_no_bound_may_move(engine: ListEngine, jobs: Any) -> None:
    """``max_jobs=None`` promises what the broker does."""
    engine.refuse("Unbounded", {**DEFAULTS, "max_jobs": None})


def test_values_that_look_like_the_encoding() -> None:
    """A dict of the user's with our mark for a key comes back as it was."""
    for value in ({"$": "datetime", "v": "no"}, {"$": {"$": ()}}, {"a": [{"$": None}]}):
        assert decode(unpack(pack(encode(value, "x")))) == value


@pytest.mark.parametrize("option", [{"every": 60.0}, {"cron": "* * * * *"}])
def test_a_periodic_class_cannot_name_an_engine(
    engine: ListEngine, jobs: Any, option: dict[str, Any]
) -> None:
    """Refused when it is defined; under ``configure`` it stays in threads."""
    with pytest.raises(InvalidOption, match=r"Ticks: (every|cron)=.*start\(\) armed"):
        type("Ticks", (jobs.Add,), {**option, "backend": engine, "perform": lambda self: None})
    ticks: Any = type("Ticks", (Job,), {**option, "perform": lambda self: 7})
    try:
        assert ticks.perform_async().result(20) == 7
    finally:
        ticks.every = ticks.cron = None
    assert engine.sent == []


@pytest.mark.parametrize("value", [1, "celery", ListEngine, object()])
def test_what_is_no_backend(value: Any) -> None:
    """A class, a name, a number: refused where it is written."""
    with pytest.raises(InvalidOption, match="configure: backend="):
        counterpunch.configure(backend=value)
    with pytest.raises(InvalidOption, match="Moved: backend="):
        type("Moved", (Job,), {"backend": value, "perform": lambda self: None})


def test_values_within_themselves() -> None:
    """Refused, not followed for ever."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unencodable, match=f"nested deeper than {DEPTH}"):
        encode(endless, "args[0]")
    deep: Any = 0
    for _ in range(DEPTH):
        deep = [deep]
    assert decode(unpack(pack(encode(deep, "x")))) == deep


@pytest.mark.parametrize("engine_name", ["celery", "rq", "dramatiq"])
def test_an_engine_that_is_not_installed(engine_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import says what to install."""
    monkeypatch.setitem(sys.modules, engine_name, None)
    monkeypatch.delitem(sys.modules, f"counterpunch.backends.{engine_name}", raising=False)
    import importlib

    with pytest.raises(ImportError, match=rf"needs {engine_name}.*pip install '{engine_name}"):
        importlib.import_module(f"counterpunch.backends.{engine_name}")
