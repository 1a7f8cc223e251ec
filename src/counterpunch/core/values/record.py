"""The record of one job: what is known of it, whoever asks.

A ``Record`` is the queue item and the record of one job at once; ``Handle``, its face, is what
an enqueue returns. It is made for every enqueue, so it has slots, no lock, no event and no
``Future``: what few jobs need (a delay, an error text, progress) lives in ``More``, made when
first needed, and whoever waits is kept in the table of watchers.

Who may change a record: the one who took it out of its container (a queue, the set of delayed
jobs, the set of running jobs). Taking out is one atomic step, so a worker, the scheduler,
``cancel()`` and the drain can race for a job and exactly one of them gets it. Its ``state`` is
written in ``moves`` and in the two hot places that ``core`` names.

**In one breath.** An exception can come out of nowhere: a Ctrl-C, a server's handler that raises
SystemExit, a request timeout by SIGALRM, an exception set in a worker's thread. CPython delivers it
as a Python function is entered, as a loop jumps back, and after a call; not between two statements
that do none of these. So what belongs together is written without a call: ``del table[call]`` takes
out (KeyError: somebody else has it), ``table[call] = None`` puts in, ``queue += one`` appends,
``for call.number in numbers: break`` draws, ``for hand.call in taker: break`` takes the next one;
and the last step may be a call into C, for an exception comes after it. A job that was taken out
and not yet put down is noted likewise, and the note is carried out by whoever comes next; see
``moves.taking``.
"""

from __future__ import annotations

from contextvars import Context
from typing import Any

from .handle_words import HandleWords
from .more import More
from .short import clean
from .status import QUEUED, Status

__all__ = ["NO_KWARGS", "Record", "fill"]

NO_KWARGS: dict[str, Any] = {}


class Record(HandleWords):
    """What is known of one job.

    Attributes:
        args: Positional arguments, a tuple, as given.
        attempt: Number of the latest attempt, from 1; 0 before the first.
    """

    __slots__ = (
        "__weakref__", "args", "attempt", "context", "due", "enqueued", "finished", "lane",
        "more", "named", "number", "outcome", "started", "state",
    )  # fmt: skip
    #: The job runs on the thread of an engine's worker.
    foreign = False
    #: The history has let go of its large arguments or its large result, see ``described``.
    described = False

    # No __init__: the short path in ``express`` would pay for its frame more than for all the
    # rest of the object. ``fill`` below sets the same fields.
    lane: Any  # a Lane, which stands two floors above
    number: int
    args: tuple[Any, ...]
    named: dict[str, Any]  # keyword arguments; not to be changed
    context: Context | None  # the caller's variables; None while there are none to keep
    enqueued: float  # an instant of the monotonic clock, as those below
    due: float  # when it, or its next attempt, is due
    state: Status
    attempt: int
    started: float | None
    finished: float | None
    outcome: Any
    more: More | None

    def __repr__(self) -> str:
        return f"<Handle {clean(self.job.__qualname__)} {self.id} {self.state.value}>"

    def __lt__(self, other: object) -> bool:
        """Order of acceptance: decides between two jobs that are due at the same instant."""
        if not isinstance(other, Record):
            return False  # a timer of the same instant goes first
        return (self.enqueued, self.number) < (other.enqueued, other.number)

    @property
    def id(self) -> str:
        """Unique within this process and very likely beyond it; opaque, and not to be guessed from
        that of another job."""
        id: str = self.lane.id_of(self.number)
        return id

    @property
    def job(self) -> type[Any]:
        """The job class."""
        kind: type[Any] = self.lane.job
        return kind

    @property
    def retried_as(self) -> Any:
        """The handle of the newer job that ``retry()`` has made of this one, or None."""
        return None if self.more is None else self.more.retried_as

    def option(self, name: str) -> Any:
        """An option of this job: the one of ``using(...)``, else the class's."""
        more = self.more
        if more is not None and more.options is not None and name in more.options:
            return more.options[name]
        return getattr(self.lane.options, name)

    def extra(self) -> More:
        """The rare fields. Called only by the one who holds the job, see the module."""
        more = self.more
        if more is None:
            more = self.more = More()
        return more

    def shown(self) -> tuple[Any, Any, Any]:
        """Positional and keyword arguments and the result, or what is to be shown of them."""
        return self.args, self.named, self.outcome

    def cancel_requested(self) -> bool:
        """True once the job's cancel token is set."""
        asked: bool = self.lane.tokens.requested(self)
        return asked


def fill(
    call: Record,
    lane: Any,
    number: int,
    args: tuple[Any, ...],
    named: dict[str, Any],
    context: Context | None,
    enqueued: float,
) -> None:
    """Make a job of an empty record: in no container yet, marked as queued and due at once."""
    call.lane = lane
    call.number = number
    call.args = args
    call.named = named
    call.context = context
    call.enqueued = call.due = enqueued
    call.state = QUEUED
    call.attempt = 0
    call.started = call.finished = call.outcome = call.more = None
