"""What the history keeps of a job whose large arguments and result it has let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import NotKept
from .handle import Call, Handle
from .matching import is_a, name_of
from .more import More
from .record import Record
from .status import FAILED
from .twin import FRAMES
from .weight import LIGHT, is_plain, weigh, weigh_arguments

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Described", "Sketch", "describe"]

#: A plain value no heavier than this stays in a description as it is.
SMALL = 256
#: So many arguments are described one by one.
NAMED = 20
#: Characters of a large text, or bytes; and of the beginning and the end of a long error.
BEGINNING, ERROR_PART = 30, 500
#: What a description has in common with its job.
_SAME = ("lane", "number", "enqueued", "due", "state", "attempt", "started", "finished")


class Sketch:
    """Stands for a large value wherever one is shown: its ``repr`` says what it was."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Described(Handle[Any]):
    """A handle of a job that has ended, without its large arguments or its large result.

    ``find`` and ``jobs`` give it once nobody holds the job's own handle any more. Everything else
    that a handle says it says as well.
    """

    __slots__ = ("foreign", "gone", "own_id")
    described = True

    own_id: str
    #: What it no longer has: ``"arguments"``, ``"result"``; and what that weighed.
    gone: dict[str, int]

    @property
    def id(self) -> str:
        """As the job's."""
        return self.own_id

    @property
    def args(self) -> Any:  # type: ignore[override]
        """The positional arguments, if they were small.

        Raises:
            NotKept: If they were not.
        """
        self._have("arguments")
        return _args(self)

    @property
    def named(self) -> Any:  # type: ignore[override]
        """The keyword arguments likewise."""
        self._have("arguments")
        return _named(self)

    @property
    def outcome(self) -> Any:
        """The result, or the exception, likewise."""
        self._have("result")
        return _outcome(self)

    def shown(self) -> tuple[Any, Any, Any]:
        """Arguments and result with a ``Sketch`` in place of each large one."""
        return _args(self), _named(self), _outcome(self)

    def retry(self) -> Handle[Any]:
        """Enqueue the same arguments again, if they were small.

        Raises:
            NotKept: If they were not.
        """
        self._have("arguments", "it cannot be retried: ")
        return super().retry()

    def future(self) -> Future[Any]:
        """A future that has the result, or the exception ``NotKept``."""
        if "result" not in self.gone:
            return super().future()
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        future.set_exception(self._not_kept("result"))
        return future

    def _have(self, what: str, then: str = "") -> None:
        if what in self.gone:
            raise self._not_kept(what, then)

    def _not_kept(self, what: str, then: str = "") -> NotKept:
        size, text = _bytes(self.gone[what]), ""
        if what == "result" and self.state is FAILED:
            what, text = "exception", "; its text is in error"
        return NotKept(
            f"{self!r}: {then}the history no longer holds its {what}, about {size}{text}. Keep the "
            f"handle that the enqueue returned, or raise configure(history_bytes=...)"
        )


# The properties above hide the slots in which a description has what is shown.
_SLOTS = {name: vars(Record)[name] for name in ("args", "named", "outcome")}
_args, _named, _outcome = (slot.__get__ for slot in _SLOTS.values())


def describe(call: Call) -> Described:
    """A description of a job that has ended. Runs no code of a user's."""
    twin = Described()
    for name in _SAME:
        setattr(twin, name, getattr(call, name))
    twin.own_id, twin.foreign = call.id, call.foreign
    twin.context, twin.gone = None, {}
    args, named, outcome = call.args, call.named, call.outcome
    given = weigh_arguments(call)
    if given > LIGHT:
        twin.gone["arguments"] = given
        args = tuple(map(_sketched, args[:NAMED]))
        named = {name: _sketched(named[name]) for name in list(named)[:NAMED]}
        if len(args) < len(call.args):
            args += (Sketch(f"… and {len(call.args) - NAMED:,} more"),)
    given = weigh(outcome)
    # An exception on its way to a caller of perform_now has frames that must not be kept.
    if given > LIGHT or (is_a(outcome, BaseException) and FRAMES.__get__(outcome)):
        twin.gone["result"] = given
        outcome = _sketched(outcome, keep=False)
    for name, shown in (("args", args), ("named", named), ("outcome", outcome)):
        _SLOTS[name].__set__(twin, shown)
    twin.more = None if call.more is None else _less(call.more)
    return twin


def _less(more: More) -> More:
    """The rare fields, without what is large among them."""
    less = More()
    less.when, less.options, less.in_batch, less.kept = (
        more.when,
        more.options,
        more.in_batch,
        more.kept,
    )
    less.error, less.reason = _shortened(more.error), more.reason
    less.first_started, less.retried_as = more.first_started, more.retried_as
    less.progress, less.key = more.progress, more.key
    if weigh(less.key) > LIGHT:
        less.key = None  # it can be looked for no longer
    if weigh(less.progress) > LIGHT:
        less.progress = None
    data = more.data
    if data and weigh(data) > LIGHT:
        shown = {name: _sketched(data[name]) for name in list(data)[:NAMED]}
        data = {k: v.text if type(v) is Sketch else v for k, v in shown.items()}
    less.data = data
    return less


def _shortened(text: str | None) -> str | None:
    """Type and message of an exception are at the end of its traceback, or at its beginning."""
    if text is None or len(text) <= 2 * LIGHT:
        return text
    gap = f"\n... {len(text) - 2 * ERROR_PART:,} characters ...\n"
    return text[:ERROR_PART] + gap + text[-ERROR_PART:]


def _sketched(value: Any, keep: bool = True) -> Any:
    """What stands for a value: itself, if it is plain and small."""
    kind, weight = type(value), weigh(value)
    if weight <= SMALL and keep and is_plain(value):
        return value
    if kind is str:
        return Sketch(f"{value[:BEGINNING]!r}… ({len(value):,} characters)")
    if kind is bytes or kind is bytearray:
        return Sketch(f"{value[:BEGINNING]!r}… ({len(value):,} bytes)")
    name = name_of(kind)
    if any(kind is each for each in (list, tuple, dict, set, frozenset)):
        return Sketch(f"<{name} of {len(value):,}, about {_bytes(weight)}>")
    return Sketch(f"<{str(name)[:100]}, about {_bytes(weight)}>")


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
