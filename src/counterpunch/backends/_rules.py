"""What becomes of each option of a class on an engine: the table, and who refuses by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.values.errors import InvalidOption
from .protocol import Capabilities

__all__ = ["OPTIONS", "Rule", "refuse"]


class Rule(NamedTuple):
    """What becomes of an option of a class on an engine.

    ``where``: ``"worker"``, it is kept, by the worker; ``"caller"``, by the process that
    enqueues; ``"idle"``, there is nothing left for it to do; ``"refused"``, any value but
    those of ``allowed``, unless the engine has ``flag``.
    """

    where: str
    flag: str = ""
    way_out: str = ""


_PROCESS = "{} is kept within one process: drop it, or keep the class here with backend='threads'"

_KEPT = ("retry", "discard_on", "timeout", "expires_in", "tags", "log_args", "redact")
_IDLE = (
    "block_timeout", "on_shutdown", "delayed_on_shutdown", "identity", "on_duplicate", "context",
    "timezone", "jitter", "once_per",
)  # fmt: skip
#: In the order in which they are complained of: the flag, and what is allowed.
_REFUSED = {
    "workers": (
        "supports_serial",
        "2 or more: 1 promises one job at a time, which many machines cannot keep; give the "
        "class a queue of its own with a single worker, and set workers to 2",
    ),
    "max_jobs": ("supports_bounds", "the default: the broker's queue has no bound"),
    "overflow": ("supports_bounds", "'raise': the broker's queue has no bound to answer for"),
    "pool": ("supports_pool", "None: name a queue instead, queue=... of the backend"),
    "priority": ("supports_priority", "0: the engine, or this queue of it, has no priorities"),
    "unique": ("supports_unique", _PROCESS.format("None: uniqueness")),
    "rate": ("supports_rate", _PROCESS.format("None: a rate")),
    "loop": ("", "'own': the application's event loop is not in the worker's process"),
    "every": ("supports_periodic", _PROCESS.format("None: a period")),
    "cron": ("supports_periodic", _PROCESS.format("None: a crontab")),
}

OPTIONS: Mapping[str, Rule] = {
    "backend": Rule("caller"),
    **dict.fromkeys(_KEPT, Rule("worker")),
    **dict.fromkeys(_IDLE, Rule("idle")),
    **{name: Rule("refused", *rule) for name, rule in _REFUSED.items()},
}

#: What a refused option may be all the same.
_HARMLESS: Mapping[str, Any] = {
    "loop": "own",
    "priority": 0,
    "overflow": "raise",
    "max_jobs": 100_000,
}


def refuse(engine: str, can: Capabilities, owner: str, options: Mapping[str, Any]) -> None:
    """
    Raises:
        InvalidOption: For the first option that an engine of these capabilities cannot keep.
    """
    for name, rule in OPTIONS.items():
        if rule.where != "refused" or (rule.flag and getattr(can, rule.flag)):
            continue
        value = options.get(name)
        harmless = value != 1 if name == "workers" else value in (None, _HARMLESS.get(name))
        if not harmless:
            raise InvalidOption(owner, name, value, f"on {engine}: {rule.way_out}")
