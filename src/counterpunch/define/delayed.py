"""``delay(obj).method(...)``, ``delay(function)(...)``: any callable as a job."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from ..core.values.callables import Parameter, awaits, generates, parameters
from ..core.values.errors import InvalidOption
from ..core.values.handle import Handle
from .job_class import Job
from .job_function import JobFunction
from .job_meta import JobMeta
from .planning import signature_check
from .using import check_calls
from .ways import WAYS

if TYPE_CHECKING:
    from typing import Unpack

    from .calls import PerCall

__all__ = ["AsyncMethodJob", "Delayed", "DelayedCall", "MethodJob", "delay"]

P = ParamSpec("P")
R = TypeVar("R")


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


class Delayed:
    """Stands for the object: to call a method of it enqueues that, and returns the handle."""

    __slots__ = ("_object", "_options")

    def __init__(self, obj: Any, options: PerCall) -> None:
        self._object = obj
        self._options = options

    def __repr__(self) -> str:
        return f"delay({self._object!r})"

    def __getattr__(self, name: str) -> Callable[..., Handle[Any]]:
        if name in WAYS and callable(self._object) and not hasattr(self._object, name):
            raise AttributeError(f"{self!r} is called itself: delay(send)(7)", name=name)
        method = getattr(self._object, name)  # a missing one fails here, in its own words
        if not callable(method):
            raise InvalidOption("delay", "method", name, "the name of a method")

        def enqueue(*args: Any, **kwargs: Any) -> Handle[Any]:
            return _enqueue(method, self._options, args, kwargs)

        enqueue.__name__ = name
        return enqueue


class DelayedCall(Delayed, Generic[P, R]):
    """Stands for a callable, too: to call it enqueues the call."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return _enqueue(self._object, self._options, args, kwargs)


@overload
def delay(
    obj: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[PerCall]
) -> DelayedCall[P, R]: ...
@overload
def delay(obj: Callable[P, R], /, **options: Unpack[PerCall]) -> DelayedCall[P, R]: ...
@overload
def delay(obj: object, /, **options: Unpack[PerCall]) -> Delayed: ...
def delay(obj: Any, /, **options: Unpack[PerCall]) -> Any:
    """What stands for ``obj`` and enqueues: ``delay(user).welcome("hi")``, ``delay(resize)(path)``.

    A call of a method gives a ``Handle[Any]``; a call of the callable itself, which may be a bound
    method, is typed in full, its own parameters and ``Handle[R]``. The object is passed by
    reference, not copied.

    Args:
        obj: Any object, callable, class or module.
        options: As of ``Job.using``: ``priority``, ``delay`` (seconds), ``retry`` ...

    Raises:
        InvalidOption: For an unknown option or a bad value; for a job, for None and for a
            coroutine, which a call gave that was meant to be delayed; on the call, for a
            generator function, whose body would never run.
        AttributeError: On access, for a method that does not exist.
        TypeError: On the call, for arguments that do not fit.
    """
    if isinstance(obj, (JobFunction, JobMeta)):
        allowed = "an object that is no job yet: this one is, call its perform_async"
        raise InvalidOption("delay", "obj", obj, allowed)
    if obj is None or isinstance(obj, Coroutine):
        allowed = "what is to be called, delay(send)(7), not what a call of it gave, delay(send(7))"
        raise InvalidOption("delay", "obj", obj, allowed)
    check_calls("delay", options, way="")  # here, not at the first call
    return (DelayedCall if callable(obj) else Delayed)(obj, options)


def _enqueue(method: Callable[..., Any], options: PerCall, args: Any, kwargs: Any) -> Handle[Any]:
    name = getattr(method, "__qualname__", type(method).__qualname__)
    if generates(method):
        allowed = "a function without yield: the body of a generator would never run"
        raise InvalidOption("delay", name, method, allowed)
    known = parameters(method)
    signature_check(f"delay: {name}", known)(*args, **kwargs)
    _check_redact(known, options.get("redact"))
    job: Any = AsyncMethodJob if awaits(method) else MethodJob
    handle: Handle[Any] = job.using(**options).perform_async(method, *args, **kwargs)
    return handle


def _check_redact(known: list[Parameter], redact: Any) -> None:
    """A name that is none of them would hide nothing."""
    names = [one.name for one in known]
    if callable(redact) or any(one.rest for one in known):
        return
    unknown = sorted(set(redact or ()) - set(names))
    if unknown:
        allowed = f"names of the parameters of what is called: {', '.join(names) or 'it has none'}"
        raise InvalidOption("delay", "redact", unknown[0], allowed)
