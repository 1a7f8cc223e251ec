"""The class people subclass, the decorator for plain functions, and how both enqueue.

``perform_async`` is made for each class when it is defined. It is the hot path of the
package, so it is written out here in full: check, look at the bound, build the handle,
append, wake. Whenever anything else has to be looked at, the class's gate is closed and
the call goes to ``Runtime.enqueue``, which does the same and the rest.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping, Sized
from contextvars import copy_context
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from ._clock import monotonic
from ._counts import NO_COUNTS, Counts
from ._lane import Gate
from ._periodic import periodic_classes
from ._plan import Plan
from ._runtime import accepting, current, installed
from .errors import Cancelled, CounterpunchError, InvalidOption
from .handle import NO_KWARGS, TERMINAL, Handle, Status
from .options import DEFAULTS, check_calls, due_at, due_in

__all__ = ["Job", "JobFunction", "Using", "job", "job_class"]

if TYPE_CHECKING:
    from ._signatures import (
        PerformAsync,
        PerformAt,
        PerformBulk,
        PerformIn,
        PerformNow,
        UsingOptions,
    )

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class JobMeta(abc.ABCMeta):
    """Checks a job class when it is defined, and again when an attribute of it is set."""

    _plan: Plan
    _gate: Gate

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> JobMeta:
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        type.__setattr__(cls, "_gate", Gate())
        _prepare(cls)
        return cls

    @property
    def options(cls) -> Mapping[str, Any]:
        """Every option of the class as it was checked, defaults included; read-only."""
        return MappingProxyType(vars(cls._plan.options))

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith(("_abc_", "__")):
            super().__setattr__(name, value)
            return
        missing = object()
        before = cls.__dict__.get(name, missing)
        super().__setattr__(name, value)
        try:
            _redefine(cls)
        except BaseException:
            if before is missing:
                super().__delattr__(name)
            else:
                super().__setattr__(name, before)
            _redefine(cls)
            raise

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        _redefine(cls)


def _prepare(cls: JobMeta) -> None:
    plan = Plan(cls)
    type.__setattr__(cls, "_plan", plan)
    if plan.options.every is not None or plan.options.cron is not None:
        if plan.check is not None:
            plan.check()  # a periodic job is performed without arguments
        periodic_classes.add(cls)  # type: ignore[arg-type]  # the metaclass makes Jobs
    else:
        periodic_classes.discard(cls)  # type: ignore[arg-type]
    if "perform_async" not in cls.__dict__ or hasattr(
        cls.__dict__["perform_async"], "_counterpunch"
    ):
        express = staticmethod(_express(cls, plan))
        express._counterpunch = True  # type: ignore[attr-defined]
        type.__setattr__(cls, "perform_async", express)


def _redefine(cls: JobMeta) -> None:
    """A class was changed: work its plan out anew, and its subclasses'."""
    plan = cls._plan
    _prepare(cls)
    try:
        for runtime in (installed.runtime, *installed.modes):
            if runtime is not None:
                runtime.redefined(cls)
    except BaseException:
        type.__setattr__(cls, "_plan", plan)
        raise
    subclass: Any
    for subclass in cls.__subclasses__():
        _redefine(subclass)


_PERFORM_ASYNC_DOC = """Enqueue a job and return its handle, at once.

Takes perform's own arguments. Blocks only with ``overflow="block"``.

Raises:
    TypeError: If the arguments do not fit ``perform``.
    QueueFull: If ``max_jobs`` wait already and the class's overflow policy says so.
    ShuttingDown: From outside a job, once the process began to stop.
"""


def _express(cls: JobMeta, plan: Plan) -> Callable[..., Handle[Any]]:
    """``perform_async`` of one class."""
    gate, check = cls._gate, plan.check

    def perform_async(*args: Any, **kwargs: Any) -> Handle[Any]:
        lane = gate.lane
        # A C extension's fork (uWSGI's) calls no Python hook, hence the second look.
        if lane is None or not lane.here[0] or len(lane.queue) >= lane.max_jobs:
            return accepting().enqueue(cls, args, kwargs)
        check(*args, **kwargs)  # type: ignore[misc]  # a class with an open gate has one
        call: Handle[Any] = Handle(
            lane,
            lane.accepts(),
            args,
            kwargs or NO_KWARGS,
            copy_context() or None,  # an empty one is not worth its memory
            monotonic(),
        )
        lane.queue.append(call)
        pool = lane.pool
        if pool.parking.sleepers:
            pool.parking.nudge()
        elif pool.vacancies:
            pool.start_worker()
        if lane.stopped:  # the drain ended in between and may not have seen it
            lane.runtime.too_late(call)
        return call

    perform_async.__qualname__ = f"{cls.__qualname__}.perform_async"
    perform_async.__doc__ = _PERFORM_ASYNC_DOC
    return perform_async


#: Seconds. A longer delay takes the long path, which knows what to say of the absurd.
_FAR = 1e9


class Using(Generic[P, R]):
    """A job class with options for single calls: what ``using(...)`` returns. Reusable."""

    __slots__ = ("_cls", "_options")

    def __init__(self, cls: type[Any], options: Mapping[str, Any]) -> None:
        self._cls = cls
        self._options = check_calls(cls.__qualname__, options)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{self._cls.__qualname__}.using({shown})"

    def using(self, **options: Any) -> Using[P, R]:
        """The same with further options; the later value of an option counts."""
        merged = {**self._options, **options}
        if "at" in options:
            merged.pop("delay", None)
        elif "delay" in options:
            merged.pop("at", None)
        return Using(self._cls, merged)

    def perform_async(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return accepting().enqueue(self._cls, args, kwargs, self._options)

    def perform_in(
        self, delay: float | timedelta, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]:
        options = {**self._options, "delay": due_in(f"{self._cls.__qualname__}.perform_in", delay)}
        options.pop("at", None)
        return accepting().enqueue(self._cls, args, kwargs, options)

    def perform_at(self, when: datetime | float, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        options = {**self._options, "at": due_at(f"{self._cls.__qualname__}.perform_at", when)}
        options.pop("delay", None)
        return accepting().enqueue(self._cls, args, kwargs, options)

    def perform_now(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = accepting().perform_now(self._cls, args, kwargs, self._options)
        return result

    def perform_bulk(self, rows: Iterable[tuple[Any, ...]]) -> list[Handle[R]]:
        return _bulk(self._cls, rows, self._options)


def _bulk(
    cls: type[Any], rows: Iterable[tuple[Any, ...]], options: Mapping[str, Any] | None
) -> list[Handle[Any]]:
    enqueue = cls.perform_async if options is None else Using(cls, options).perform_async
    handles = []
    for row in rows:
        if not isinstance(row, (tuple, list)):
            raise TypeError(
                f"{cls.__qualname__}.perform_bulk: each row is a tuple of perform's "
                f"arguments, not {row!r}"
            )
        handles.append(enqueue(*row))
    return handles


class Job(metaclass=JobMeta):
    """Subclass it, write ``perform``, and call ``perform_async`` on the class.

    A fresh instance is made for each attempt. Options are class attributes, inherited, and
    checked when the class is defined; the table is in the README. Hooks are optional
    methods: ``on_enqueue()`` on the caller's thread; ``before()``, ``on_success(result)``,
    ``on_error(exc)``, ``on_failure(exc)`` and ``after()`` on the job's thread, in the
    context variables of the caller.
    """

    #: The running job's handle. Set before ``before()`` is called.
    handle: Handle[Any]

    if TYPE_CHECKING:
        perform_async = PerformAsync()
        perform_in = PerformIn()
        perform_at = PerformAt()
        perform_now = PerformNow()
        perform_bulk = PerformBulk()
        using = UsingOptions()
    else:

        @classmethod
        def perform_in(cls, delay, /, *args, **kwargs):
            """Enqueue a job that is due in ``delay`` seconds (or a ``timedelta``).

            It never starts early. Raises as ``perform_async``, and ``InvalidOption`` (a
            ``ValueError``) for a delay that is negative, NaN or infinite.
            """
            lane = cls._gate.lane
            # The short path, as in perform_async; due_in() answers whatever is not a plain number.
            if (
                lane is None
                or not lane.here[0]
                or (type(delay) is not int and type(delay) is not float)
                or not 0 < delay < _FAR
            ):
                options = {"delay": due_in(f"{cls.__qualname__}.perform_in", delay)}
                return accepting().enqueue(cls, args, kwargs, options)
            lane.plan.check(*args, **kwargs)
            context, now = copy_context() or None, monotonic()
            call = Handle(lane, lane.accepts(), args, kwargs or NO_KWARGS, context, now)
            lane.runtime._schedule(call, now + delay)
            return call

        @classmethod
        def perform_at(cls, when, /, *args, **kwargs):
            """Enqueue a job that is due at an aware ``datetime`` or at epoch seconds.

            By the wall clock: setting the clock moves it. A past time is due now. Raises
            as ``perform_async``, and ``InvalidOption`` (a ``ValueError``) for a naive
            datetime.
            """
            options = {"at": due_at(f"{cls.__qualname__}.perform_at", when)}
            return accepting().enqueue(cls, args, kwargs, options)

        @classmethod
        def perform_now(cls, /, *args, **kwargs):
            """Run one attempt here, through middleware, hooks and counters.

            Returns what ``perform`` returns or raises what it raises; a failure is final,
            nothing is retried behind the caller's back.
            """
            return accepting().perform_now(cls, args, kwargs)

        @classmethod
        def perform_bulk(cls, rows):
            """Enqueue one job for each tuple of arguments; returns the list of handles.

            A lazy iterable is consumed lazily, so ``overflow="block"`` holds it back. If
            an enqueue raises, the jobs before it stay enqueued.
            """
            return _bulk(cls, rows, None)

        @classmethod
        def using(cls, **options):
            """The class with options for single calls; the class itself is untouched.

            Options: ``priority``, ``delay`` (seconds), ``at``, ``pool``, ``retry``,
            ``expires_in``, ``timeout``, ``tags``, ``discard_on``, ``delayed_on_shutdown``,
            ``after_commit``. Raises ``InvalidOption`` for others and for bad values.
            """
            return Using(cls, options)

    # The class as a whole, in this process

    @classmethod
    def stats(cls) -> Counts:
        """The counts of this class; ``counterpunch.stats()`` has all."""
        runtime = current()
        lane = runtime.lanes.get(cls)
        return NO_COUNTS if lane is None else lane.counts(runtime.clock.monotonic())

    @classmethod
    def latest(cls, *identity: Hashable) -> Handle[Any] | None:
        """The handle of the newest job of this identity that is alive or remembered.

        Raises:
            CounterpunchError: If the class has no ``identity``.
        """
        found = _of_identity(cls, identity)
        return max(found, key=_acceptance, default=None)

    @classmethod
    def in_progress(cls, *identity: Hashable) -> bool:
        """True if a job of this identity waits or runs, in this process.

        Raises:
            CounterpunchError: If the class has no ``identity``.
        """
        return any(call._state not in TERMINAL for call in _of_identity(cls, identity))

    @classmethod
    def status(cls, *identity: Hashable) -> Status | None:
        """The status of the newest job of this identity; None if there is none.

        ``latest(*identity)`` gives the handle, with ``progress`` and ``data``.

        Raises:
            CounterpunchError: If the class has no ``identity``.
        """
        newest = cls.latest(*identity)
        return None if newest is None else newest.status

    @classmethod
    def cancel_all(cls) -> int:
        """``cancel()`` every live job of the class; the number that will now never start."""
        return current().cancel_all(cls)

    @classmethod
    def pause(cls) -> None:
        """Start no more jobs of the class; they are accepted and wait. Running ones end."""
        accepting().pause(cls)

    @classmethod
    def resume(cls) -> None:
        """End a ``pause()``."""
        accepting().resume(cls)

    # Inside a job

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self.handle.attempt

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named after the class, under ``counterpunch``, that knows the job's id."""
        name = type(self).__qualname__
        extra = {"job_id": self.handle.id, "job": name, "attempt": self.attempt}
        return logging.LoggerAdapter(logging.getLogger(f"counterpunch.{name}"), extra)

    @property
    def cancelled(self) -> bool:
        """True once the job's cancel token is set: by ``handle.cancel()``, by ``timeout``,
        or because the process stops and its time is nearly up."""
        return self.handle._lane.runtime.cancel_requested(self.handle)

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` if the cancel token is set; the job then ends as cancelled."""
        if self.cancelled:
            raise Cancelled(f"{self.handle!r} was told to stop")

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the job is; ``handle.progress`` shows it."""
        self.handle._extra().progress = (done, total, message)

    def set_status(self, **data: Any) -> None:
        """Store values that ``handle.data`` shows; later values of a name replace earlier."""
        more = self.handle._extra()
        more.data = {**(more.data or {}), **data}

    def track(self, rows: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Yield ``rows``, reporting progress and looking at the cancel token for each.

        Args:
            rows: Anything iterable.
            total: How many; by default ``len(rows)`` where it has one.

        Raises:
            Cancelled: Between two rows, once the cancel token is set.
        """
        if total is None and isinstance(rows, Sized):
            total = len(rows)
        self.progress(0, total)
        for done, row in enumerate(rows, 1):
            self.check_cancelled()
            yield row
            self.progress(done, total)


def _of_identity(cls: type[Job], identity: tuple[Hashable, ...]) -> list[Handle[Any]]:
    if cls._plan.options.identity is None:
        raise CounterpunchError(
            f"{cls.__qualname__} has no identity to look for: give it a @staticmethod "
            f"identity(...) over perform's arguments"
        )
    runtime = current()
    lane = runtime.lanes.get(cls)
    if lane is None:
        return []
    calls = [*runtime.live(lane), *(c for c in runtime.remembered() if c._lane is lane)]
    return [call for call in calls if call._more is not None and call._more.key == identity]


def _acceptance(call: Handle[Any]) -> int:
    return call._number


class JobFunction(Generic[P, R]):
    """A plain function as a job: calling it runs it directly, ``perform_async`` enqueues."""

    def __init__(self, function: Callable[P, Any], cls: type[Job]) -> None:
        self.job: Any = cls
        self.function = function
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"<job {self.__module__}.{self.__qualname__}>"

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
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

    def perform_bulk(self, rows: Iterable[tuple[Any, ...]]) -> list[Handle[R]]:
        return _bulk(self.job, rows, None)

    def using(self, **options: Any) -> Using[P, R]:
        return Using(self.job, options)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a job class offers: ``stats``, ``pause``, ``cancel_all``, options."""
        if name.startswith("__") or name == "job":
            raise AttributeError(name)
        return getattr(self.job, name)


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> JobFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...


@overload
def job(function: Callable[P, Coroutine[Any, Any, R]], /) -> JobFunction[P, R]: ...
@overload
def job(function: Callable[P, R], /) -> JobFunction[P, R]: ...
@overload
def job(**options: Any) -> _Decorator: ...
def job(function: Any = None, /, **options: Any) -> Any:
    """Make a plain function a job: ``@job`` or ``@job(workers=4, retry=Retry())``.

    The result has the enqueue methods of a job class; calling it runs the function here.

    Raises:
        InvalidOption: For an option that does not exist or is not allowed.
    """
    for name, value in options.items():
        if name not in DEFAULTS:
            raise InvalidOption("@job", name, value, f"the options {', '.join(sorted(DEFAULTS))}")

    def decorate(function: Callable[..., Any]) -> JobFunction[Any, Any]:
        namespace = {
            "perform": staticmethod(function),
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
            **options,
        }
        return JobFunction(function, JobMeta(function.__name__, (Job,), namespace))  # type: ignore[arg-type]

    if function is None:
        return decorate
    if not callable(function):
        raise InvalidOption("@job", "function", function, "a function")
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
