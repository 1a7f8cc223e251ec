"""What a job class's own methods have to look like: refused where the class is written."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ..core.values.callables import (
    awaits,
    generates,
    layers,
    parameters,
    receives,
    written,
)
from ..core.values.errors import InvalidOption
from ..core.values.plan import POSITIONAL_REST

__all__ = [
    "HOOKS", "check_function", "check_hooks", "check_identity", "check_instances", "check_names",
    "check_perform", "check_redact", "check_redacted", "written_in",
]  # fmt: skip

#: The optional methods of a job class that the runtime calls, in the order of one attempt.
HOOKS = ("on_enqueue", "before", "on_success", "on_error", "on_failure", "after")
#: What those are given that are given something.
_TOLD = {"on_success": "result", "on_error": "exc", "on_failure": "exc"}
#: What people call the first parameter of a method, besides names with an underscore or ``self``.
_SELVES = frozenset({"cls", "instance", "job", "me", "obj", "s", "task", "this"})

#: What every job has. A class may do it another way, but not have something else by its name.
_METHODS = frozenset({
    "cancel_all", "check_cancelled", "in_progress", "latest", "pause", "perform_async",
    "perform_at", "perform_bulk", "perform_in", "perform_now", "progress", "resume", "set_status",
    "stats", "status", "track", "using",
})  # fmt: skip
_PROPERTIES = frozenset({"attempt", "cancelled"})
_TAKEN = frozenset({"handle", "options"})

_KEYWORD_REST = 0x08  # inspect.CO_VARKEYWORDS


def check_perform(job: type, function: Any, bound: bool) -> None:
    """A ``self`` that was forgotten takes the first argument, and a generator runs nothing."""
    if generates(function):
        allowed = "a function without yield: the body of a generator would never run"
        raise InvalidOption(job.__qualname__, "perform", function, allowed)
    if not (bound and type(function) is FunctionType):
        return
    found = parameters(function)
    name = found[0].name if found else ""
    if not found or not (
        found[0].rest or "self" in name or name.startswith("_") or name in _SELVES
    ):
        allowed = f"perform(self, {written(found)})".replace(", )", ")")
        allowed += ": the job itself comes first; of a plain function make a staticmethod"
        raise InvalidOption(job.__qualname__, "perform", function, allowed)


def check_function(function: Any) -> None:
    """A method is no job: nobody would give it its ``self``."""
    owner, _, _ = getattr(function, "__qualname__", "").rpartition(".")
    if type(function) is FunctionType and owner and not owner.endswith("<locals>"):
        found = parameters(function)
        if found and found[0].name in ("self", "cls"):
            allowed = (
                "a function; of a method make a class: class ...(Job), with this as its perform"
            )
            raise InvalidOption("@job", "function", function, allowed)


def check_hooks(job: type, perform: Any) -> None:
    """A hook that nobody awaits, or that cannot be called as it will be, would fail each time."""
    awaited = any(map(awaits, layers(perform)))
    for hook in HOOKS:
        raw = written_in(job, hook)
        if raw is None:
            continue
        method = getattr(job, hook)
        if generates(method) or (awaits(method) and not (awaited and hook != "on_enqueue")):
            raise InvalidOption(job.__qualname__, hook, method, "a def: nobody awaits it here")
        told = _TOLD.get(hook)
        if type(raw) is FunctionType and not receives(raw, 2 if told else 1):
            allowed = f"{hook}(self, {told})" if told else f"{hook}(self)"
            raise InvalidOption(job.__qualname__, hook, method, allowed)


def check_instances(job: type) -> None:
    """A fresh instance is made for each attempt, without arguments."""
    for name in ("__init__", "__new__"):
        raw = written_in(job, name)
        function = raw.__func__ if isinstance(raw, staticmethod) else raw
        if type(function) is FunctionType and not receives(function, 1):
            allowed = (
                "no parameter without a default: a fresh instance is made for each attempt, "
                "without arguments; those of the job are perform's"
            )
            raise InvalidOption(job.__qualname__, name, function, allowed)


def check_names(job: type) -> None:
    """An attribute that hides what a job has would switch it off in silence."""
    for base in job.__mro__:
        if base.__module__.partition(".")[0] == __name__.partition(".")[0]:
            return  # what follows is hidden by ours
        for name in vars(base).keys() & (_METHODS | _PROPERTIES | _TAKEN):
            raw = vars(base)[name]
            method = callable(raw) or isinstance(raw, (classmethod, staticmethod))
            if name in _METHODS and not (method or type(raw).__module__.startswith("counterp")):
                allowed = "a method, as every job has it: give your own attribute another name"
            elif name in _PROPERTIES and (method or not hasattr(type(raw), "__get__")):
                allowed = "a property, as every job has it: give your own attribute another name"
            elif name in _TAKEN and not hasattr(type(raw), "__set__"):
                allowed = "nothing, for every job has its own: give your attribute another name"
            else:
                continue
            raise InvalidOption(job.__qualname__, name, raw, allowed)


def written_in(job: type, name: str) -> Any:
    """What stands in a class by a name, as it is written; None if nothing does: its metaclass may
    have an answer to every name."""
    return next((vars(base)[name] for base in job.__mro__ if name in vars(base)), None)


def check_redact(job: type, check: Any, redact: frozenset[str]) -> None:
    """A name that is none of perform's would hide nothing: a misspelt one, or one that a base class
    has and this class calls otherwise. A base class may name more than one job has."""
    if "redact" not in vars(job):
        bases = job.__mro__[1:]
        redact = frozenset(name for name in redact if any(_takes(base, name) for base in bases))
    check_redacted(job, check, redact)


def check_redacted(job: type, check: Any, redact: frozenset[str]) -> None:
    """
    Raises:
        InvalidOption: For a name that is surely none of perform's parameters.
    """
    code = getattr(check, "__code__", None)
    if code is None or code.co_flags & _KEYWORD_REST:
        return
    names = code.co_varnames
    unknown = sorted(redact - set(names))
    if unknown:
        allowed = f"names of perform's parameters: {', '.join(names) or 'it has none'}"
        raise InvalidOption(job.__qualname__, "redact", unknown[0], allowed)


def _takes(base: type, name: str) -> bool:
    """True if ``perform`` of a job class has a parameter of that name."""
    code = getattr(getattr(vars(base).get("_plan"), "check", None), "__code__", None)
    return code is not None and name in code.co_varnames


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


def check_identity(job: type, check: Any) -> None:
    """It is called on the class with the job's own arguments: one that wants ``self`` too, or
    that no call of perform fits, would fail each enqueue. In doubt it is accepted."""
    raw = written_in(job, "identity")
    identity = raw.__func__ if isinstance(raw, staticmethod) else raw
    if type(identity) is not FunctionType:
        return  # a classmethod, a partial, a callable object: the first enqueue will tell
    its, performs = _Shape(identity), _Shape(check)
    method = raw is identity and its.names[:1] == ("self",) and "self" in its.needed
    if (method and "self" not in performs.names) or its.refuses(performs) or performs.refuses(its):
        allowed = f"a @staticmethod over perform's own parameters ({written(parameters(check))})"
        raise InvalidOption(job.__qualname__, "identity", identity, allowed)
