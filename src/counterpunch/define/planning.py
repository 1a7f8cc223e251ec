"""How the plan of a job class is worked out: its options, its hooks, the shape of ``perform``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType, MethodType
from typing import Any

from ..core.values.errors import InvalidOption
from ..core.values.plan import POSITIONAL_REST, Plan
from .options import resolve

__all__ = ["HOOKS", "gives_coroutine", "plan_for"]

#: The optional methods of a job class that the runtime calls, in the order of one attempt.
HOOKS = ("on_enqueue", "before", "on_success", "on_error", "on_failure", "after")

# inspect.CO_* flags; those of generators are two, for def and for async def.
_KEYWORD_REST, _COROUTINE, _GENERATORS = 0x08, 0x80, 0x20 | 0x200


def plan_for(job: type) -> Plan:
    """Work out the plan of a class.

    Raises:
    InvalidOption: For an option, a hook or a ``perform`` that is not allowed.
    """
    plan = Plan()
    plan.name = f"{job.__module__}.{job.__qualname__}"
    plan.options = resolve(job, job.__qualname__)
    for hook in HOOKS:
        method = getattr(job, hook, None)
        if method is not None and not callable(method):
            raise InvalidOption(job.__qualname__, hook, method, "a method: it is a hook")
        setattr(plan, hook, method is not None)
    plan.hooked = plan.on_success or plan.on_error or plan.on_failure or plan.after
    function, bound = _perform_of(job)
    plan.check = None
    plan.lacks = "it defines no perform()"
    if function is not None:
        plan.check = _signature_check(job.__qualname__, _innermost(function), bound)
    if plan.options.identity is not None and plan.check is not None:
        _check_identity(job, plan.check)
    if isinstance(plan.options.redact, frozenset) and "redact" in job.__dict__:
        _check_redact(job, plan.check, plan.options.redact)
    abstract: Iterable[str] = getattr(job, "__abstractmethods__", ())
    if plan.check is not None and abstract:
        plan.check = None
        plan.lacks = f"it is abstract, without {', '.join(sorted(abstract))}"
    plan.most = -1 if plan.check is None else _most(plan.check)
    plan.is_async = gives_coroutine(function)
    _refuse_what_would_not_run(job, plan.is_async)
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
    )
    return plan


def _refuse_what_would_not_run(job: type, is_async: bool) -> None:
    """A call of a generator function, or of a coroutine function that nobody awaits, runs
    nothing of its body, and would look like a success."""
    perform = getattr(job, "perform", None)
    if _flags(perform) & _GENERATORS:
        allowed = "a function without yield: the body of a generator would never run"
        raise InvalidOption(job.__qualname__, "perform", perform, allowed)
    for hook in HOOKS:
        method = getattr(job, hook, None)
        awaited = is_async and hook != "on_enqueue"
        if _flags(method) & _GENERATORS or (_flags(method) & _COROUTINE and not awaited):
            raise InvalidOption(job.__qualname__, hook, method, "a def: nobody awaits it here")


def _check_redact(job: type, check: Any, redact: frozenset[str]) -> None:
    """A misspelt name would hide nothing. A base class may name more than one job has."""
    code = getattr(check, "__code__", None)
    if code is None or code.co_flags & _KEYWORD_REST:
        return
    names = code.co_varnames
    unknown = sorted(redact - set(names))
    if unknown:
        allowed = f"names of perform's parameters: {', '.join(names) or 'it has none'}"
        raise InvalidOption(job.__qualname__, "redact", unknown[0], allowed)


def _perform_of(job: type) -> tuple[Any, bool]:
    """``perform`` as it is written, and whether its first parameter is bound; None if missing."""
    for base in job.__mro__:
        if "perform" in base.__dict__:
            raw = base.__dict__["perform"]
            bound = not isinstance(raw, staticmethod)
            function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
            if not callable(function):
                raise InvalidOption(job.__qualname__, "perform", raw, "a method")
            return function, bound
    return None, False


def _innermost(function: Any) -> Any:
    """What decorators with ``functools.wraps`` are around: its signature counts."""
    while hasattr(function, "__wrapped__"):
        function = getattr(function, "__wrapped__")  # noqa: B009
    return function


def gives_coroutine(function: Any) -> bool:
    """True if a call gives a coroutine, as far as can be seen without making one.

    A plain function around an ``async def`` is taken to hand its coroutine on. An object is
    not: asgiref's ``async_to_sync`` and its like run it to its end.
    """
    while not _flags(function) & _COROUTINE:
        if not isinstance(function, (FunctionType, MethodType)):
            return False
        function = getattr(function, "__wrapped__", None)
    return True


class _Shape:
    """Which arguments a function takes, as far as its code object tells."""

    def __init__(self, function: Any) -> None:
        code = function.__code__
        positional, count = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
        self.names = code.co_varnames[:count]
        keywords = set(self.names[positional:]) - set(function.__kwdefaults__ or ())
        self.needed = {*self.names[: positional - len(function.__defaults__ or ())], *keywords}
        self.needed_keywords = keywords
        self.any_keyword = bool(code.co_flags & _KEYWORD_REST)
        self.open = self.any_keyword or bool(code.co_flags & POSITIONAL_REST)

    def refuses(self, other: _Shape) -> bool:
        """True if every call that fits ``other`` surely leaves out something needed here."""
        too_few = not other.open and len(self.needed) > len(other.names)
        return too_few or not (other.any_keyword or self.needed_keywords.issubset(other.names))


def _check_identity(job: type, check: Any) -> None:
    """It is called on the class with the job's own arguments: one that wants ``self`` too, or
    that no call of perform fits, would fail each enqueue. In doubt it is accepted."""
    raw = next(vars(base)["identity"] for base in job.__mro__ if "identity" in vars(base))
    identity = raw.__func__ if isinstance(raw, staticmethod) else raw
    if not isinstance(identity, FunctionType):
        return  # a classmethod, a partial, a callable object: the first enqueue will tell
    its, performs = _Shape(identity), _Shape(check)
    method = raw is identity and its.names[:1] == ("self",) and "self" in its.needed
    if (method and "self" not in performs.names) or its.refuses(performs) or performs.refuses(its):
        allowed = f"a @staticmethod over perform's own parameters ({_parameters(check, False)})"
        raise InvalidOption(job.__qualname__, "identity", identity, allowed)


def _flags(function: Any) -> int:
    code = getattr(function, "__code__", None)
    return int(code.co_flags) if code is not None else 0


def _signature_check(owner: str, function: Any, bound: bool) -> Callable[..., object]:
    """A function with perform's own parameters and an empty body.

    Calling it costs a twentieth of ``inspect.Signature.bind``, and a call that does not fit
    raises the interpreter's own TypeError, naming the class.
    """
    if isinstance(function, FunctionType):
        parameters = _parameters(function, bound)
    else:
        parameters = "*args, **kwargs"  # a C function or a callable object: perform will tell
    check: Any = eval(f"lambda {parameters}: None")  # names only, taken from a code object
    check.__name__ = "perform"
    check.__qualname__ = f"{owner}.perform"
    return check  # type: ignore[no-any-return]


def _most(check: Any) -> int:
    """How many positional arguments ``check`` takes, without those of ``*args``."""
    code = check.__code__
    if code.co_kwonlyargcount > len(check.__kwdefaults__ or ()):
        return -1  # a keyword is missing
    return int(code.co_argcount)


def _parameters(function: FunctionType, bound: bool) -> str:
    code = function.__code__
    names = code.co_varnames
    positional = names[: code.co_argcount]
    keyword_only = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = len(function.__defaults__ or ())
    rest = code.co_argcount + code.co_kwonlyargcount
    parts = []
    for index, name in enumerate(positional):
        optional = index >= len(positional) - defaults
        parts.append(f"{name}=None" if optional else name)
        if index + 1 == code.co_posonlyargcount:
            parts.append("/")
    if code.co_flags & POSITIONAL_REST:
        parts.append(f"*{names[rest]}")
        rest += 1
    elif keyword_only:
        parts.append("*")
    for name in keyword_only:
        optional = name in (function.__kwdefaults__ or {})
        parts.append(f"{name}=None" if optional else name)
    if code.co_flags & _KEYWORD_REST:
        parts.append(f"**{names[rest]}")
    if bound and positional:
        del parts[0]
        if parts and parts[0] == "/":
            del parts[0]
    return ", ".join(parts)
