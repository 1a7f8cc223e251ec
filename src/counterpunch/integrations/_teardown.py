"""What an integration puts around a job is put away again after it, and that may fail."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from ..core.values.errors import interrupts
from ..core.values.handle import Handle
from ..core.values.hooks import complain

__all__ = ["Teardown"]


class Teardown:
    """A context manager whose end changes nothing of what the job did: that a teardown function
    raises is logged. The mail has gone out, and a retry would send it again."""

    def __init__(
        self, what: str, handle: Handle[Any] | None, around: AbstractContextManager[Any]
    ) -> None:
        self._what, self._handle, self._around = what, handle, around

    def __enter__(self) -> Any:
        return self._around.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self._around.__exit__(kind, exc, tb)
        except BaseException as raised:
            if raised is exc:
                return  # handed on, as contextlib's do
            if interrupts(raised):
                raise
            complain(self._what, self._handle, raised)
