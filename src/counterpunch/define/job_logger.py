"""The logger of a running job."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from ..core.values.handle import Handle

__all__ = ["JobLogger"]


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds ``job``, ``job_id`` and ``attempt`` to each record, beside the caller's own ``extra``;
    of two of one name the caller's counts."""

    def __init__(self, name: str, call: Handle[Any] | None) -> None:
        extra: dict[str, object] = {"job": name}
        if call is not None:
            extra.update(job_id=call.id, attempt=call.attempt)
        super().__init__(logging.getLogger(f"counterpunch.{name}"), extra)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs
