"""The jobs that follow when a batch is complete."""

from __future__ import annotations

import logging
from typing import Any

from ..core.port import INTERRUPTED, REPLACED, Runtime, entries
from ..core.values.errors import InvalidOption, interrupts
from ..core.values.handle import Handle
from ..core.values.hooks import report
from ..core.values.matching import is_a
from ..core.values.plan import plan_of
from ..core.values.status import SUCCEEDED
from .job_function import job_class
from .using import Using

__all__ = ["Callbacks", "all_succeeded"]


class Callbacks:
    """Checked where they are written, for their enqueue must not fail at the batch's end.

    Raises:
        InvalidOption: If one is no job class, or does not take one argument.
    """

    def __init__(self, on_success: Any, on_complete: Any) -> None:
        self.on_success = _callback("on_success", on_success)
        self.on_complete = _callback("on_complete", on_complete)
        #: The job of each name, as soon as it was accepted.
        self._jobs: dict[str, list[Handle[Any]]] = {}

    @property
    def handles(self) -> list[Handle[Any]]:
        return [hand[-1] for hand in entries(self._jobs.values()) if hand]

    def enqueue(self, runtime: Runtime, batch: Any, succeeded: bool) -> list[BaseException]:
        """Each exactly once, however often it is begun again. Returns what went wrong."""
        failures: list[BaseException] = []
        for name, callback in (
            ("on_success", self.on_success if succeeded else None),
            ("on_complete", self.on_complete),
        ):
            if callback is None:
                continue
            hand = self._jobs.setdefault(name, [])
            if hand and hand[-1].error != INTERRUPTED:
                continue  # accepted before an interruption
            try:
                runtime.enqueue(callback.job, (batch.id,), {}, callback.options, inside=hand)
            except BaseException as exc:
                if interrupts(exc) or is_a(exc, (RecursionError, MemoryError)):
                    raise
                failures.append(exc)
                if runtime.stage.threads:
                    message = "the callback %r of %r could not be enqueued"
                    report(logging.ERROR, message, callback, batch, exc_info=exc)
        return failures


def _callback(name: str, value: Any) -> Using[Any, Any] | None:
    if value is None:
        return None
    try:
        found = value if isinstance(value, Using) else Using(job_class(value), {})
        if (check := plan_of(found.job).check) is not None:
            check("id")
    except TypeError as exc:
        allowed = f"a Job class or an @job function that takes the batch's id ({exc})"
        raise InvalidOption("Batch", name, value, allowed) from None
    return found


def all_succeeded(calls: list[Handle[Any]]) -> bool:
    """True if every member of a batch has succeeded, or the one that has replaced it."""
    others = [call for call in calls if call.state is not SUCCEEDED]
    if any(call.error != REPLACED for call in others):
        return False
    try:  # the user's, where one has the hash of another
        done = {_key(call) for call in calls if call.state is SUCCEEDED} if others else set()
        return done.issuperset(map(_key, others))
    except BaseException as exc:
        if interrupts(exc):
            raise
        report(logging.ERROR, "the identities of a batch cannot be compared", exc_info=exc)
        return False


def _key(call: Handle[Any]) -> object:
    """Of a job of a ``unique`` class."""
    return None if call.more is None else call.more.name
