"""What can be seen of a callable before it is called: its parameters, and what a call gives.

Whoever brings a ``perform`` may have put decorators around it. ``inspect.signature`` is asked for
what is no plain function; it is long to import, and most are. Proxies, as wrapt makes them, say
that they are of the class of what they are around, hence ``type(...) is``.
"""

# No "from __future__ import annotations" here: see ``counts``.

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

__all__ = [
    "ANY", "Parameter", "awaits", "generates", "is_bound", "layers", "never_entered", "parameters",
    "receives", "written",
]  # fmt: skip

# inspect.CO_* flags; of coroutines and of generators there are two kinds each.
_REST, _KEYWORD_REST = 0x04, 0x08
_COROUTINE, _GENERATORS, _ASYNC = 0x80 | 0x100, 0x20 | 0x200, 0x80 | 0x200
# The kinds of parameters, numbered as inspect does.
_POSITIONAL_ONLY, _USUAL, _VAR_POSITIONAL, _KEYWORD_ONLY, _VAR_KEYWORD = range(5)


class Parameter(NamedTuple):
    """One parameter of a callable."""

    name: str
    kind: int
    optional: bool

    @property
    def rest(self) -> bool:
        """It takes whatever is left over."""
        return self.kind in (_VAR_POSITIONAL, _VAR_KEYWORD)


#: Of what says nothing about itself.
ANY = [
    Parameter("args", _VAR_POSITIONAL, True),
    Parameter("kwargs", _VAR_KEYWORD, True),
]


def awaits(function: Any) -> bool:
    """True if the callable itself says that a call gives a coroutine.

    What it is around does not count: a decorator may run it to its end. Where it gives an awaitable
    without saying so, whoever calls it finds out.
    """
    function = _outermost(function)
    marked = "_is_coroutine_marker" in getattr(function, "__dict__", ())  # inspect's, since 3.12
    return marked or bool(_flags(function) & _COROUTINE)


def generates(function: Any) -> bool:
    """True if the callable itself says that a call gives a generator, and runs nothing."""
    flags = _flags(_outermost(function))
    return bool(flags & _GENERATORS) and not flags & _COROUTINE


def never_entered(function: Any) -> bool:
    """True if the callable itself says that a call gives nothing that ``with`` enters."""
    function = _outermost(function)
    if isinstance(function, type):
        return hasattr(function, "__aenter__") and not hasattr(function, "__enter__")
    made = getattr(getattr(function, "__code__", None), "co_qualname", None)
    if made == "contextmanager.<locals>.helper":  # of contextlib, around a function
        return bool(_flags(_outermost(function.__wrapped__)) & _ASYNC)
    decorated = made == "asynccontextmanager.<locals>.helper"
    return decorated or awaits(function) or generates(function)


def _outermost(function: Any) -> Any:
    """Without what only fills in arguments."""
    while isinstance(function, (partial, MethodType)):
        function = function.func if isinstance(function, partial) else function.__func__
    return function


def _flags(function: Any) -> int:
    called = _called(function)
    return 0 if called is None else called.__code__.co_flags


def _called(function: Any) -> FunctionType | None:
    """What runs when it is called, if that is written in Python."""
    if type(function) is not FunctionType and not isinstance(function, type):
        found = (vars(each).get("__call__") for each in type(function).__mro__)
        function = next((each for each in found if each is not None), None)
    return function if type(function) is FunctionType else None


def is_bound(raw: Any) -> bool:
    """True if what stands so in a class gets the instance, or the class, as its first argument."""
    if type(raw) is FunctionType or isinstance(raw, classmethod):
        return True
    if isinstance(raw, partial) and sys.version_info < (3, 14):
        return False  # 3.13 has given it a __get__ that only warns
    return hasattr(type(raw), "__get__") and not isinstance(raw, (staticmethod, MethodType))


def parameters(function: Any, bound: bool = False) -> list[Parameter]:
    """What a call of it has to fit; what is not known fits.

    As ``inspect.signature`` says it, with one exception: where a decorator with ``functools.wraps``
    may give the function other arguments than it takes, its own signature counts.

    Args:
        function: Any callable.
        bound: Leave out the first one.
    """
    if type(function) is MethodType:
        return parameters(function.__func__, True)
    found = _parameters(function)
    if bound and found and found[0].kind in (_POSITIONAL_ONLY, _USUAL):
        return found[1:]
    return found


def _parameters(function: Any) -> list[Parameter]:
    one = function
    for one in layers(function):
        if hasattr(one, "__signature__") or not _hands_on(one):
            break
    if hasattr(one, "__signature__"):
        return _of_signature(one)
    if type(one) is FunctionType:
        return list(_of_code(one))
    # An object that is around a function does with the arguments what it likes.
    return ANY if hasattr(one, "__wrapped__") else _of_signature(one)


def layers(function: Any) -> Iterator[Any]:
    """A function, what it is around, and so on."""
    seen: set[int] = set()
    while id(function) not in seen:
        seen.add(id(function))
        yield function
        function = getattr(function, "__wrapped__", function)


def _hands_on(decorated: Any) -> bool:
    """True for a decorator that gives the arguments on as they are, as far as can be seen.

    It takes them in one piece, at most after a ``self``, and spreads them so. It may change them if
    it names others, puts more in front, or has a name, such as that of a keyword, as a constant.
    """
    around = _called(decorated)
    if around is None:
        return type(decorated).__module__ == "functools"  # lru_cache and its like
    code = around.__code__
    own = int(around is not decorated)  # the self of __call__
    named = code.co_argcount - own
    if not code.co_flags & _REST or named > 1 or code.co_kwonlyargcount:
        return False
    return not any(_words(code.co_consts)) and _put_in_front(code) == ({named} if named else set())


def _words(constants: tuple[Any, ...]) -> Iterator[bool]:
    for constant in constants:
        if isinstance(constant, tuple):
            yield from _words(constant)
        else:
            yield isinstance(constant, str) and constant.isidentifier()


def _put_in_front(code: CodeType) -> set[int]:
    """How many arguments calls have in front of spread ones: CPython makes a list of them first,
    which it extends. Where there are none, it makes no list."""
    from opcode import opmap

    steps = zip(code.co_code[::2], code.co_code[1::2], strict=True)
    return {count for step, count in steps if step == opmap["BUILD_LIST"]}


def _of_code(function: FunctionType) -> Iterator[Parameter]:
    code = function.__code__
    names, usual, every = code.co_varnames, code.co_argcount, code.co_argcount
    every += code.co_kwonlyargcount
    required = usual - len(function.__defaults__ or ())
    for index, name in enumerate(names[:usual]):
        kind = _POSITIONAL_ONLY if index < code.co_posonlyargcount else _USUAL
        yield Parameter(name, kind, index >= required)
    rest = every
    if code.co_flags & _REST:
        yield Parameter(names[rest], _VAR_POSITIONAL, True)
        rest += 1
    for name in names[usual:every]:
        yield Parameter(name, _KEYWORD_ONLY, name in (function.__kwdefaults__ or {}))
    if code.co_flags & _KEYWORD_REST:
        yield Parameter(names[rest], _VAR_KEYWORD, True)


def _of_signature(function: Any) -> list[Parameter]:
    from inspect import signature

    try:
        found = signature(function).parameters.values()
    except (TypeError, ValueError):  # built in C, or with a signature that is none
        return ANY
    return [Parameter(each.name, each.kind.value, each.default is not each.empty) for each in found]


def written(found: list[Parameter]) -> str:
    """Parameters as they stand in a ``def``, each optional one with None as its default."""
    parts: list[str] = []
    before = _POSITIONAL_ONLY
    for name, kind, optional in found:
        if before == _POSITIONAL_ONLY != kind and parts:
            parts.append("/")
        if kind == _KEYWORD_ONLY and before < _VAR_POSITIONAL:
            parts.append("*")
        star = {_VAR_POSITIONAL: "*", _VAR_KEYWORD: "**"}.get(kind)
        parts.append(f"{star}{name}" if star else f"{name}=None" if optional else name)
        before = kind
    if parts and before == _POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


def receives(function: Callable[..., Any], count: int, bound: bool = False) -> bool:
    """True if it can be called with so many positional arguments; in doubt, too."""
    kinds = [(each.kind, each.optional) for each in parameters(function, bound)]
    usual = [optional for kind, optional in kinds if kind in (_POSITIONAL_ONLY, _USUAL)]
    rest = any(kind == _VAR_POSITIONAL for kind, _ in kinds)
    keyword = any(kind == _KEYWORD_ONLY and not optional for kind, optional in kinds)
    return not keyword and usual.count(False) <= count and (rest or count <= len(usual))
