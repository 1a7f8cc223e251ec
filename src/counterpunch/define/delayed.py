"""``delay(obj).method(...)``: any object's method as a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..core.values.callables import awaits
from ..core.values.errors import InvalidOption
from .job_class import Job

if TYPE_CHECKING:
    from typing import Unpack

    from .calls import PerCall

__all__ = ["AsyncMethodJob", "MethodJob", "delay"]

T = TypeVar("T")


class MethodJob(Job):
    """Calls a bound method: the job behind ``delay``. All of them share its pool."""

    backend = "threads"  # an object of this process cannot travel to an engine's

    def perform(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)


class AsyncMethodJob(Job):
    """The same for ``async def`` methods: they run on the library's event loop."""

    backend = "threads"

    async def perform(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await method(*args, **kwargs)


class _Delayed:
    """Looks like the object; calling a method enqueues it and returns the handle."""

    __slots__ = ("_object", "_options")

    def __init__(self, obj: Any, options: PerCall) -> None:
        self._object = obj
        self._options = options

    def __repr__(self) -> str:
        return f"delay({self._object!r})"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._object, name)  # a missing one fails here, in its own words
        if not callable(method):
            raise InvalidOption("delay", "method", name, "the name of a method")

        def enqueue(*args: Any, **kwargs: Any) -> Any:
            _check_signature(method, args, kwargs)
            job: Any = AsyncMethodJob if awaits(method) else MethodJob
            return job.using(**self._options).perform_async(method, *args, **kwargs)

        enqueue.__name__ = name
        return enqueue


def delay(obj: T, **options: Unpack[PerCall]) -> T:
    """An object like ``obj`` whose methods are run as jobs: ``delay(user).welcome("hi")``.

    The call returns a ``Handle``, though a type checker sees the object's own types, so
    that the arguments are checked. The object is passed by reference, not copied.

    Args:
        obj: Any object, class or module.
        options: As of ``Job.using``: ``priority``, ``delay`` (seconds), ``retry`` ...

    Raises:
        InvalidOption: For an unknown option or a bad value.
        AttributeError: On access, for a method that does not exist.
        TypeError: On the call, for arguments that do not fit.
    """
    MethodJob.using(**options)  # refuses bad options here, not at the first call
    return cast("T", _Delayed(obj, options))


def _check_signature(method: Callable[..., Any], args: Any, kwargs: Any) -> None:
    import inspect

    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # built in C without one: the call itself will tell
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as exc:
        name = getattr(method, "__qualname__", repr(method))
        raise TypeError(f"delay: {name}(): {exc}") from None
