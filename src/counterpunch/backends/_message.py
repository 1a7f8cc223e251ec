"""What an enqueue sends to a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..core.values.errors import CounterpunchError, InvalidOption
from ..core.values.per_call import PER_CALL
from ..core.values.retry import Retry
from ..core.values.short import shorten
from ._encoding import decode, encode, pack, unpack
from ._paths import find_exception

__all__ = ["Message", "Unreadable", "arguments_in", "instant", "options_in", "options_out"]

VERSION = 1
#: The end of the year 9999, where ``datetime`` ends.
LATEST = 253_402_300_800


class Unreadable(CounterpunchError):
    """Raised in a worker for a message that no ``Message`` of this version is; ``id`` is that of
    its job, if it has one."""

    def __init__(self, why: str, id: object = None) -> None:
        super().__init__(why)
        self.id = id if isinstance(id, str) else None


def instant(value: object) -> bool:
    """True for epoch seconds."""
    return type(value) in (int, float) and 0 <= value < LATEST  # type: ignore[operator]


#: What each field of a message has to be.
_FITS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("id", "job"), lambda value: isinstance(value, str)),
    "args": lambda value: isinstance(value, list),
    **dict.fromkeys(("kwargs", "options"), lambda value: isinstance(value, dict)),
    **dict.fromkeys(("enqueued", "due"), instant),
    "attempt": lambda value: type(value) is int and value > 0,
    "first": lambda value: value is None or instant(value),
    "priority": lambda value: type(value) is int,
    "version": lambda value: value == VERSION,
}


@dataclass(frozen=True, slots=True)
class Message:
    """One attempt of one job, as plain JSON values. All instants are epoch seconds.

    Attributes:
        id: The job's; the same in every attempt.
        job: Import path of the class.
        args, kwargs: Encoded.
        options: What ``using(...)`` or a middleware set, encoded by ``options_out``.
        enqueued: When the job was accepted.
        due: When this attempt may start.
        attempt: Its number, from 1.
        first: When the first attempt started; None before.
        priority: Higher runs sooner, where the engine has priorities.
    """

    id: str
    job: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    enqueued: float
    due: float
    attempt: int = 1
    first: float | None = None
    priority: int = 0
    version: int = VERSION

    def dumps(self) -> str:
        return pack(asdict(self))

    @staticmethod
    def loads(text: str) -> Message:
        """
        Raises:
            Unreadable: (a ``CounterpunchError``) If another version of this package wrote it, or
                somebody else.
        """
        try:
            values = unpack(text)
        except (ValueError, TypeError, RecursionError) as exc:
            raise Unreadable(f"a message that is no JSON: {type(exc).__name__}") from exc
        if not isinstance(values, dict):
            raise Unreadable(f"a message that is no JSON object but {shorten(values)}")
        id, version = values.get("id"), values.get("version")
        if version != VERSION:
            raise Unreadable(
                f"a message of version {shorten(version)} reached a worker that knows "
                f"version {VERSION}: install the same counterpunch on both sides",
                id,
            )
        for name in _FITS.keys() | values.keys():
            if name not in _FITS or name not in values or not _FITS[name](values[name]):
                arguments = name in ("args", "kwargs")  # of a class that may want them hidden
                found = type(values.get(name)) if arguments else values.get(name)
                shown = shorten(found) if name in values else "missing"
                raise Unreadable(f"a message whose field {shorten(name)} is {shown}", id)
        return Message(**values)


def arguments_in(args: list[Any], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a message or a record has of the arguments, decoded."""
    named = {name: decode(value) for name, value in kwargs.items()}
    return tuple(decode(value) for value in args), named


# The options of one call. Exceptions go by import path, a retry policy by its values.

#: What a retry policy has exceptions in.
_KINDS = ("on", "not_on")


def options_out(owner: str, options: dict[str, Any]) -> dict[str, Any]:
    """
    Raises:
        InvalidOption: For what cannot travel: functions and local exception classes.
    """
    out: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Retry):
            if value.delay is not None:
                allowed = (
                    "a Retry without a delay function, which cannot travel: set it on the class"
                )
                raise InvalidOption(owner, name, value, allowed)
            out[name] = {field: getattr(value, field) for field in Retry.__slots__}
            for field in _KINDS:
                out[name][field] = _exceptions_out(owner, field, getattr(value, field))
        elif name == "discard_on":
            out[name] = _exceptions_out(owner, name, value)
        elif isinstance(value, frozenset):
            out[name] = sorted(value)
        else:
            out[name] = encode(value, name)
    return out


def options_in(owner: str, options: dict[str, Any]) -> dict[str, Any]:
    """What ``options_out`` was given, checked as ``using(...)`` checks it.

    Raises:
        InvalidOption, TypeError: For what no ``using(...)`` has sent.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name not in PER_CALL:
            raise InvalidOption(owner, name, value, f"the options {', '.join(sorted(PER_CALL))}")
        if name == "retry" and value is not None:
            kinds = {field: _exceptions_in(owner, field, value[field]) for field in _KINDS}
            value = Retry(**{**value, **kinds})
        elif name == "discard_on":
            value = _exceptions_in(owner, name, options[name])
        else:
            value = decode(value)
        found[name] = PER_CALL[name](owner, name, value)
    return found


def _exceptions_out(owner: str, name: str, kinds: tuple[type[BaseException], ...]) -> list[str]:
    paths = [f"{kind.__module__}:{kind.__qualname__}" for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        if find_exception(path) is not kind:
            allowed = "exception classes that can be imported by their path"
            raise InvalidOption(owner, name, kind, allowed)
    return paths


def _exceptions_in(owner: str, name: str, paths: list[str]) -> tuple[type[BaseException], ...]:
    kinds = []
    for path in paths:
        kind = find_exception(path)
        if kind is None:
            allowed = "exception classes that are imported with the job's module"
            raise InvalidOption(owner, name, path, allowed)
        kinds.append(kind)
    return tuple(kinds)
