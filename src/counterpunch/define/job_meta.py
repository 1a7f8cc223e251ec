"""What the definition of a job class sets up, and what a change of it does."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ..core.port import Gate, redefined
from ..core.values.errors import InvalidOption
from ..core.values.plan import Plan, plan_of
from ..recurring.classes import defined, periodic_classes
from .elsewhere import missing
from .equipping import early, equip, fronted
from .options import DEFAULTS
from .planning import plan_for
from .shapes import HOOKS, check_names
from .ways import WAYS

__all__ = ["JobMeta"]

#: The attributes of which a plan is made.
_IN_PLAN = frozenset(
    {*DEFAULTS, *HOOKS, *WAYS, "perform", "__abstractmethods__", "__init__", "__new__"}
)


if TYPE_CHECKING:
    _Meta = abc.ABCMeta
else:
    _Meta = type(Protocol)  # so that a job class may have a protocol as a base


class JobMeta(_Meta):
    """Checks a job class when it is defined, and again when an attribute of it is set."""

    _plan: Plan
    _gate: Gate

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> JobMeta:
        ready = {"_gate": Gate(), "_plan": _Early(), **early(namespace)}
        cls = super().__new__(mcs, name, bases, {**namespace, **ready}, **kwargs)
        if _is_ready(cls):
            _redefine(cls)  # what ``__init_subclass__`` has used was not all of it yet
        else:
            _prepare(cls)
        if any(isinstance(base, JobMeta) for base in bases):  # not Job itself
            check_names(cls)
            from .lookalikes import warn_of_lookalikes

            warn_of_lookalikes(cls.__qualname__, namespace, stacklevel=2)
        return cls

    @property
    def options(cls) -> Mapping[str, Any]:
        """Every option of the class as it was checked, defaults included; read-only."""
        return MappingProxyType(vars(plan_of(cls).options))

    if not TYPE_CHECKING:

        def __getattr__(cls, name):
            """The default of an option that neither the class nor a mixin of it sets."""
            # Not attributes of Job itself: in ``class A(Job, Mixin)`` they would come first.
            if name in DEFAULTS:
                return DEFAULTS[name]
            raise missing(cls.__qualname__, f"type object {cls.__name__!r}", name, cls)

    def __await__(cls) -> NoReturn:
        name = cls.__qualname__
        raise TypeError(f"{name} is a class of jobs: write await {name}.perform_async(...)")

    def __setattr__(cls, name: str, value: Any) -> None:
        if name not in _IN_PLAN or not _is_ready(cls):
            # The user's own: it costs nothing, and disturbs nobody.
            super().__setattr__(name, value)
            return
        missing = object()
        before = cls.__dict__.get(name, missing)
        try:
            super().__setattr__(name, value)
            _redefine(cls)
        except BaseException:
            if before is not missing:
                super().__setattr__(name, before)
            elif name in cls.__dict__:  # else it was not even set
                super().__delattr__(name)
            _redefine(cls)
            raise

    def __delattr__(cls, name: str) -> None:
        before = cls.__dict__.get(name)
        super().__delattr__(name)
        if name not in _IN_PLAN or not _is_ready(cls):
            return
        try:
            _redefine(cls)
        except BaseException:
            super().__setattr__(name, before)
            _redefine(cls)
            raise


class _Early:
    """Stands for the plan of a class while that is being defined: ``__init_subclass__`` of a base,
    and what is told its name, may enqueue already."""

    def __get__(self, instance: object, cls: Any) -> Plan:
        _prepare(cls)
        return plan_of(cls)


def _is_ready(cls: JobMeta) -> bool:
    return type(cls.__dict__["_plan"]) is Plan


def _prepare(cls: JobMeta) -> None:
    plan = plan_for(cls)
    plan.fronted = fronted(cls)
    if plan.options.cron is not None:
        plan.options.cron = _crontab(cls.__qualname__, plan.options.cron, plan.options.timezone)
    type.__setattr__(cls, "_plan", plan)
    periodic = plan.options.every is not None or plan.options.cron is not None
    if periodic and plan.check is not None:  # a base class without perform() has no runs
        try:
            if "perform_async" not in plan.fronted:  # which may give the arguments
                plan.check()
        except TypeError as exc:
            why = "a periodic job is performed without arguments: give each a default"
            raise TypeError(f"{exc}; {why}") from None
        defined(cls)
    else:
        periodic_classes.discard(cls)
    equip(cls)


def _crontab(owner: str, text: str, timezone: str) -> Any:
    from ..recurring.cron import Cron  # late: few classes have one

    try:
        return Cron(text, timezone)
    except ValueError as exc:
        allowed = f"a five-field crontab string ({exc})"
        raise InvalidOption(owner, "cron", text, allowed) from None


def _redefine(cls: JobMeta) -> None:
    """A class was changed: work its plan out anew, and its subclasses'."""
    plan = plan_of(cls)
    _prepare(cls)
    try:
        redefined(cls)
    except BaseException:
        type.__setattr__(cls, "_plan", plan)
        raise
    subclass: Any
    for subclass in cls.__subclasses__():
        _redefine(subclass)
