"""What people ask of a handle who come from other libraries: the error names our word.

Each is an attribute that is not there. A ``__getattr__`` would slow down every other one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["HandleWords"]


class _Word:
    """An attribute that is missing, and says what to write instead."""

    __slots__ = ("name", "ours")

    def __init__(self, ours: str) -> None:
        self.ours = ours

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, handle: Any, owner: type | None = None) -> Any:
        text = f"a Handle has no attribute {self.name!r}: here it is {self.ours}"
        raise AttributeError(text, name=self.name)  # without an object Python adds no guess


class HandleWords:
    """Of Celery, RQ, Dramatiq, Huey, arq and threads."""

    __slots__ = ()

    if not TYPE_CHECKING:
        get = _Word("result(timeout), or `await handle`")
        get_result = _Word("result(timeout), or `await handle`")
        join = _Word("result(timeout), or `await handle`")
        return_value = _Word("result(timeout), or `await handle`")
        value = _Word("result(timeout), or `await handle`")
        wait_for = _Word("result(timeout), or `await asyncio.wait_for(handle, timeout)`")
        is_finished = _Word("done()")
        ready = _Word("done()")
        failed = _Word("status")
        get_status = _Word("status")
        is_failed = _Word("status")
        succeeded = _Word("status")
        successful = _Word("status")
        abort = _Word("cancel()")
        revoke = _Word("cancel()")
        job_id = _Word("id")
        task_id = _Word("id")
