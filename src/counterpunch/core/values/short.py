"""A value as a short text, at a price that does not depend on the value.

What jobs carry is not ours: megabytes of bytes, a set of a million, a queryset whose ``repr``
asks the database, an object whose ``repr`` raises. A text of it is made for every line of the log
and for every row of a page, so no more of a container is looked at than is shown, and what
would have to be worked out is called by the name of its type.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from threading import get_ident, main_thread
from time import perf_counter
from types import FunctionType, MappingProxyType, MethodType, SimpleNamespace
from typing import Any

__all__ = ["clean", "from_a_signal", "interrupts", "short", "shorten", "type_name"]

#: Containers within containers, and entries of one; what lies deeper, or further on, is three dots.
DEPTH, ITEMS = 6, 10
#: CPython writes no longer int by default, and is slow to write one where it may.
INT_BITS = 14_000
#: A type whose own ``__repr__`` has taken longer than so many seconds, so often in a row, is called
#: by its name from then on.
SLOW, STRIKES = 0.0001, 3

_strikes: dict[type, int] = {}


def interrupts(exc: BaseException) -> bool:
    """True for an exception that a signal handler may have raised: it is the caller's, wherever it
    came out, and not to be swallowed with those of the user's code that was called."""
    return not issubclass(type(exc), Exception) and get_ident() == main_thread().ident


def from_a_signal(exc: BaseException) -> bool:
    """The same, for code that is a stranger's: not what its own ``raise`` statement gave, since
    what a signal brings comes between two statements, or out of the handler."""
    if not interrupts(exc):
        return False
    import signal
    from opcode import opmap

    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(handler, "__code__", None) for handler in handlers}
    entry, of_a_handler, outright = exc.__traceback__, False, False
    while entry is not None:
        code, at = entry.tb_frame.f_code, entry.tb_lasti
        of_a_handler = of_a_handler or code in codes
        outright = code.co_code[at] == opmap["RAISE_VARARGS"]
        entry = entry.tb_next
    return of_a_handler or not outright


def shorten(value: object, limit: int = 200) -> str:
    """``short``, for a message."""
    return short(value, limit, "...")


def short(value: object, limit: int, more: str = "…") -> str:
    """``repr`` of a value in one line of at most ``limit`` characters; the end says that it was
    cut. What the value's own raises is said instead, save what is ``from_a_signal``."""
    text = clean(_text(value, limit + 1, DEPTH))
    return text if len(text) <= limit else text[: limit - len(more)] + more


def clean(text: str) -> str:
    """A text without control characters, line ends included: with escapes in their place."""
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def _text(value: Any, room: int, depth: int) -> str:
    """At least the first ``room`` characters, and not much more."""
    try:
        return _written(value, room, depth)
    except BaseException as exc:  # a broken __repr__ must not hide the message it is part of
        if from_a_signal(exc):
            raise
        name = str(type.__getattribute__(type(value), "__name__"))[:200]
        return f"<{name}: its repr raised {type(exc).__name__}>"


def _written(value: Any, room: int, depth: int) -> str:
    kind = type(value)
    how = kind.__repr__
    writer = _WRITERS.get(how)
    if writer is not None:
        return writer(value, room, depth)
    if issubclass(kind, type):
        return type.__repr__(value)
    if not isinstance(how, FunctionType):
        cheap = not _lazy(kind) or kind.__module__ in _CHEAP
        return repr(value) if cheap else f"<{type_name(kind)}>"
    pairs: Iterable[tuple[str, Any]]
    if hasattr(kind, "__dataclass_fields__") and _generated(how, "<string>"):
        names = [name for name, one in kind.__dataclass_fields__.items() if one.repr]
        pairs = ((name, getattr(value, name)) for name in names)
        return _named(kind.__qualname__, pairs, room, depth)
    if issubclass(kind, tuple) and _generated(how, _NAMEDTUPLES):
        pairs = zip(kind._fields, tuple.__iter__(value), strict=False)  # type: ignore[attr-defined]
        return _named(kind.__name__, pairs, room, depth)
    return f"<{type_name(kind)}>" if _lazy(kind) else _own(value, kind)


#: What has one of these may have to be worked out: a queryset, a generator, a proxy of either.
_LAZY = ("__iter__", "__next__", "__await__", "__aiter__")
#: Of these the iterators, too, have a repr that looks at nothing.
_CHEAP = ("builtins", "_io", "itertools")
_NAMEDTUPLES = sys.modules["collections"].__file__ or ""


def _lazy(kind: type) -> bool:
    # Not by hasattr, which finds what the class itself has of its metaclass: an Enum's __iter__.
    return any(name in vars(base) for base in kind.__mro__ for name in _LAZY)


def _generated(how: Any, file: str) -> bool:
    code = getattr(getattr(how, "__wrapped__", how), "__code__", None)
    return code is not None and code.co_filename == file


def type_name(kind: type) -> str:
    name = str(type.__getattribute__(kind, "__qualname__"))
    return clean(f"{type.__getattribute__(kind, '__module__')}.{name}"[:200])


def _own(value: object, kind: type) -> str:
    """By the ``__repr__`` of the value's class, unless it is known to be slow."""
    strikes = _strikes.get(kind, 0)
    if strikes >= STRIKES:
        return f"<{type_name(kind)}>"
    began = perf_counter()
    try:
        return repr(value)
    finally:
        if perf_counter() - began > SLOW:
            _strikes[kind] = strikes + 1
        elif strikes:
            _strikes.pop(kind, None)


# How each kind is written


def _str(value: Any, room: int, depth: int) -> str:
    return repr(str.__getitem__(value, slice(room)))


def _bytes(value: Any, room: int, depth: int) -> str:
    return repr(bytes.__getitem__(value, slice(room)))


def _bytearray(value: Any, room: int, depth: int) -> str:
    return repr(bytearray.__getitem__(value, slice(room)))


def _int(value: Any, room: int, depth: int) -> str:
    bits = int.bit_length(value)
    return f"<int of {bits:,} bits>" if bits > INT_BITS else int.__repr__(value)


def _items(values: Iterable[str], room: int, ends: str) -> str:
    """``[1, 2, 3]``: as many as there is room for, each written only then."""
    parts: list[str] = []
    # Not to the end: a dict or a set may grow meanwhile.
    for one in islice(values, ITEMS + 1):
        if len(parts) == ITEMS:
            parts.append("...")
            break
        parts.append(one)
        room -= len(one) + 2
        if room < 0:
            break
    return ends[0] + ", ".join(parts) + ends[1]


def _sequence(ends: str, walk: Callable[[Any], Iterable[Any]]) -> Callable[[Any, int, int], str]:
    def write(value: Any, room: int, depth: int) -> str:
        if not depth:
            return f"{ends[0]}...{ends[1]}"
        return _items((_text(one, room, depth - 1) for one in walk(value)), room, ends)

    return write


_list = _sequence("[]", list.__iter__)


def _tuple(value: Any, room: int, depth: int) -> str:
    text = _sequence("()", tuple.__iter__)(value, room, depth)
    return f"{text[:-1]},)" if tuple.__len__(value) == 1 and depth else text


def _set(value: Any, room: int, depth: int) -> str:
    text = _sequence("{}", iter)(value, room, depth) if len(value) else ""
    return text if type(value) is set and text else f"{type(value).__name__}({text})"


def _dict(value: Any, room: int, depth: int) -> str:
    if not depth:
        return "{...}"
    pairs = dict.items(value)
    texts = (f"{_text(k, room, depth - 1)}: {_text(v, room, depth - 1)}" for k, v in pairs)
    return _items(texts, room, "{}")


def _called(inner: Callable[[Any, int, int], str]) -> Callable[[Any, int, int], str]:
    """``Counter({...})``"""

    def write(value: Any, room: int, depth: int) -> str:
        return f"{type(value).__name__}({inner(value, room, depth) if len(value) else ''})"

    return write


def _defaultdict(value: Any, room: int, depth: int) -> str:
    factory = _text(value.default_factory, room, depth)
    return f"{type(value).__name__}({factory}, {_dict(value, room, depth)})"


def _deque(value: Any, room: int, depth: int) -> str:
    bound = "" if value.maxlen is None else f", maxlen={value.maxlen}"
    return f"{type(value).__name__}({_sequence('[]', deque.__iter__)(value, room, depth)}{bound})"


def _view(value: Any, room: int, depth: int) -> str:
    return f"{type(value).__name__}({_sequence('[]', iter)(value, room, depth)})"


def _proxy(value: Any, room: int, depth: int) -> str:
    return f"<{type(value).__name__} of {len(value):,}>"


def _named(
    name: str, pairs: Iterable[tuple[str, Any]], room: int, depth: int, ends: str = "()"
) -> str:
    if not depth:
        return f"{name}(...)"
    return name + _items((f"{n}={_text(v, room, depth - 1)}" for n, v in pairs), room, ends)


def _namespace(value: Any, room: int, depth: int) -> str:
    kind = type(value)
    name = "namespace" if kind is SimpleNamespace else kind.__name__
    return _named(name, vars(value).items(), room, depth)


def _exception(value: Any, room: int, depth: int) -> str:
    args = BaseException.args.__get__(value)  # type: ignore[attr-defined]
    text = _sequence("()", tuple.__iter__)(args, room, depth)
    return type(value).__name__ + text


def _partial(value: Any, room: int, depth: int) -> str:
    def texts() -> Iterator[str]:
        for one in (value.func, *value.args):
            yield _text(one, room, depth - 1)
        for name, one in value.keywords.items():
            yield f"{name}={_text(one, room, depth - 1)}"

    return "functools.partial" + (_items(texts(), room, "()") if depth else "(...)")


def _method(value: Any, room: int, depth: int) -> str:
    name = getattr(value.__func__, "__qualname__", "?")
    owner = _text(value.__self__, room, depth - 1) if depth else "..."
    return f"<bound method {name} of {owner}>"


_WRITERS: dict[Any, Callable[[Any, int, int], str]] = {
    str.__repr__: _str,
    bytes.__repr__: _bytes,
    bytearray.__repr__: _bytearray,
    int.__repr__: _int,
    list.__repr__: _list,
    tuple.__repr__: _tuple,
    set.__repr__: _set,
    frozenset.__repr__: _set,
    dict.__repr__: _dict,
    OrderedDict.__repr__: _called(_dict),
    Counter.__repr__: _called(_dict),
    defaultdict.__repr__: _defaultdict,
    deque.__repr__: _deque,
    type({}.keys()).__repr__: _view,
    type({}.values()).__repr__: _view,
    type({}.items()).__repr__: _view,
    MappingProxyType.__repr__: _proxy,
    SimpleNamespace.__repr__: _namespace,
    BaseException.__repr__: _exception,
    partial.__repr__: _partial,
    MethodType.__repr__: _method,
}
