"""What an enqueue sends to a worker, and what both know a job by: its class's import path."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from ..core.values.errors import CounterpunchError, InvalidOption
from ..core.values.retry import Retry
from ..define.job_function import job_class
from ._encoding import decode, encode, pack, unpack

__all__ = [
    "Message", "arguments_in", "find_class", "find_exception", "options_in", "options_out",
    "path_of",
]  # fmt: skip

VERSION = 1


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
            CounterpunchError: If another version of this package wrote it.
        """
        values = unpack(text)
        if values.get("version") != VERSION:
            raise CounterpunchError(
                f"a message of version {values.get('version')!r} reached a worker that knows "
                f"version {VERSION}: install the same counterpunch on both sides"
            )
        return Message(**values)


def path_of(job: type) -> str:
    """The import path of a job class, ``module:qualified.name``.

    Raises:
        CounterpunchError: If a worker could not import it.
    """
    path = f"{job.__module__}:{job.__qualname__}"
    problem = None
    if job.__module__ == "__main__":
        problem = "it is defined in __main__, which is another module in a worker"
    elif "<locals>" in job.__qualname__:
        problem = "it is defined inside a function"
    elif job.__module__ not in sys.modules:
        problem = f"there is no module {job.__module__!r}"
    else:
        try:
            found = job_class(_walk(sys.modules[job.__module__], job.__qualname__))
        except (AttributeError, TypeError):
            found = None
        if found is not job:
            problem = "its name leads to something else there"
    if problem is not None:
        raise CounterpunchError(
            f"{job.__qualname__} was not enqueued: a worker cannot import {path}: {problem}. "
            f"Define it at the top level of a module"
        )
    return path


def find_class(path: str) -> type[Any]:
    """The job class of an import path.

    Raises:
        ImportError, AttributeError: If there is none.
        TypeError: If it is no job class.
    """
    return job_class(reach(path))


def find_exception(path: str) -> type[BaseException] | None:
    """The exception class of a path; None if it cannot be had here."""
    try:
        found = reach(path)
    except Exception:  # whatever importing a module may raise
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def reach(path: str) -> Any:
    """What a path leads to, its module imported if need be; the real error comes through."""
    module, _, name = path.partition(":")
    return _walk(import_module(module), name)


def _walk(found: Any, name: str) -> Any:
    for part in name.split("."):
        found = getattr(found, part)
    return found


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


def options_in(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "retry" and value is not None:
            kinds = {field: _exceptions_in(value[field]) for field in _KINDS}
            found[name] = Retry(**{**value, **kinds})
        elif name == "discard_on":
            found[name] = _exceptions_in(options[name])
        elif name == "tags":
            found[name] = frozenset(options[name])
        else:
            found[name] = decode(value)
    return found


def _exceptions_out(owner: str, name: str, kinds: tuple[type[BaseException], ...]) -> list[str]:
    paths = [f"{kind.__module__}:{kind.__qualname__}" for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        if find_exception(path) is not kind:
            allowed = "exception classes that can be imported by their path"
            raise InvalidOption(owner, name, kind, allowed)
    return paths


def _exceptions_in(paths: list[str]) -> tuple[type[BaseException], ...]:
    return tuple(reach(path) for path in paths)
