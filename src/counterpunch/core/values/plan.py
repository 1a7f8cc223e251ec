"""What is worked out once for a job class, so that no enqueue has to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .checks import hashable
from .hiding import hides
from .options import Options

__all__ = ["POSITIONAL_REST", "Plan", "identity_of", "plan_of"]

#: inspect.CO_VARARGS.
POSITIONAL_REST = 0x04


class Plan:
    """The checked options of a class, which hooks it has, and the shape of its ``perform``; made
    by ``define``."""

    __slots__ = (
        "after", "bare", "before", "check", "direct", "fronted", "guarded", "hooked", "is_async",
        "lacks", "most", "name", "on_enqueue", "on_error", "on_failure",
        "on_success", "options", "plain",
    )  # fmt: skip

    name: str  # with its module
    options: Options
    #: Raises the TypeError that perform itself would raise for these arguments. None if a
    #: job of this class could not be performed: ``lacks`` says why.
    check: Callable[..., object] | None
    lacks: str
    #: A call of so many arguments and no keywords fits ``perform``; -1 if none surely does.
    most: int
    is_async: bool
    #: ``perform`` as a function, where that is what every instance has: with the ``__getattr__``
    #: that jobs have, asking the instance costs a thirtieth of a job. None: ask it.
    direct: Callable[..., Any] | None
    #: The hooks that it has.
    on_enqueue: bool
    before: bool
    on_success: bool
    on_error: bool
    on_failure: bool
    after: bool
    #: The enqueue methods that it has written itself.
    fronted: frozenset[str]
    #: It has hooks around an attempt.
    hooked: bool
    #: A job of this class needs a look before it starts.
    guarded: bool
    #: An attempt of this class is nothing but: note the start, perform, note the end.
    bare: bool
    #: An enqueue of this class is nothing but: check, build, append, wake.
    plain: bool


def plan_of(job: Any) -> Plan:
    """The plan of a job class, as its definition, or the last change of an option, made it."""
    plan: Plan = job._plan
    return plan


def identity_of(
    job: Any, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...] | None:
    """The identity of a job as a tuple: what ``Job.in_progress(*identity)`` is asked with. None
    for a class without.

    Raises:
        InvalidOption: If the class's identity function gives something unhashable.
    """
    if plan.options.identity is None:
        return None
    key = job.identity(*args, **kwargs)
    return hashable(
        job.__qualname__, key if isinstance(key, tuple) else (key,), hides(plan.options)
    )
