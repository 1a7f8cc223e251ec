"""Whatever shape a job class has: mixins, overrides, dataclasses, protocols, names of its own."""

from __future__ import annotations

import abc
import copy
import dataclasses
import importlib
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import pytest
from held import LONG

import counterpunch
from counterpunch import Handle, InvalidOption, Job, Retry, job, testing

# Who is enqueued


class Audited:
    """A mixin that is no job itself."""

    log: ClassVar[list[str]] = []

    @classmethod
    def perform_async(cls, *args: Any, **kwargs: Any) -> Any:
        cls.log.append(cls.__name__)
        return super().perform_async(*args, **kwargs)  # type: ignore[misc]

    @classmethod
    def perform_in(cls, *args: Any, **kwargs: Any) -> Any:
        return super().perform_in(*args, **kwargs)  # type: ignore[misc]


class Later:
    @classmethod
    def later(cls, *args: Any) -> Any:
        return super().perform_async(*args)  # type: ignore[misc]

    @classmethod
    def much_later(cls, *args: Any) -> Any:
        return super().perform_in(0.001, *args)  # type: ignore[misc]


def base() -> Any:
    class Base(Job):
        def perform(self) -> str:
            return type(self).__name__

    assert Base.perform_async().result(LONG) == "Base"  # its gate is open
    return Base


def test_a_mixin_in_front_of_a_base_enqueues_the_class_that_was_called() -> None:
    """By each of the methods, and with the base still enqueueing itself."""
    Base = base()

    class Child(Audited, Base): ...

    class Grandchild(Child): ...

    class Sister(Base): ...

    for cls in (Child, Grandchild, Sister, Base):
        name = cls.__name__
        for handle in (
            cls.perform_async(),
            cls.perform_in(0.001),
            cls.perform_at(0),
            cls.using(priority=1).perform_async(),
            *cls.perform_bulk([()]),
        ):
            assert handle.result(LONG) == name
        assert cls.perform_now() == name


def test_super_by_another_method_enqueues_the_class_that_was_called() -> None:
    Base = base()

    class Child(Later, Base): ...

    class Own(Base):
        @classmethod
        def twice(cls) -> tuple[Any, Any]:
            return super().perform_async(), super().perform_in(0.001)

    assert Child.later().result(LONG) == Child.much_later().result(LONG) == "Child"
    assert [handle.result(LONG) for handle in Own.twice()] == ["Own", "Own"]


def test_a_class_that_is_enqueued_while_it_is_being_defined() -> None:
    """By ``__init_subclass__`` of its base, and by what is told its name: with its own plan."""
    begun: list[Handle[Any]] = []

    class Told:
        def __set_name__(self, owner: Any, name: str) -> None:
            begun.append(owner.perform_async())

    class Base(Job):
        def perform(self) -> str:
            return type(self).__name__

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            begun.append(cls.perform_async())
            begun.append(cls.perform_in(0.001))
            cls.tags = ("set",)

    assert Base.perform_async().result(LONG) == "Base"

    class Child(Base):
        told = Told()
        workers = 1

        def perform(self) -> str:
            return f"own of {type(self).__name__}"

    assert [handle.result(LONG) for handle in begun] == ["own of Child"] * 3
    assert Child.options["tags"] == {"set"}
    assert Child.stats().workers.total == 1
    assert Child.perform_async().result(LONG) == "own of Child"


# An override stands in front of each way in


class Tenant:
    """Puts an argument in front."""

    @classmethod
    def perform_async(cls, *args: Any, **kwargs: Any) -> Any:
        return super().perform_async("tenant-7", *args, **kwargs)  # type: ignore[misc]


def drained(cls: Any) -> Any:
    with testing.fake() as recorder:
        handle = cls.perform_async(1)
        recorder.drain()
        return handle.result()


def inlined(cls: Any) -> Any:
    with testing.inline():
        return cls.using(priority=1).perform_async(1).result()


WAYS: dict[str, Callable[[Any], Any]] = {
    "async": lambda cls: cls.perform_async(1).result(LONG),
    "in": lambda cls: cls.perform_in(0.001, 1).result(LONG),
    "at": lambda cls: cls.perform_at(0, 1).result(LONG),
    "now": lambda cls: cls.perform_now(1),
    "bulk": lambda cls: cls.perform_bulk([(1,)])[0].result(LONG),
    "using": lambda cls: cls.using(priority=1).perform_async(1).result(LONG),
    "using in": lambda cls: cls.using(priority=1).perform_in(0.001, 1).result(LONG),
    "using at": lambda cls: cls.using(priority=1).perform_at(0, 1).result(LONG),
    "using now": lambda cls: cls.using(tags=("a",)).perform_now(1),
    "using bulk": lambda cls: cls.using(priority=1).perform_bulk([(1,)])[0].result(LONG),
    "retried": lambda cls: ended(cls.perform_async(1)).retry().result(LONG),
    "fake": drained,
    "inline": inlined,
}


def ended(handle: Any) -> Any:
    handle.result(LONG)
    return handle


class Sends(Tenant, Job):
    def perform(self, tenant: str, number: int | None = None) -> Any:
        return tenant, number, type(self).__name__


class Heir(Sends): ...


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", [Sends, Heir])
def test_an_override_has_one_meaning(way: str, cls: Any) -> None:
    assert WAYS[way](cls) == ("tenant-7", 1, cls.__name__)


def test_a_tick_goes_through_the_override() -> None:
    """Which may give the arguments that a periodic job does not have, or leave the run out."""
    left_out: list[bool] = []

    class Ticks(Tenant, Job):
        every = 60.0
        once_per = "process"

        @classmethod
        def perform_async(cls, *args: Any) -> Any:
            if left_out:
                return None
            return super().perform_async(*args)

        def perform(self, tenant: str) -> str:
            return tenant

    with testing.fake() as recorder:
        counterpunch.start()
        recorder.advance(60)
        (entry,) = [each for each in counterpunch.periodic() if each.job is Ticks]
        assert entry.latest is not None
        assert entry.latest.result() == "tenant-7"
        left_out.append(True)
        recorder.advance(60)
        assert Ticks.stats().accepted == 1


def test_the_options_of_a_call_go_through_the_override() -> None:
    """They are those of the job that ``super()`` enqueues, and of no other."""
    inner: list[Handle[Any]] = []

    class Inner(Tenant, Job):
        def perform(self, tenant: str) -> None: ...

    class Outer(Job):
        @classmethod
        def perform_async(cls, *args: Any) -> Any:
            inner.append(Inner.perform_async())
            return super().perform_async(*args)

        def perform(self, depth: int) -> None:
            if depth:
                inner.append(type(self).perform_async(depth - 1))

    with testing.fake() as recorder:
        handle = Outer.using(priority=7, tags=("a",)).perform_in(60, 1)
        assert (handle.options["priority"], handle.tags) == (7, {"a"})
        assert handle.run_at > recorder.now
        recorder.advance(60)
        assert [(one.job, one.options["priority"]) for one in inner] == [
            (Inner, 0), (Inner, 0), (Outer, 0)
        ]  # fmt: skip


def test_who_writes_two_of_the_methods_is_not_called_twice() -> None:
    class Both(Job):
        @classmethod
        def perform_async(cls, *args: Any) -> Any:
            return super().perform_async("front", *args)

        @classmethod
        def perform_in(cls, delay: float, *args: Any) -> Any:
            return super().perform_in(delay, "front", *args)

        @classmethod
        def perform_now(cls, *args: Any) -> Any:
            return super().perform_now("front", *args)

        def perform(self, *args: Any) -> Any:
            return args

    assert Both.perform_async(1).result(LONG) == ("front", 1)
    assert Both.perform_in(0.001, 1).result(LONG) == ("front", 1)
    assert Both.perform_now(1) == ("front", 1)


def test_an_override_that_enqueues_nothing() -> None:
    """Its result is what the caller gets; perform_now of a job that failed raises its own."""
    known: list[Any] = []

    class Once(Job):
        @classmethod
        def perform_async(cls, fails: bool) -> Any:
            if not known:
                known.append(super().perform_async(fails))
            return known[0]

        def perform(self, fails: bool) -> int:
            if fails:
                raise OSError("broken")
            return 42

    with pytest.raises(OSError, match="broken"):
        Once.perform_now(True)
    known.clear()
    assert Once.perform_now(False) == Once.perform_now(False) == 42
    assert Once.stats().accepted == 2


# What stands on the class


def test_attributes_that_are_no_options_disturb_nobody() -> None:
    """A counter on the class, while others enqueue and run: each job is the class's own."""

    class Base(Job):
        max_jobs = None

        def perform(self) -> str:
            return "base"

    class Counts(Base):
        sent = 0

        def perform(self) -> str:
            type(self).sent += 1
            return "own"

    handles: list[Any] = []
    plan, express = Counts._plan, vars(Counts)["perform_async"]
    begin = threading.Barrier(3)

    def work() -> None:
        begin.wait(LONG)
        for _ in range(300):
            handles.append(Counts.perform_async())
            Counts.client = object()  # type: ignore[attr-defined]

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    begin.wait(LONG)
    for _ in range(300):
        handles.append(Counts.perform_async())
    for thread in threads:
        thread.join(LONG)
    assert {handle.result(LONG) for handle in handles} == {"own"}
    assert Counts._plan is plan
    assert vars(Counts)["perform_async"] is express


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, False) for name in ("cancelled", "attempt", "check_cancelled", "track", "status")],
        ("progress", 0),
        ("progress", property(lambda self: 0)),
        ("stats", {}),
        ("options", {"a": 1}),
        ("handle", "x"),
        ("handle", lambda self: None),
        ("cancelled", lambda self: True),
        ("using", None),
        ("perform_async", 5),
    ],
)
@pytest.mark.parametrize("mixin", [False, True])
def test_what_every_job_has_is_not_hidden(name: str, value: Any, mixin: bool) -> None:
    """It would be switched off in silence: refused by name, a mixin's as well."""
    bases: tuple[type, ...] = (type("Mixin", (), {name: value}), Job) if mixin else (Job,)
    body = {} if mixin else {name: value}
    with pytest.raises(InvalidOption, match=f"Hides: {name}=.* every job has"):
        type("Hides", bases, {"perform": lambda self: None, **body})


def test_what_every_job_has_may_be_done_another_way() -> None:
    class Own(Job):
        logger = None  # type: ignore[assignment]  # its own

        @property
        def cancelled(self) -> bool:
            return super().cancelled

        def progress(self, done: float, total: float | None = None, message: str = "") -> None:
            super().progress(2 * done, total, message)

        @classmethod
        def stats(cls) -> Any:
            return super().stats()

        def perform(self) -> None:
            self.progress(1)

    handle = Own.perform_async()
    handle.result(LONG)
    assert handle.progress == (2, None, "")
    assert Own.stats().accepted == 1


def test_an_option_by_a_descriptor_is_read_once() -> None:
    """As the class is defined; ``options`` shows what is in force."""
    value = [5]

    class Setting:
        def __get__(self, instance: object, owner: type) -> int:
            return value[0]

    class Bounded(Job):
        max_jobs = Setting()  # type: ignore[assignment]

        def perform(self) -> None: ...

    value[0] = 6
    assert Bounded.options["max_jobs"] == 5


# Instances


def test_dataclasses_are_jobs() -> None:
    """Ordinary, frozen and slotted, each once, with what every job has."""
    made = []
    for how in ({}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True}):

        @dataclasses.dataclass(**how)
        class Data(Job):
            number: int = 7
            retry = Retry(2, wait=0)

            def perform(self) -> Any:
                if self.attempt == 1:
                    raise OSError
                return self.number, self.handle.id

        handle = Data.perform_async()
        assert handle.result(LONG) == (7, handle.id)
        made.append(Data)
    assert [cls.stats().accepted for cls in made] == [1, 1, 1, 1]


def test_an_option_that_became_a_slot_is_refused_by_name() -> None:
    """Its value is in each instance then, and none is asked."""
    with pytest.raises(InvalidOption, match=r"Slotted: workers=.* write it without an annotation"):

        @dataclasses.dataclass(slots=True)
        class Slotted(Job):
            workers: int = 3

            def perform(self) -> None: ...


def test_a_metaclass_with_an_answer_to_every_name() -> None:
    """What it makes up is neither a hook nor an option."""

    class Answers(type(Job)):  # type: ignore[misc]
        def __getattr__(cls, name: str) -> str:
            return name

    class Answering(Job, metaclass=Answers):
        def perform(self, number: int) -> int:
            return number

    assert Answering.perform_async(7).result(LONG) == 7
    assert Answering.options["workers"] == 2


def test_attrs_classes_are_jobs() -> None:
    attrs = pytest.importorskip("attrs")
    for decorate in (attrs.define, attrs.frozen, attrs.define(slots=False)):

        @decorate
        class Data(Job):
            number: int = 7

            def perform(self) -> Any:
                return self.number, self.handle.id

        handle = Data.perform_async()
        assert handle.result(LONG) == (7, handle.id)


def test_an_init_that_wants_arguments_is_refused_at_the_class() -> None:
    """By whichever way it comes; a base that cannot be performed may have one."""

    class Needy:
        def __init__(self, session: object) -> None: ...

    class Made:
        def __new__(cls, session: object) -> Any: ...

    refused = pytest.raises(InvalidOption, match=r"(__init__|__new__)=.*fresh instance")
    for body in ({}, {"__init__": Needy.__init__}, {"__new__": Made.__new__}):
        with refused:
            bases = (Job,) if body else (Needy, Job)
            type("Refused", bases, {"perform": lambda self: None, **body})

    class Whole(Job):
        number: int

        def perform(self) -> int:
            return 1

    with refused:
        dataclasses.dataclass(Whole)
    assert Whole.perform_async().result(LONG) == 1  # as it was

    class Template(Job):
        def __init__(self, name: str) -> None:
            self.name = name

        @abc.abstractmethod
        def perform(self) -> Any: ...

    class Filled(Template):
        def __init__(self) -> None:
            super().__init__("filled")

        def perform(self) -> str:
            return self.name

    assert Filled.perform_async().result(LONG) == "filled"


T = TypeVar("T")


@runtime_checkable
class Performs(Protocol):
    def perform(self, number: int) -> int: ...


class Box(Job, Generic[T]):
    def perform(self, number: int) -> int:
        return number


def test_protocols_and_generics_are_bases() -> None:
    class Fits(Job, Performs):
        def perform(self, number: int) -> int:
            return number

    class First(Performs, Job):
        def perform(self, number: int) -> int:
            return number

    class Lacks(Job, Performs):
        workers = 1

    class Boxes(Box[int]): ...

    for cls in (Fits, First, Boxes, Box[int]):
        assert cls.perform_async(7).result(LONG) == 7
    assert isinstance(Fits(), Performs)
    assert issubclass(Fits, Performs)
    assert not isinstance(3, Fits)
    assert Lacks.options["workers"] == 1


def test_a_reloaded_module_has_classes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was enqueued before runs as it was; what comes afterwards is new."""
    path = tmp_path / "reloaded_jobs.py"
    path.write_text(
        "from counterpunch import Job\nclass Tells(Job):\n    def perform(self): return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("reloaded_jobs")
    old = module.Tells
    old.pause()
    before = old.perform_async()
    path.write_text(path.read_text().replace("return 1", "return 2"))
    importlib.invalidate_caches()
    importlib.reload(module)
    assert module.Tells.perform_async().result(LONG) == 2
    old.resume()
    assert before.result(LONG) == 1
    del sys.modules["reloaded_jobs"]


# Functions


def test_a_method_is_no_job_by_itself() -> None:
    """Refused where it is written; what needs no self is a function."""
    with pytest.raises(InvalidOption, match=r"@job: function=.*of a method make a class"):

        class Service:
            @job
            def send(self, to: str) -> None: ...

    class Space:
        @staticmethod
        @job
        def send(to: str) -> str:
            return to

        @job(workers=1)
        def call(to: str) -> str:  # type: ignore[misc]
            return to

    assert Space.send.perform_async("ada").result(LONG) == "ada"
    assert Space.call.perform_async("ada").result(LONG) == "ada"


@job
def double(number: int) -> int:
    return 2 * number


def test_a_decorated_function_pickles_by_its_name() -> None:
    """So that a job may hand it to a process pool; copies are itself."""
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.deepcopy(double) is double
    assert double(21) == 42
