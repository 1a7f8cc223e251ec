"""Copies of exceptions: what is remembered of a failure, and what each who asks for it is given.

Who raises an exception hangs frames on it, and what was being handled just then; and it may be
somebody else's already, a ``Future``'s or a module's. So the one that a job has raised is never
kept, and one that is kept is never raised.

Attributes are read and written as C does it, for a class may refuse them. A copy is made without
the constructor of the class, which may want other arguments than it keeps.
"""

from __future__ import annotations

import builtins
import copy
from contextlib import suppress
from types import BuiltinFunctionType, MemberDescriptorType, WrapperDescriptorType
from typing import Any

from .matching import is_a, members

__all__ = ["CONTEXT", "FRAMES", "linked", "without_frames"]

_base: Any = BaseException
_ARGS, _ATTRIBUTES = _base.args, vars(BaseException)["__dict__"]
_CAUSE, _SUPPRESS = _base.__cause__, _base.__suppress_context__
#: Of an exception: what was being handled as it was raised, and its traceback.
CONTEXT, FRAMES = _base.__context__, _base.__traceback__
_BUILTIN = {kind for kind in vars(builtins).values() if isinstance(kind, type)}
_IN_C = (BuiltinFunctionType, WrapperDescriptorType)
_UNSET = object()
_MESSAGE = vars(BaseExceptionGroup)["message"]

Twins = dict[int, Any]


def linked(exc: BaseException, handled: BaseException | None = None) -> list[Any]:
    """An exception, its cause and context, members of a group, exceptions among arguments and
    attributes, and so on; but not ``handled`` and what lies behind that."""
    found: list[Any] = []
    pending: list[Any] = [exc]
    seen = set() if exc is handled else {id(handled)}
    while pending:
        one = pending.pop()
        if id(one) in seen or not is_a(one, BaseException):
            continue
        seen.add(id(one))
        found.append(one)
        pending += (_CAUSE.__get__(one), CONTEXT.__get__(one))
        pending += (*_ARGS.__get__(one), *_ATTRIBUTES.__get__(one).values())
        pending += members(one)
    return found


def without_frames(exc: BaseException, handled: BaseException | None = None) -> BaseException:
    """A copy of an exception, and of all that is linked to it, that holds no frames.

    What cannot be copied stays itself, and loses its frames.

    Args:
        exc: The exception.
        handled: What its caller was handling, which is its context and yet no part of it.
    """
    everything = linked(exc, handled)
    twins: Twins = {}
    pending = everything.copy()
    while pending:  # a group after its members, for it cannot be given them later
        missing = [each for each in members(pending[-1]) if id(each) not in twins]
        pending += missing
        if not missing:
            one = pending.pop()
            if id(one) not in twins:
                twins[id(one)] = _copied(one, twins)
    for one in everything:
        twin = twins[id(one)]
        if twin is not one:
            _link(one, twin, handled, twins)
        elif one is not handled:
            FRAMES.__set__(one, None)
    made: BaseException = twins[id(exc)]
    return made


def _copied(one: Any, twins: Twins) -> Any:
    """The copy of one of them, not yet linked to others; itself if it cannot be copied."""
    try:
        return _copy(one, [twins[id(each)] for each in members(one)])
    except Exception:  # of its own way to be copied
        return one


def _copy(one: Any, its: list[Any]) -> Any:
    kind: Any = type(one)
    base = kind
    while base not in _BUILTIN:
        if any(type(vars(base).get(name)) in _IN_C for name in ("__new__", "__init__")):
            return _copy_of_an_extension(one)
        base = base.__base__
    args = _ARGS.__get__(one) if not its else (_MESSAGE.__get__(one), its)
    twin = base.__new__(kind, *args)
    base.__init__(twin, *args)
    for cls in kind.__mro__:
        for member in vars(cls).values():
            if type(member) is MemberDescriptorType:
                value = _read(member, one)
                if value is not _UNSET and value is not _read(member, twin):
                    with suppress(AttributeError, TypeError):  # read-only: made with it
                        member.__set__(twin, value)
    return twin


def _copy_of_an_extension(one: Any) -> Any:
    """What it holds cannot be seen from here; its class may say how it is pickled."""
    twin = copy.copy(one)
    same = type(twin) is type(one) and _ARGS.__get__(twin) == _ARGS.__get__(one)
    if not same or str(twin) != str(one):
        raise TypeError
    return twin


def _link(one: Any, twin: Any, handled: BaseException | None, twins: Twins) -> None:
    args = tuple(twins.get(id(each), each) for each in _ARGS.__get__(one))
    if not is_a(one, BaseExceptionGroup):
        _ARGS.__set__(twin, args)
    attributes = _ATTRIBUTES.__get__(twin)
    for name, value in _ATTRIBUTES.__get__(one).items():
        notes = name == "__notes__" and type(value) is list
        attributes[name] = value.copy() if notes else twins.get(id(value), value)
    for link in (_CAUSE, CONTEXT):
        other = link.__get__(one)
        if other is not None and other is not handled:
            link.__set__(twin, twins[id(other)])
    _SUPPRESS.__set__(twin, _SUPPRESS.__get__(one))


def _read(member: Any, one: Any) -> Any:
    try:
        return member.__get__(one)
    except AttributeError:
        return _UNSET
