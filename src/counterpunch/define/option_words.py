"""The options that are words, as a type checker is to see them on a job class.

mypy takes the type of a class attribute from the nearest assignment: below ``overflow = "block"``,
known to be a literal, ``overflow = "raise"`` would be an error. It looks for a literal only where
the bases agree about the type. So they do not: each has a word that the other lacks and that nobody
writes. A word is one of the text's own then, checked against both, and a class below may change it.
"""

from __future__ import annotations

from typing import Literal

from .calls import (
    AtStop,
    Context,
    DelayedAtStop,
    Loop,
    OncePer,
    OnDuplicate,
    Overflow,
    Unique,
)

__all__ = ["OptionWords"]


class _One:
    overflow: Overflow | Literal["~"]
    on_shutdown: AtStop | Literal["~"]
    delayed_on_shutdown: DelayedAtStop | Literal["~"]
    unique: Unique | Literal["~"] | None
    on_duplicate: OnDuplicate | Literal["~"]
    context: Context | Literal["~"]
    loop: Loop | Literal["~"]
    once_per: OncePer | Literal["~"]


class _Other:
    overflow: Overflow | Literal["~~"]
    on_shutdown: AtStop | Literal["~~"]
    delayed_on_shutdown: DelayedAtStop | Literal["~~"]
    unique: Unique | Literal["~~"] | None
    on_duplicate: OnDuplicate | Literal["~~"]
    context: Context | Literal["~~"]
    loop: Loop | Literal["~~"]
    once_per: OncePer | Literal["~~"]


class OptionWords(_One, _Other):  # type: ignore[misc]
    """The base of ``Job``, for type checkers."""
