"""What the definition of a job class sets up, and what a change of it does."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.port import Gate, express_async, express_in, redefined
from ..core.values.errors import InvalidOption
from ..core.values.plan import Plan, plan_of
from ..recurring.classes import defined, periodic_classes
from .options import DEFAULTS
from .planning import plan_for
from .shapes import HOOKS

__all__ = ["JobMeta"]

#: The enqueue methods that each class has its own of, made for speed.
_EXPRESS = {"perform_async": express_async, "perform_in": express_in}
#: The attributes of which a plan is made.
_IN_PLAN = frozenset({*DEFAULTS, *HOOKS, *_EXPRESS, "perform", "__abstractmethods__"})


class JobMeta(abc.ABCMeta):
    """Checks a job class when it is defined, and again when an attribute of it is set."""

    _plan: Plan
    _gate: Gate

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> JobMeta:
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        type.__setattr__(cls, "_gate", Gate())
        _prepare(cls)
        if bases:
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
            message = f"type object {cls.__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=cls)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name not in _IN_PLAN or "_plan" not in cls.__dict__:
            super().__setattr__(
                name, value
            )  # the user's own: it costs nothing, and disturbs nobody
            return
        missing = object()
        before = cls.__dict__.get(name, missing)
        try:
            super().__setattr__(name, value)
            _redefine(cls)
        except BaseException:
            if before is missing:
                super().__delattr__(name)
            else:
                super().__setattr__(name, before)
            _redefine(cls)
            raise

    def __delattr__(cls, name: str) -> None:
        before = cls.__dict__.get(name)
        super().__delattr__(name)
        if name not in _IN_PLAN:
            return
        try:
            _redefine(cls)
        except BaseException:
            super().__setattr__(name, before)
            _redefine(cls)
            raise


def _prepare(cls: JobMeta) -> None:
    plan = plan_for(cls)
    if plan.options.cron is not None:
        plan.options.cron = _crontab(cls.__qualname__, plan.options.cron, plan.options.timezone)
    type.__setattr__(cls, "_plan", plan)
    periodic = plan.options.every is not None or plan.options.cron is not None
    if periodic and plan.check is not None:  # a base class without perform() has no runs
        try:
            plan.check()
        except TypeError as exc:
            why = "a periodic job is performed without arguments: give each a default"
            raise TypeError(f"{exc}; {why}") from None
        defined(cls)
    else:
        periodic_classes.discard(cls)
    for name in _EXPRESS:
        _equip(cls, name)


def _crontab(owner: str, text: str, timezone: str) -> Any:
    from ..recurring.cron import Cron  # late: few classes have one

    try:
        return Cron(text, timezone)
    except ValueError as exc:
        allowed = f"a five-field crontab string ({exc})"
        raise InvalidOption(owner, "cron", text, allowed) from None


def _equip(cls: JobMeta, name: str) -> None:
    """Give a class its own ``perform_async`` or ``perform_in``, unless that would be in the
    way of one that the user wrote, in a base or, reached by ``super()``, in a subclass."""
    own = cls.__dict__.get(name)
    if own is not None and not _ours(own):
        for base in cls.__mro__[1:]:
            if _ours(base.__dict__.get(name)):
                type.__delattr__(base, name)  # it enqueues the base, whoever asks super()
    elif not _written(cls.__mro__, name) and not _written(_below(cls), name):
        function = _EXPRESS[name](cls, cls._gate, plan_of(cls))
        type.__setattr__(cls, name, staticmethod(function))  # in place of the old: never without
    elif own is not None:
        type.__delattr__(cls, name)


def _ours(method: Any) -> bool:
    return hasattr(getattr(method, "__func__", None), "counterpunch_express")


def _written(classes: Iterable[type], name: str) -> bool:
    """True if one of the classes has a method of that name that is not from this package."""
    found = (vars(each).get(name) for each in classes if not _of_ours(each))
    return any(method is not None and not _ours(method) for method in found)


def _of_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _below(cls: type) -> Iterator[type]:
    below: list[type] = type.__subclasses__(cls)
    for subclass in below:
        yield subclass
        yield from _below(subclass)


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
