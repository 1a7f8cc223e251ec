"""Messages and records that nobody of this package wrote: who can write to the broker or to the
result store gets no secret out of a process, runs nothing but a job class, and leaves no job
behind that waits for ever."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from list_engine import ListEngine, _fields
from list_engine import engine as engine
from list_engine import jobs as jobs

import counterpunch
from counterpunch import BackendError, CounterpunchError, Status
from counterpunch.backends import _delivery
from counterpunch.backends._message import Message

SECRET = "hunter2"

SHOP = """
import os
from counterpunch import Job

SECRET_KEY = "hunter2"
touched = []

class Settings:
    password = "hunter2"

    @property
    def evaluated(self):
        touched.append(1)

    def __repr__(self):
        return "hunter2"

    @property
    def __class__(self):
        touched.append("class")
        return type

settings = Settings()

def __getattr__(name):
    touched.append(name)
    raise AttributeError(name)

class Lazy(type):
    def __getattr__(cls, name):
        touched.append(name)
        return Inner

class Outer(metaclass=Lazy):
    secret = "hunter2"
    class Inner(Job):
        def perform(self):
            return "performed"

class Plain:
    pass

class Kept(Job):
    backend = "threads"
    def perform(self):
        touched.append("performed")
"""

EXITS = """
import sys
sys.exit("no DATABASE_URL")
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the worker's, imported by its name."""
    for name, text in (("hostile_shop", SHOP), ("hostile_exits", EXITS), ("hostile_other", "")):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOSTILE_SECRET", SECRET)
    import hostile_shop  # type: ignore[import-not-found]

    yield hostile_shop
    for name in ("hostile_shop", "hostile_exits", "hostile_other"):
        sys.modules.pop(name, None)


def sent(engine: ListEngine, jobs: Any, **change: Any) -> tuple[Any, dict[str, Any]]:
    """A job of the caller's, and the fields of its message, changed on the way."""
    handle = jobs.Add.perform_async(1)
    return handle, {**_fields(engine.take()), **change}


def failed(engine: ListEngine, handle: Any, fields: object, caplog: Any) -> str:
    """What is said of a message that cannot be carried out, wherever it is said."""
    text = fields if isinstance(fields, str) else json.dumps(fields)
    with pytest.raises(Exception) as told:  # noqa: PT011
        engine.perform(text)
    assert not isinstance(told.value, AssertionError)
    assert handle.status is Status.FAILED
    assert handle.done()
    with pytest.raises(Exception):  # noqa: B017, PT011
        handle.result(0)
    return f"{told.value!r}{handle.error}{engine.kept}{caplog.text}"


PATHS = [
    "os:environ", "os:environ.copy", "os:path", "os:path.join", "os:getpid", "builtins:print",
    "hostile_shop:SECRET_KEY", "hostile_shop:settings", "hostile_shop:settings.password",
    "hostile_shop:settings.evaluated", "hostile_shop:settings.__class__",
    "hostile_shop:Settings.evaluated", "hostile_shop:Outer.secret", "hostile_shop:Outer.lazy",
    "hostile_shop:lazy", "hostile_shop:Plain", "hostile_shop:Outer.Inner.perform",
    "hostile_shop:Outer.Inner.__init__.__globals__", "hostile_shop:__dict__",
    "hostile_shop", "hostile_shop:", ":Plain", "", "hostile_shop:Outer..Inner", "..os:environ",
    "hostile_shop:Outer Inner", "hostile_exits:Job", "hostile_shop:Kept",
    "counterpunch.integrations.django.tasks:DjangoTask", "counterpunch:Job",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_to_a_job_class_or_nowhere(
    engine: ListEngine, jobs: Any, shop: Any, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """By what classes have defined: no attribute is computed, and no value is shown."""
    handle, fields = sent(engine, jobs, job=path)
    said = failed(engine, handle, fields, caplog)
    assert SECRET not in said
    assert shop.touched == []


def test_a_class_within_a_class_is_found(engine: ListEngine, jobs: Any, shop: Any) -> None:
    handle, fields = sent(engine, jobs, job="hostile_shop:Outer.Inner", args=[])
    engine.perform(json.dumps(fields))
    assert handle.result(0) == "performed"
    assert shop.touched == []


@pytest.mark.parametrize(
    "path",
    ["os:environ", "hostile_shop:SECRET_KEY", "hostile_shop:Plain", "hostile_other:Error", 7],
)
@pytest.mark.parametrize("where", ["on", "not_on", "discard_on"])
def test_exceptions_are_classes_that_are_there(
    engine: ListEngine, jobs: Any, shop: Any, caplog: Any, where: str, path: object
) -> None:
    """Nothing is imported for them: what a job may raise was imported with it."""
    retry = {"max_attempts": 2, "on": [], "not_on": [], where: [path]}
    options = {"discard_on": [path]} if where == "discard_on" else {"retry": retry}
    handle, fields = sent(engine, jobs, options=options)
    assert SECRET not in failed(engine, handle, fields, caplog)
    assert "hostile_other" not in sys.modules
    assert shop.touched == []


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "x"}, {"priority": None}, {"timeout": -1}, {"timeout": "soon"},
        {"expires_in": {"$": "nothing", "v": 1}}, {"tags": 5}, {"retry": 5}, {"retry": {}},
        {"retry": {"on": [], "not_on": [], "max_attempts": 0}},
        {"retry": {"on": [], "not_on": [], "delay": "os.system"}},
        {"delayed_on_shutdown": "never"}, {"unknown": 1}, {"backend": "threads"}, {"at": 5},
    ],
    ids=repr,
)  # fmt: skip
def test_options_are_those_of_using(
    engine: ListEngine, jobs: Any, caplog: Any, options: dict[str, Any]
) -> None:
    handle, fields = sent(engine, jobs, options=options)
    failed(engine, handle, fields, caplog)


@pytest.mark.parametrize(
    "change",
    [
        {"args": {}}, {"args": None}, {"args": [{"$": "nothing", "v": 1}]},
        {"args": [{"$": "datetime", "v": "today"}]}, {"args": [{"$": "decimal"}]},
        {"args": [{"$": []}]}, {"kwargs": []}, {"kwargs": {"two": {"$": "uuid", "v": 5}}},
        {"options": []}, {"enqueued": "now"}, {"enqueued": -1}, {"due": None}, {"due": True},
        {"due": 1e300}, {"attempt": 0}, {"attempt": "1"}, {"attempt": -5}, {"attempt": 1.5},
        {"first": "then"}, {"priority": "x"}, {"priority": 0.5}, {"job": None}, {"job": ["os"]},
        {"version": 2}, {"version": "1"}, {"extra": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_a_field_of_a_strange_kind_fails_the_job(
    engine: ListEngine, jobs: Any, caplog: Any, change: dict[str, Any]
) -> None:
    """It is in nobody's queue any more, so nothing else would ever end it."""
    handle, fields = sent(engine, jobs, **change)
    failed(engine, handle, fields, caplog)


@pytest.mark.parametrize("field", ["job", "args", "due", "attempt", "version"])
def test_a_field_that_is_missing_fails_the_job(
    engine: ListEngine, jobs: Any, caplog: Any, field: str
) -> None:
    handle, fields = sent(engine, jobs)
    del fields[field]
    failed(engine, handle, fields, caplog)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_has_not(engine: ListEngine, jobs: Any, number: str) -> None:
    """The text is none of ours: nothing is known of whose it is."""
    _, fields = sent(engine, jobs, args=["number"])
    with pytest.raises(CounterpunchError, match="no JSON"):
        engine.perform(json.dumps(fields).replace('"number"', number))


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"os:environ"', "{}", "[" * 200_000])
def test_what_is_no_message_at_all_is_refused(engine: ListEngine, text: str) -> None:
    with pytest.raises(CounterpunchError):
        engine.perform(text)
    assert (engine.kept, engine.sent) == ({}, [])


@pytest.mark.parametrize("depth", [500, 900])
def test_arguments_nested_deeper_than_anybody_sends(
    engine: ListEngine, jobs: Any, caplog: Any, depth: int
) -> None:
    handle, fields = sent(engine, jobs, args=["deep"])
    failed(engine, handle, json.dumps(fields).replace('"deep"', "[" * depth + "]" * depth), caplog)


@pytest.mark.parametrize(
    "id", ["somebody's key", "list-x", f"list-{uuid4().hex}-cancelled", "celery-" + "a" * 32, ""]
)
def test_an_id_is_no_key_of_the_store(engine: ListEngine, jobs: Any, id: str) -> None:
    _, fields = sent(engine, jobs, id=id)
    before = dict(engine.kept)
    with pytest.raises(CounterpunchError, match="whose id"):
        engine.perform(json.dumps(fields))
    assert engine.kept == before


@pytest.mark.parametrize("text", ["sys.exit('no DATABASE_URL')", "raise GeneratorExit", "1 / 0"])
def test_a_module_that_ends_its_import_fails_the_job(
    engine: ListEngine, jobs: Any, shop: Any, caplog: Any, text: str
) -> None:
    """In the worker; whoever looks for the job gets an ordinary error, not the end of his own
    process."""
    path = Path(shop.__file__).with_name("hostile_exits.py")
    path.write_text(f"import sys\n{text}\n")
    handle, fields = sent(engine, jobs, job="hostile_exits:Sell")
    failed(engine, handle, fields, caplog)
    id = f"list-{uuid4().hex}"
    record = {**engine.record(handle.id), "id": id, "job": "hostile_exits:Sell"}
    engine.kept[id] = json.dumps(record)
    with pytest.raises((ImportError, ZeroDivisionError)):
        counterpunch.find(id)


POISON: list[dict[str, Any]] = [
    {"status": "bogus"}, {"status": None}, {"status": []}, {"id": "another\nid"}, {"job": 5},
    {"args": {}}, {"kwargs": []}, {"options": None}, {"attempt": "x"}, {"enqueued": "x"},
    {"due": 1e300}, {"started": []}, {"finished": "x"}, {"error": 5}, {"reason": {}},
    {"unstorable": 1}, {"progress": 5}, {"progress": []}, {"exception": "os:environ"},
    {"exception": {}}, {"exception": {"path": 5, "text": "", "args": []}},
    {"status": "succeeded", "value": {"$": "nothing", "v": 1}},
    {"status": "succeeded", "value": {"$": "bytes", "v": 5}},
]  # fmt: skip


@pytest.mark.parametrize("change", POISON, ids=repr)
def test_a_record_that_nobody_wrote_is_an_error_of_the_backend(
    engine: ListEngine, jobs: Any, change: dict[str, Any]
) -> None:
    handle = jobs.Add.perform_async(1)
    engine.kept[handle.id] = json.dumps({**engine.record(handle.id), **change})
    for look in (lambda: handle.status, handle.done, lambda: handle.result(0), handle.as_dict):
        with pytest.raises(BackendError):
            look()
    with pytest.raises(BackendError):
        counterpunch.find(handle.id)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", "[" * 200_000, '{"status": NaN}'])
def test_a_record_that_is_none_is_an_error_of_the_backend(
    engine: ListEngine, jobs: Any, text: str
) -> None:
    handle = jobs.Add.perform_async(1)
    engine.kept[handle.id] = text
    with pytest.raises(BackendError):
        handle.status  # noqa: B018
    with pytest.raises(BackendError):
        counterpunch.find(handle.id)


@pytest.mark.parametrize("change", POISON[:-2], ids=repr)
def test_a_worker_writes_a_poisoned_record_anew(
    engine: ListEngine, jobs: Any, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has all that is needed, and the job is not run again and again for it."""
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    handle = jobs.Add.perform_async(1)
    engine.kept[handle.id] = json.dumps({**engine.record(handle.id), **change})
    engine.perform(engine.take().dumps())
    assert handle.result(0) == 1


def test_nothing_is_imported_for_an_exception_that_a_record_names(
    engine: ListEngine, jobs: Any, shop: Any
) -> None:
    """And nothing but an exception class is called."""
    for path in ("hostile_other:Error", "os:environ", "builtins:print", "hostile_shop:Plain"):
        handle = jobs.Add.perform_async(1)
        exception = {"path": path, "args": ["x"], "text": "it said so"}
        over = {"status": "failed", "exception": exception, "finished": time.time()}
        engine.kept[handle.id] = json.dumps({**engine.record(handle.id), **over})
        with pytest.raises(counterpunch.RemoteError, match="it said so"):
            handle.result(0)
    assert "hostile_other" not in sys.modules
    assert shop.touched == []


def test_a_message_that_is_right_is_read_as_it_was_written() -> None:
    message = Message(f"list-{uuid4().hex}", "a:B", [1], {"k": 2}, {"priority": 3}, 1.5, 2.5)
    assert Message.loads(message.dumps()) == message
