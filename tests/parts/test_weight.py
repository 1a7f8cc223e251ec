"""What values weigh, roughly; and what is said of those that were let go."""

from __future__ import annotations

import sys
from collections import OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from making import call, job, lane

from counterpunch import NotKept
from counterpunch.core.values import described, weight
from counterpunch.core.values.described import Sketch, describe
from counterpunch.core.values.handle import Call
from counterpunch.core.values.more import More
from counterpunch.core.values.status import FAILED, SUCCEEDED
from counterpunch.core.values.weight import LIGHT, LOOKS, weigh, weight_of

BIG = 2_000_000


class Owner:
    """Owns what it is given, directly or through others."""

    def __init__(self, value: Any) -> None:
        self.name, self.value = "owner", value


class Slots:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Upload:
    name: str
    content: bytes


class Mine(list[Any]):
    """Says that it is empty."""

    def __len__(self) -> int:
        raise AssertionError("asked")

    __iter__ = __sizeof__ = __repr__ = __hash__ = __bool__ = __len__  # type: ignore[assignment]


CHUNK = BIG // 10
LARGE = {
    "bytes": bytes(BIG),
    "bytearray": bytearray(BIG),
    "str": "x" * BIG,
    "int": 1 << (BIG * 8),
    "long list": [0] * (BIG // 8),
    "list of bytes": [bytes(CHUNK) for _ in range(10)],
    "long list of bytes": [bytes(20_000) for _ in range(100)],
    "tuple": tuple(bytes(CHUNK) for _ in range(10)),
    "dict": {number: bytes(CHUNK) for number in range(10)},
    "long dict": {str(number): bytes(20_000) for number in range(100)},
    "dict of names": {"a": 1, "content": bytes(BIG)},
    "set": {bytes([n]) * CHUNK for n in range(10)},
    "deque": deque(bytes(CHUNK) for _ in range(10)),
    "OrderedDict": OrderedDict(content=bytes(BIG)),
    "defaultdict": defaultdict(list, content=[bytes(BIG)]),
    "UserDict": UserDict(content=bytes(BIG)),
    "object": Owner(bytes(BIG)),
    "object of an object": Owner(Owner(bytes(BIG))),
    "object of a list": Owner([bytes(CHUNK) for _ in range(10)]),
    "slots": Slots(bytes(BIG)),
    "dataclass": Upload("a.png", bytes(BIG)),
    "rows": [{"id": n, "text": "x" * 2_000} for n in range(1_000)],
    "exception": ValueError(bytes(BIG)),
    "its own methods": Mine([bytes(BIG)]),
}
if sys.implementation.name == "cpython":
    LARGE["memoryview"] = memoryview(bytes(BIG))


@pytest.mark.parametrize("kind", LARGE)
def test_what_is_large_weighs_much(kind: str) -> None:
    """Within a third of what it is."""
    assert 0.65 * BIG < weigh(LARGE[kind]) < 1.35 * BIG


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        1.5,
        "short",
        b"short",
        [1, 2],
        {"a": 1},
        Owner("x"),
        print,
        Owner,
        sys,
        pytest.raises,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_small_weighs_little(value: Any) -> None:
    """And what is there anyway, as a module or a class, nothing."""
    assert weigh(value) <= LIGHT


def test_the_same_one_again_and_again_counts_once() -> None:
    """Of a long list that holds one object only."""
    one = bytes(100_000)
    assert weigh([one] * 1_000) < 120_000


def test_a_look_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, and though it is a circle."""
    looks: list[object] = []
    measure = weight._weigh

    def counted(value: Any, depth: int, left: list[int]) -> int:
        looks.append(value)
        return measure(value, depth, left)

    circle: list[Any] = []
    circle += [[[[circle] * 10 for _ in range(10)] for _ in range(10)] for _ in range(10)]
    monkeypatch.setattr(weight, "_weigh", counted)
    weigh(circle)
    assert len(looks) < 2 * LOOKS
    looks.clear()
    weigh([[[n] for n in range(10)] for _ in range(100)])
    assert len(looks) < 2 * LOOKS


def test_no_code_of_the_users_runs() -> None:
    """Neither to weigh a value nor to describe it."""

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError(name)

    class Touchy(metaclass=Meta):
        def __init__(self) -> None:
            object.__setattr__(self, "content", bytes(BIG))

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        def __sizeof__(self) -> int:
            raise AssertionError

        __repr__ = __str__ = __len__ = __hash__ = __sizeof__  # type: ignore[assignment]
        __buffer__ = __sizeof__

    touchy = Touchy()
    twin = describe(ended(touchy, Mine([bytes(BIG)])))
    assert repr(twin.shown()[0]) == "(<Touchy, about 2.0 MB>, <Mine, about 2.0 MB>)"


def test_what_changes_meanwhile_weighs_nothing() -> None:
    """A dict that another thread adds to while it is looked at, for example."""

    class Changing(dict[Any, Any]):
        pass

    def failing(*args: Any) -> int:
        raise RuntimeError("dictionary changed size during iteration")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "_weigh", failing)
        assert weigh(Changing()) == 0


# Of a job


def ended(*args: Any, outcome: Any = None, **kwargs: Any) -> Call:
    """A job that has ended, given this."""
    made = call(lane(of=job()), *args)
    made.named, made.outcome = kwargs, outcome
    made.state, made.started, made.finished = SUCCEEDED, 1.0, 2.0
    return made


def test_a_job_weighs_what_it_was_given_and_gave() -> None:
    """And what it stored, and its error."""
    assert weight_of(ended()) == 0
    assert weight_of(ended(bytes(BIG), more=bytes(BIG), outcome=bytes(BIG))) > 3 * BIG
    assert weight_of(ended(*[bytes(CHUNK)] * 100)) > 5 * BIG
    stored = ended()
    stored.more = More()
    stored.more.data, stored.more.error = {"page": "x" * BIG}, "x" * BIG
    assert weight_of(stored) > 2 * BIG


def test_a_description_says_what_a_handle_says() -> None:
    """But for what was large."""
    made = ended(7, bytes(BIG), name="x" * BIG, outcome=[1, 2])
    made.more = More()
    made.more.data = {"step": 3}
    twin = describe(made)
    assert twin.described
    assert not made.described
    assert (twin.id, twin.status, twin.job) == (made.id, made.status, made.job)
    assert twin.as_dict() == made.as_dict()
    assert repr(twin) == repr(made)
    assert twin.result() == [1, 2]
    args, kwargs, _ = twin.shown()
    assert args[0] == 7
    assert repr(args[1]).endswith("… (2,000,000 bytes)")
    assert repr(kwargs["name"]) == "'" + "x" * described.BEGINNING + "'… (2,000,000 characters)"
    for asked in ("args", "kwargs"):
        with pytest.raises(NotKept, match=r"arguments, about 4\.0 MB.*history_bytes"):
            getattr(twin, asked)
    with pytest.raises(NotKept, match="it cannot be retried"):
        twin.retry()
    assert not twin.cancel()
    assert not twin.run_now()


def test_a_large_result_alone_goes_alone() -> None:
    """The arguments are there, and with them the right to try again."""
    twin = describe(ended(7, outcome=bytes(BIG)))
    assert twin.args == (7,)
    assert (twin.done(), twin.exception()) == (True, None)
    for ask in (twin.result, twin.future().result):
        with pytest.raises(NotKept, match=r"no longer holds its result, about 2\.0 MB"):
            ask()
    keeper: Any = twin.lane.keeper
    twin.retry()
    assert keeper.asked == [("again", twin, None)]


def test_a_failure_is_there_unless_it_is_large_itself() -> None:
    """Its text stays in any case, its beginning and its end if it is long."""
    made = ended(bytes(BIG), outcome=OSError("gone"))
    made.state = FAILED
    with pytest.raises(OSError, match="gone"):
        describe(made).result()
    made.outcome = ValueError(bytes(BIG))
    made.more = More()
    made.more.error = "Traceback:\n" + "x" * 20_000 + "\nValueError: it"
    twin = describe(made)
    for ask in (twin.result, twin.exception):
        with pytest.raises(NotKept, match=r"exception, about 2\.0 MB; its text is in error"):
            ask()
    assert twin.error is not None
    assert twin.error.startswith("Traceback")
    assert twin.error.endswith("\nValueError: it")
    assert len(twin.error) < 1200


def test_frames_are_not_kept() -> None:
    """Those of an exception that is just being raised to who called perform_now."""
    made = ended(bytes(BIG))
    made.state = FAILED
    try:
        raise OSError("gone")
    except OSError as exc:
        made.outcome = exc
        assert isinstance(describe(made).shown()[2], Sketch)


def test_stored_values_are_described_as_text() -> None:
    """``data`` is to be JSON."""
    made = ended()
    made.more = More()
    made.more.data = {"step": 3, "page": "x" * BIG}
    twin = describe(made)
    assert twin.data["step"] == 3
    assert twin.data["page"].endswith("(2,000,000 characters)")
    assert made.data["page"] == "x" * BIG


def test_of_very_many_arguments_some_are_described() -> None:
    """And it is said how many there were."""
    args = describe(ended(*[bytes(CHUNK)] * 100)).shown()[0]
    assert len(args) == described.NAMED + 1
    assert repr(args[-1]) == "… and 80 more"


def test_a_description_is_light() -> None:
    """Whatever it describes."""
    many = {f"name{n}": bytes(CHUNK) for n in range(50)}
    for kind, value in LARGE.items():
        twin = describe(ended(value, outcome=value, **many))
        weights = [weigh(one.text) for one in twin.shown()[1].values()]
        assert sum(weights) + weigh(repr(twin.shown())) < 20 * LIGHT, kind


def test_without_the_interpreter_lock_objects_are_seen_by_other_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The collector's answer stops all threads there: milliseconds for each object."""
    monkeypatch.setattr(weight, "LOCKED", False)
    monkeypatch.setattr(weight.gc, "get_referents", None)
    content = bytes(BIG)
    for value in (Owner(content), Slots(content), ValueError(content), partial(len, content)):
        assert BIG <= weigh(value) < BIG * 1.1
    assert 0 < weigh(Slots.__new__(Slots)) < LIGHT
