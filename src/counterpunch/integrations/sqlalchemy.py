"""SQLAlchemy: jobs after a session's commit, and sessions removed around jobs.

``SendJob.using(after_commit=session).perform_async(user.id)`` takes a ``Session``, an
``AsyncSession`` or a ``scoped_session`` (Flask-SQLAlchemy's ``db.session`` is one). The job
is enqueued after the outermost commit; a rollback, of the savepoint it was enqueued in or of
the whole, drops it. A session that has not begun a transaction (nothing was added or queried
since the last commit) begins one: what is added afterwards is committed with the job, or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import ref

from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session

from ..core.values.errors import InvalidOption
from ..core.values.handle import Handle
from ..core.values.hooks import complain, process
from ._worker import on_a_worker

__all__ = ["remove_around_jobs", "session"]

_KEY = "counterpunch"
ALLOWED = "an open Session, AsyncSession, scoped_session or async_scoped_session of SQLAlchemy"


def session(owner: str, value: Any) -> Waiting:
    """What waits for the transactions of a session; made once for each.

    Raises:
        InvalidOption: If it is no session, or one that was closed for good.
    """
    found = value
    if hasattr(found, "registry"):  # scoped_session and async_scoped_session
        found = found()
    found = getattr(found, "sync_session", found)  # AsyncSession
    if not isinstance(found, Session):
        raise InvalidOption(owner, "after_commit", value, ALLOWED)
    # Private, and there since 2.0.22: with close_resets_only=False a close is final.
    if getattr(getattr(found, "_close_state", None), "name", None) == "CLOSED":
        raise InvalidOption(owner, "after_commit", value, f"{ALLOWED}; this one is closed")
    waiting: Waiting | None = found.info.get(_KEY)
    if waiting is None:
        waiting = found.info[_KEY] = Waiting(found)
    return waiting


class _Entry(NamedTuple):
    """One job. ``within``: the transactions it was enqueued in, savepoints first."""

    within: tuple[Any, ...]
    commit: Callable[[], object]
    rollback: Callable[[], object]


class Waiting:
    """The jobs that wait for one session, by its own events."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._entries: list[_Entry] = []
        event.listen(session, "after_commit", self._after_commit)
        event.listen(session, "after_soft_rollback", self._after_soft_rollback)
        event.listen(session, "after_transaction_end", self._after_transaction_end)

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        """See ``commit.Transaction``."""
        if not self._session.in_transaction():
            self._session.begin()
        within = self._open()
        if within:
            self._entries.append(_Entry(within, commit, rollback))
        return bool(within)

    def within(self) -> tuple[Any, ...]:
        """See ``commit.Transaction``."""
        return tuple(ref(transaction) for transaction in reversed(self._open()))

    def _open(self) -> tuple[Any, ...]:
        session = self._session
        within = []
        innermost = session.get_nested_transaction() or session.get_transaction()
        while innermost is not None:
            within.append(innermost)
            innermost = innermost.parent
        return tuple(within)

    def _after_commit(self, session: Any) -> None:
        if session.in_nested_transaction():
            return  # a savepoint was released; the outermost commit counts
        entries, self._entries = self._entries, []
        failure: BaseException | None = None
        for entry in entries:
            try:
                entry.commit()
            except BaseException as exc:  # a job's own, under testing.inline()
                failure = failure or exc
        if failure is not None:
            raise failure

    def _after_soft_rollback(self, session: Any, transaction: Any) -> None:
        self._drop(lambda entry: any(one is transaction for one in entry.within))

    def _after_transaction_end(self, session: Any, transaction: Any) -> None:
        if transaction.parent is None:  # closed without a commit: close() sends no rollback
            self._drop(lambda entry: True)

    def __del__(self) -> None:
        for entry in self._entries:  # the session was forgotten, not closed, and collected
            entry.rollback()

    def _drop(self, which: Callable[[_Entry], bool]) -> None:
        dropped = [entry for entry in self._entries if which(entry)]
        self._entries = [entry for entry in self._entries if not which(entry)]
        for entry in dropped:
            entry.rollback()


def _remove(sessions: Any, handle: Handle[Any]) -> None:
    """One that cannot be removed, as of a broken connection, is forgotten: it would be in the way
    of all later jobs of the thread, and changes nothing of what this one did."""
    try:
        sessions.remove()
    except Exception as exc:
        sessions.registry.clear()
        complain("remove() of a session", handle, exc)


def remove_around_jobs(*sessions: Any) -> Callable[[], None]:
    """Call ``remove()`` of each ``scoped_session`` before and after each job, on its thread.

    So that no job sees the session, or the open transaction, of the one before it on the
    same thread. One that cannot be removed is logged and forgotten. A job on its caller's
    thread (``perform_now``, ``caller_runs``, a test mode) shares the caller's session, which is
    left alone. Not for ``async def`` jobs: a session
    by thread is shared by all of them; use ``async with AsyncSession(...)`` there.

    Returns:
        A function that ends it.

    Raises:
        InvalidOption: If one of them is no ``scoped_session``, or if none is given.
    """
    if not sessions:
        raise InvalidOption("remove_around_jobs", "sessions", sessions, "at least one of them")
    for one in sessions:
        if not isinstance(one, scoped_session):
            raise InvalidOption("remove_around_jobs", "session", one, "a scoped_session")

    @contextmanager
    def around(handle: Handle[Any]) -> Iterator[None]:
        if not on_a_worker(handle):
            yield
            return
        for one in sessions:
            _remove(one, handle)
        try:
            yield
        finally:
            for one in sessions:
                _remove(one, handle)

    ends = [process.add("around_perform", around), process.add("around_hooks", around)]

    def end() -> None:
        for one in ends:
            one()

    return end
