"""Jobs that wait for a transaction.

The core knows no framework: ``defer`` looks for a ``Transaction`` that the value names, among
what ``integrations`` know, and tells it of the job. An object that has such a method itself is
asked directly, so any other transaction can be plugged in.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Deferral", "Resume", "Scope", "Transaction", "defer", "finders"]

#: An open transaction and the savepoints within it, outermost first; compared, never asked.
Scope = tuple[Any, ...]
#: What is called with a job, its due time and the reason to drop it, if there is one, as its
#: transaction has ended.
Resume = Callable[[Any, "float | None", "str | None"], object]

#: Why a job that waited was dropped, unless the transaction has more to say.
ROLLED_BACK = "its transaction was rolled back"


class Transaction(Protocol):
    """What a job can wait for."""

    def defer(self, commit: Callable[[], object], rollback: Callable[[], object]) -> bool:
        """Call one of the two once, when the open transaction has ended.

        Returns:
            False if no transaction is open; then neither is called.
        """
        ...

    # Optional: ``within() -> tuple`` names the open transaction and its savepoints, outermost
    # first, by hashable values that do not keep it alive. Without it an object stands for one
    # transaction at a time.


#: Each makes a ``Transaction`` of what ``using(after_commit=...)`` was given, or None. What nobody
#: knows is asked itself. ``integrations`` fill it.
finders: list[Callable[[str, Any], Transaction | None]] = []


class Deferral:
    """One job and the transaction it waits for.

    The transaction is asked before the job is built, so that a wrong alias or a full queue
    is an error at the call with nothing accepted. Its end may therefore come before the job
    is here, and then counts once ``hold`` is called.
    """

    __slots__ = ("_call", "_due", "_ended", "_pid", "_reason", "_resume", "scope")

    def __init__(self, resume: Resume) -> None:
        self._resume = resume
        self._pid = os.getpid()
        self._call: Any = None
        self._due: float | None = None
        self._ended = False
        self._reason: str | None = None
        self.scope: Scope = ()

    def commit(self) -> None:
        self._end(None)

    def rollback(self, reason: str = ROLLED_BACK) -> None:
        self._end(reason)

    def hold(self, call: Any, due: float | None) -> None:
        """The job is there and counted as deferred."""
        self._due = due
        self._call = call
        if self._ended:
            self._end(self._reason)

    def _end(self, reason: str | None) -> None:
        self._reason, self._ended = reason, True
        call = self._call
        # The copy that a forked child has is not its job.
        if call is not None and self._pid == os.getpid():
            self._resume(call, self._due, reason)


def defer(resume: Resume, owner: str, value: Any) -> Deferral | None:
    """Ask for the open transaction that ``value`` names; None if there is none.

    Raises:
        InvalidOption: If the value names nothing that is known.
    """
    if value is None or value is False:
        return None
    deferral = Deferral(resume)
    found = (find(owner, value) for find in finders)
    transaction: Transaction = next((one for one in found if one is not None), value)
    if not transaction.defer(deferral.commit, deferral.rollback):
        return None
    deferral.scope = _scope(transaction)
    return deferral


def _scope(transaction: Any) -> Scope:
    """What ``transaction.within()`` names, else the object itself. Nothing of it is kept
    alive: a session that is forgotten drops its jobs only once it is collected."""
    within: Callable[[], Scope] | None = getattr(transaction, "within", None)
    if within is not None:
        return within()
    try:
        scope = (weakref.ref(transaction),)
        hash(scope)
    except TypeError:
        return (object(),)  # nothing to compare by: no other job shares its fate for sure
    return scope
