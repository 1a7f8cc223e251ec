"""What is worked out once for a job class, so that no enqueue has to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType, MethodType
from typing import Any

from .checks import hashable
from .errors import InvalidOption
from .options import Options, resolve

__all__ = ["HOOKS", "POSITIONAL_REST", "Plan", "gives_coroutine", "identity_of", "plan_of"]

#: The optional methods of a job class that the runtime calls, in the order of one attempt.
HOOKS = ("on_enqueue", "before", "on_success", "on_error", "on_failure", "after")

# inspect.CO_* flags; those of generators are two, for def and for async def.
POSITIONAL_REST, _KEYWORD_REST, _COROUTINE, _GENERATORS = 0x04, 0x08, 0x80, 0x20 | 0x200


class Plan:
    """The checked options of a class, which hooks it has, and the shape of its ``perform``."""

    __slots__ = (
        "after",
        "bare",
        "before",
        "check",
        "guarded",
        "hooked",
        "is_async",
        "lacks",
        "most",
        "name",
        "on_enqueue",
        "on_error",
        "on_failure",
        "on_success",
        "options",
        "plain",
    )

    def __init__(self, job: type) -> None:
        self.name = f"{job.__module__}.{job.__qualname__}"
        self.options: Options = resolve(job, job.__qualname__)
        for hook in HOOKS:
            method = getattr(job, hook, None)
            if method is not None and not callable(method):
                raise InvalidOption(job.__qualname__, hook, method, "a method: it is a hook")
            setattr(self, hook, method is not None)
        #: The class has hooks around an attempt.
        self.hooked: bool = self.on_success or self.on_error or self.on_failure or self.after
        function, bound = _perform_of(job)
        #: Raises the TypeError that perform itself would raise for these arguments. None if a
        #: job of this class could not be performed: ``lacks`` says why.
        self.check: Callable[..., object] | None = None
        self.lacks = "it defines no perform()"
        if function is not None:
            self.check = _signature_check(job.__qualname__, _innermost(function), bound)
        if self.options.identity is not None and self.check is not None:
            _check_identity(job, self.check)
        if isinstance(self.options.redact, frozenset) and "redact" in job.__dict__:
            self._check_redact(job, self.options.redact)
        abstract: Iterable[str] = getattr(job, "__abstractmethods__", ())
        if self.check is not None and abstract:
            self.check = None
            self.lacks = f"it is abstract, without {', '.join(sorted(abstract))}"
        #: A call of so many arguments and no keywords fits ``perform``; -1 if none surely does.
        self.most = -1 if self.check is None else _most(self.check)
        self.is_async = gives_coroutine(function)
        self._refuse_what_would_not_run(job)
        options = self.options
        #: A job of this class needs a look before it starts.
        self.guarded = (
            options.expires_in is not None
            or options.rate is not None
            or options.timeout is not None
            or options.unique == "queued"
            or (options.retry is not None and options.retry.budget is not None)
        )
        #: An attempt of this class is nothing but: note the start, perform, note the end.
        self.bare = not (self.guarded or self.hooked or self.before or self.is_async)
        #: An enqueue of this class is nothing but: check, build, append, wake.
        self.plain = (
            self.check is not None
            and not self.on_enqueue
            and options.identity is None
            and options.rate is None
            and options.backend is None
            and options.pool is None
            and options.context == "copy"
        )

    def _refuse_what_would_not_run(self, job: type) -> None:
        """A call of a generator function, or of a coroutine function that nobody awaits, runs
        nothing of its body, and would look like a success."""
        perform = getattr(job, "perform", None)
        if _flags(perform) & _GENERATORS:
            allowed = "a function without yield: the body of a generator would never run"
            raise InvalidOption(job.__qualname__, "perform", perform, allowed)
        for hook in HOOKS:
            method = getattr(job, hook, None)
            awaited = self.is_async and hook != "on_enqueue"
            if _flags(method) & _GENERATORS or (_flags(method) & _COROUTINE and not awaited):
                raise InvalidOption(job.__qualname__, hook, method, "a def: nobody awaits it here")

    def _check_redact(self, job: type, redact: frozenset[str]) -> None:
        """A misspelt name would hide nothing. A base class may name more than one job has."""
        code = getattr(self.check, "__code__", None)
        if code is None or code.co_flags & _KEYWORD_REST:
            return
        names = code.co_varnames
        unknown = sorted(redact - set(names))
        if unknown:
            allowed = f"names of perform's parameters: {', '.join(names) or 'it has none'}"
            raise InvalidOption(job.__qualname__, "redact", unknown[0], allowed)

    on_enqueue: bool
    before: bool
    on_success: bool
    on_error: bool
    on_failure: bool
    after: bool


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
    return hashable(job.__qualname__, key if isinstance(key, tuple) else (key,))


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
