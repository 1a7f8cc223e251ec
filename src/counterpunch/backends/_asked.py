"""What a submission, a delivery and a remote handle ask of the engine that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ._bounded import Bounded
from ._message import Message
from ._record import Record

__all__ = ["Asked"]


class Asked(Protocol):
    """The side of an engine that looks after single jobs; ``RemoteEngine`` has it."""

    name: str
    bounded: Bounded

    @property
    def keeps_results(self) -> bool: ...
    @property
    def in_place(self) -> bool: ...
    def refuse(self, owner: str, options: Mapping[str, Any], /) -> None: ...
    def marked(self, id: str, /) -> bool: ...
    def fetch(self, id: str, /) -> Record | None: ...
    def write(self, key: str, text: str, /) -> None: ...
    def send(self, message: Message, /) -> None: ...
    def record_of(self, id: str, what: str, /) -> Record | None: ...
    def cancel(self, handle: Any, /) -> bool: ...
