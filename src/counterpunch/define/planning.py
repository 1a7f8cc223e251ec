"""How the plan of a job class is worked out: its options, its hooks, the shape of ``perform``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import singledispatchmethod
from types import FunctionType
from typing import Any

from ..core.values.callables import Parameter, awaits, is_bound, parameters, written
from ..core.values.errors import InvalidOption
from ..core.values.plan import Plan
from .options import resolve
from .shapes import (
    HOOKS,
    check_hooks,
    check_identity,
    check_instances,
    check_perform,
    check_redact,
    written_in,
)

__all__ = ["plan_for", "signature_check"]


def plan_for(job: type) -> Plan:
    """Work out the plan of a class.

    Raises:
    InvalidOption: For an option, a hook or a ``perform`` that is not allowed.
    """
    plan = Plan()
    plan.name = f"{job.__module__}.{job.__qualname__}"
    plan.options = resolve(job, job.__qualname__)
    for hook in HOOKS:
        method = None if written_in(job, hook) is None else getattr(job, hook)
        if method is not None and not callable(method):
            raise InvalidOption(job.__qualname__, hook, method, "a method: it is a hook")
        setattr(plan, hook, method is not None)
    plan.hooked = plan.on_success or plan.on_error or plan.on_failure or plan.after
    function, bound = _perform_of(job)
    plan.check = None
    plan.lacks = "it defines no perform(): write def perform(self, ...)"
    if function is not None:
        check_perform(job, function, bound)
        plan.check = signature_check(f"{job.__qualname__}.perform", parameters(function, bound))
    if plan.options.identity is not None and plan.check is not None:
        check_identity(job, plan.check)
    if isinstance(plan.options.redact, frozenset):
        check_redact(job, plan.check, plan.options.redact)
    abstract: Iterable[str] = getattr(job, "__abstractmethods__", ())
    if plan.check is not None and abstract:
        plan.check = None
        plan.lacks = f"it is abstract, without {', '.join(sorted(abstract))}"
    if plan.check is not None:
        check_instances(job)
    plan.most = -1 if plan.check is None else _most(plan.check)
    plan.is_async = awaits(function)
    plan.direct = function if _same_for_all(job, function) else None
    check_hooks(job, function)
    options = plan.options
    plan.guarded = (
        options.expires_in is not None
        or options.rate is not None
        or options.timeout is not None
        or options.unique == "queued"
        or (options.retry is not None and options.retry.budget is not None)
    )
    setter: Any = job.__setattr__
    plain_object = setter is object.__setattr__  # another may refuse the handle
    plan.bare = plain_object and not (plan.guarded or plan.hooked or plan.before or plan.is_async)
    plan.plain = (
        plan.check is not None
        and not plan.on_enqueue
        and options.identity is None
        and options.rate is None
        and options.backend is None
        and options.pool is None
        and options.context == "copy"
        and options.loop == "own"
    )
    return plan


def _perform_of(job: type) -> tuple[Any, bool]:
    """``perform`` as it is written, and whether its first parameter is bound; None if missing."""
    raws = [vars(base)["perform"] for base in job.__mro__ if "perform" in vars(base)]
    if not raws:
        return None, False
    raw = raws[0]
    if isinstance(raw, singledispatchmethod):
        raw = raw.func  # its others take the same, but for the class of the first argument
    if isinstance(raw, (staticmethod, classmethod)):
        return raw.__func__, isinstance(raw, classmethod)
    if callable(raw):
        return raw, is_bound(raw)
    function = raw
    with suppress(Exception):  # a descriptor: what an instance has there
        function = getattr(object.__new__(job), "perform")  # noqa: B009
    if not callable(function):
        raise InvalidOption(job.__qualname__, "perform", raw, "a method")
    return function, False


def _same_for_all(job: type, function: Any) -> bool:
    """True if every instance has this very function, until the class is changed: no instance hides
    it, and no class in front of its own can be given another one unseen."""
    if any(getattr(job, name) is not getattr(object, name) for name in _OF_INSTANCES):
        return False
    if type(job).__call__ is not type.__call__:  # of a metaclass that makes them its own way
        return False
    for base in job.__mro__:
        if type(base) is not type(job):
            return False
        if "perform" in vars(base):
            return type(function) is FunctionType and vars(base)["perform"] is function
    return False


#: A class without any of its own makes instances that are all alike.
_OF_INSTANCES = ("__init__", "__new__", "__getattribute__")


def signature_check(name: str, found: list[Parameter]) -> Callable[..., object]:
    """A function with the parameters of another one and an empty body.

    Calling it costs a twentieth of ``inspect.Signature.bind``, and a call that does not fit
    raises the interpreter's own TypeError, with the name.
    """
    check: Any = eval(f"lambda {written(found)}: None")  # names only, of parameters
    check.__name__, check.__qualname__ = name.rpartition(".")[2], name
    return check  # type: ignore[no-any-return]


def _most(check: Any) -> int:
    """How many positional arguments ``check`` takes, without those of ``*args``."""
    code = check.__code__
    if code.co_kwonlyargcount > len(check.__kwdefaults__ or ()):
        return -1  # a keyword is missing
    return int(code.co_argcount)
