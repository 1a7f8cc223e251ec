"""What a job's arguments and result weigh: an estimate in bytes, cheap and bounded.

Nothing large is walked. Of each value the object itself is measured, and then a bounded number of
those that it owns: all of a small container, some of a large one, which stand for the rest; the
attributes of an object, and theirs. No code of a user's runs: a ``__sizeof__`` written in Python is
not asked, nor is a ``__len__`` or an ``__iter__``. What an extension keeps to itself is not seen,
save in a buffer (an array of numpy). A value that several jobs were given counts for each.
"""

from __future__ import annotations

import contextlib
import gc
import types
from collections import deque
from datetime import date, datetime, time, timedelta
from itertools import islice
from sys import getsizeof
from typing import Any

from .interpreter import LOCKED
from .record import Record

__all__ = ["LIGHT", "is_plain", "weigh", "weigh_arguments", "weight_of"]

#: A job that weighs no more than this many bytes is held as it is: a description would be no
#: lighter.
LIGHT = 1024
#: How many objects are looked at for one value, and how far from it.
LOOKS, DEPTH = 100, 5
#: A container of no more than so many items is looked at whole, else so many stand for it.
FEW, SAMPLE = 20, 8
#: What the allocator adds to a small object, on average.
PADDING = 8
#: An object as large as this is not asked for what it owns: the answer would be as long.
LONG = 0x10000

#: Types of which ``getsizeof`` says everything.
_PLAIN = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, bytearray, range, date, datetime, time,
        timedelta,
    }
)  # fmt: skip
#: What is not an owner's own: it is there anyway, or leads to all there is.
_SHARED = (
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType,
    types.FrameType, types.TracebackType, types.GeneratorType, types.CoroutineType,
)  # fmt: skip
#: Looked into by their own means, whatever a subclass has written over.
_CONTAINERS: tuple[Any, ...] = (dict, list, tuple, set, frozenset, deque)
_HEAP_TYPE = 1 << 9  # a class written in Python, or made by its means
#: Looks an attribute of a class up without the code of a metaclass.
_of_class = type.__getattribute__
_mro_of = vars(type)["__mro__"].__get__
_names_of = vars(type)["__dict__"].__get__


def weight_of(call: Record) -> int:
    """Of what a job that has ended holds."""
    total, outcome, more = weigh_arguments(call), call.outcome, call.more
    if outcome is not None:
        total += weigh(outcome)
    if more is not None:
        total += len(more.error or "")  # a reason is short
        for value in (more.data, more.progress, more.key):
            if value:
                total += weigh(value)
    return total


def weigh_arguments(call: Record) -> int:
    """Of what it was given: each argument is looked at for itself; of very many some."""
    args, total = call.args, 0
    values: Any = args if not call.named else [*args, *call.named.values()]
    count = len(values)
    for value in values if count <= FEW else values[:FEW]:
        total += weigh(value)
    return total if count <= FEW else total * count // FEW


def weigh(value: object) -> int:
    """One value. What cannot be measured weighs nothing."""
    try:
        return getsizeof(value) if type(value) in _PLAIN else _weigh(value, DEPTH, [LOOKS])
    except Exception:  # another thread changes it, its class cannot be hashed, no memory is left
        return 0


def is_plain(value: object) -> bool:
    """True for a value of which ``getsizeof`` says everything."""
    try:
        return type(value) in _PLAIN
    except Exception:  # as above
        return False


def _weigh(value: Any, depth: int, left: list[int]) -> int:
    kind = type(value)
    if kind is dict:
        own, count = getsizeof(value), len(value)
        some: Any = value.values()
        if count > FEW:  # the names of a few are shared by many dicts like it
            some = [*islice(value, SAMPLE), *islice(some, SAMPLE)]
            count *= 2
    elif kind is list or kind is tuple:
        own, count, some = getsizeof(value), len(value), value
        if count > FEW:
            some = [value[count * n // SAMPLE] for n in range(SAMPLE)]
    elif issubclass(kind, _SHARED):
        return 0
    else:
        own = _own(value, kind)
        base = next((base for base in _CONTAINERS if issubclass(kind, base)), None)
        if base is not None:
            count = base.__len__(value)
            items = dict.values(value) if base is dict else base.__iter__(value)
            some = list(islice(items, SAMPLE if count > FEW else count))
        elif own >= LONG:
            return own
        else:
            some = _attributes(value, kind)
            if not some:
                return max(own, _buffered(value, kind))
            count = min(len(some), LOOKS)
            some = some[:LOOKS]
    if not depth or left[0] <= 0:
        return own
    left[0] -= len(some)
    sizes = [
        getsizeof(one) + PADDING if type(one) in _PLAIN else _weigh(one, depth - 1, left)
        for one in some
    ]
    if count <= FEW or count == len(some):
        return own + sum(sizes)
    if len(set(map(id, some))) == 1:
        return own + sizes[0]  # the same one again and again
    return own + sum(sizes) * count // len(some)


def _attributes(value: object, kind: type) -> list[Any]:
    """What an object has in slots and in its ``__dict__``; the ``args`` of an exception."""
    if LOCKED:
        return gc.get_referents(value)
    # That stops all threads here, which takes milliseconds while they compute.
    found = []
    for base in _mro_of(kind):
        for name, descriptor in _names_of(base).items():
            slot = type(descriptor) is types.MemberDescriptorType
            if slot or (
                name in ("__dict__", "args") and type(descriptor) is types.GetSetDescriptorType
            ):
                with contextlib.suppress(AttributeError):  # it is not set
                    found.append(descriptor.__get__(value))
    return found


def _own(value: object, kind: type) -> int:
    """The object itself, without what it refers to."""
    if type(_of_class(kind, "__sizeof__")) is types.MethodDescriptorType:
        return getsizeof(value)
    return object.__sizeof__(value)  # it has one in Python


def _buffered(value: object, kind: type) -> int:
    """Bytes of what an extension's object shows as a buffer."""
    if _of_class(kind, "__flags__") & _HEAP_TYPE:
        return 0  # it may be written in Python
    try:
        return memoryview(value).nbytes  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return 0
