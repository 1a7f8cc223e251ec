"""What a class, a call or the process does not want to be seen of its jobs' arguments.

Whoever puts a value that a job was given, or a part of one, into a message asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import config
from .options import Options
from .short import shorten

__all__ = ["HIDDEN", "argument_text", "hides"]

#: What stands for an argument that is hidden.
HIDDEN = "[hidden]"


def hides(options: Options, given: Mapping[str, Any] | None = None) -> bool:
    """True if no message may show what a job was given as it is.

    Args:
        options: Of the class.
        given: Of ``using(...)``.
    """
    given = given or {}
    log_args = config.log_args and given.get("log_args", options.log_args)
    return not log_args or bool(given.get("redact", options.redact))


def argument_text(options: Options, value: object, given: Mapping[str, Any] | None = None) -> str:
    """A value that a job was given, or a part of one, for a message: hidden if anything is."""
    return HIDDEN if hides(options, given) else shorten(value)
