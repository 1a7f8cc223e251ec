"""A plain function as a job: the ``@job`` decorator."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, Protocol, TypeVar, overload

from ..core.values.errors import InvalidOption
from ..core.values.handle import Handle
from .job_class import Job
from .job_meta import JobMeta
from .lookalikes import meant
from .options import DEFAULTS
from .shapes import check_function
from .using import Using, bulk

if TYPE_CHECKING:
    from typing import Unpack

    from .calls import ClassOptions, PerCall
    from .rows import TakesRows
else:
    TakesRows = object

__all__ = ["JobFunction", "job", "job_class"]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")  # what a direct call gives: R, or a coroutine of it


class JobFunction(Generic[P, R, C], TakesRows):
    """A plain function as a job: calling it runs it directly, ``perform_async`` enqueues.

    Its methods take and raise what those of a job class do. It has the others of a job class
    too, such as ``stats`` and ``pause``, and the options. The class itself is ``job``.
    """

    def __init__(self, function: Callable[P, C], cls: type[Job]) -> None:
        self.job: Any = cls
        self.function = function
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"<job {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__  # a pickle finds it by name, as it does a function

    def __await__(self) -> NoReturn:
        name = self.__qualname__
        raise TypeError(f"{name} is a job: write await {name}.perform_async(...)")

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> C:
        return self.function(*args, **kwargs)

    def perform_async(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        handle: Handle[R] = self.job.perform_async(*args, **kwargs)
        return handle

    def perform_in(
        self, delay: float | timedelta, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]:
        handle: Handle[R] = self.job.perform_in(delay, *args, **kwargs)
        return handle

    def perform_at(self, when: datetime | float, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        handle: Handle[R] = self.job.perform_at(when, *args, **kwargs)
        return handle

    def perform_now(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.job.perform_now(*args, **kwargs)
        return result

    if not TYPE_CHECKING:

        def perform_bulk(self, rows):
            return bulk(self.job, rows, None)

    def using(self, **options: Unpack[PerCall]) -> Using[P, R]:
        return Using(self.job, options)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a job class offers: ``stats``, ``pause``, ``cancel_all``, options."""
        if name.startswith("__") or name == "job":
            raise AttributeError(name)
        return getattr(self.job, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """An option is the class's: setting it here does not look as if it were in force."""
        if name in DEFAULTS:
            setattr(self.job, name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in DEFAULTS:
            delattr(self.job, name)
        else:
            super().__delattr__(name)


class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> JobFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R, R]: ...


@overload
def job(
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> JobFunction[P, R, Coroutine[Any, Any, R]]: ...
@overload
def job(function: Callable[P, R], /) -> JobFunction[P, R, R]: ...
@overload
def job(**options: Unpack[ClassOptions]) -> _Decorator: ...
def job(function: Any = None, /, **options: Any) -> Any:
    """Make a plain function a job: ``@job`` or ``@job(workers=4, retry=Retry())``.

    The result has the enqueue methods of a job class; calling it runs the function here.

    Raises:
        InvalidOption: For an option that does not exist or is not allowed.
    """
    for name, value in options.items():
        if name not in DEFAULTS:
            raise InvalidOption("@job", name, value, meant(name, DEFAULTS))

    def decorate(function: Callable[..., Any]) -> JobFunction[Any, Any, Any]:
        if not (callable(function) and hasattr(function, "__qualname__")):
            allowed = "a function, written with def or lambda"
            raise InvalidOption("@job", "function", function, allowed)
        check_function(function)
        namespace = {
            "perform": staticmethod(function),
            "__module__": function.__module__ or "builtins",  # a method of an object in C
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
            **options,
        }
        return JobFunction(function, JobMeta(function.__name__, (Job,), namespace))  # type: ignore[arg-type]

    if function is None:
        return decorate
    return decorate(function)


def job_class(value: Any) -> type[Job]:
    """The class behind a job class or a decorated function.

    Raises:
        TypeError: For anything else.
    """
    cls = value.job if isinstance(value, JobFunction) else value
    if isinstance(cls, type) and issubclass(cls, Job):
        return cls
    raise TypeError(f"{value!r} is neither a Job class nor a function decorated with @job")
