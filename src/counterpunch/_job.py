"""The class people subclass, and what its definition sets up."""

from __future__ import annotations

import abc
import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sized
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ._counts import NO_COUNTS, Counts
from ._express import express_async, express_in
from ._lane import Gate
from ._periodic import defined, periodic_classes
from ._plan import Plan
from ._runtime import accepting, current, installed
from ._status import TERMINAL, Status
from ._using import Using, bulk
from .errors import Cancelled, CounterpunchError
from .handle import Handle
from .options import DEFAULTS, due_at, hashable

__all__ = ["Job", "JobMeta"]

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from ._signatures import (
        PerformAsync,
        PerformAt,
        PerformBulk,
        PerformIn,
        PerformNow,
        UsingOptions,
    )
    from .rate import Rate
    from .retry import Retry

T = TypeVar("T")

#: The enqueue methods that each class has its own of, made for speed.
_EXPRESS = {"perform_async": express_async, "perform_in": express_in}


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
        if bases:
            from ._lookalikes import warn_of_lookalikes  # late: not for the base class alone

            warn_of_lookalikes(cls.__qualname__, namespace, stacklevel=2)
        return cls

    @property
    def options(cls) -> Mapping[str, Any]:
        """Every option of the class as it was checked, defaults included; read-only."""
        return MappingProxyType(vars(cls._plan.options))

    if not TYPE_CHECKING:

        def __getattr__(cls, name):
            """The default of an option that neither the class nor a mixin of it sets."""
            # Not attributes of Job itself: in ``class A(Job, Mixin)`` they would come first.
            if name in DEFAULTS:
                return DEFAULTS[name]
            message = f"type object {cls.__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=cls)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith(("_abc_", "__")) and (
            name != "__abstractmethods__" or "_plan" not in cls.__dict__
        ):
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
        before = cls.__dict__.get(name)
        super().__delattr__(name)
        try:
            _redefine(cls)
        except BaseException:
            super().__setattr__(name, before)
            _redefine(cls)
            raise


def _prepare(cls: JobMeta) -> None:
    plan = Plan(cls)
    type.__setattr__(cls, "_plan", plan)
    periodic = plan.options.every is not None or plan.options.cron is not None
    if periodic and plan.check is not None:  # a base class without perform() has no runs
        try:
            plan.check()
        except TypeError as exc:
            why = "a periodic job is performed without arguments: give each a default"
            raise TypeError(f"{exc}; {why}") from None
        defined(cls)  # type: ignore[arg-type]  # the metaclass makes Jobs
    else:
        periodic_classes.discard(cls)  # type: ignore[arg-type]
    for name in _EXPRESS:
        _equip(cls, name)


def _equip(cls: JobMeta, name: str) -> None:
    """Give a class its own ``perform_async`` or ``perform_in``, unless that would be in the
    way of one that the user wrote, in a base or, reached by ``super()``, in a subclass."""
    if _ours(cls.__dict__.get(name)):
        type.__delattr__(cls, name)
    if name in cls.__dict__:
        for base in cls.__mro__[1:]:
            if _ours(base.__dict__.get(name)):
                type.__delattr__(base, name)  # it enqueues the base, whoever asks super()
    elif not _written(cls.__mro__, name) and not _written(_below(cls), name):
        function = _EXPRESS[name](cls, cls._gate, cls._plan)
        type.__setattr__(cls, name, staticmethod(function))


def _ours(method: Any) -> bool:
    return hasattr(getattr(method, "__func__", None), "counterpunch_express")


def _written(classes: Iterable[type], name: str) -> bool:
    """True if one of the classes has a method of that name that is not from this package."""
    found = (vars(each).get(name) for each in classes if each.__module__ != __name__)
    return any(method is not None and not _ours(method) for method in found)


def _below(cls: type) -> Iterator[type]:
    below: list[type] = type.__subclasses__(cls)
    for subclass in below:
        yield subclass
        yield from _below(subclass)


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


class Job(metaclass=JobMeta):
    """Subclass it, write ``perform``, and call ``perform_async`` on the class.

    A fresh instance is made for each attempt. Options are class attributes, inherited, and
    checked when the class is defined; the table is in the README. Hooks are optional
    methods: ``on_enqueue()`` on the caller's thread; ``before()``, ``on_success(result)``,
    ``on_error(exc)``, ``on_failure(exc)`` and ``after()`` on the job's thread, in the
    context variables of the caller. They are one job's own: what an attempt sets in them, its
    hooks and the next attempt see, and nobody else.

    ``unique="queued"`` frees the identity's key when the job starts. While it waits for a
    retry it has the key again, unless another job took it meanwhile; then both go on.
    ``unique="active"`` keeps the key until the job has ended. ``on_duplicate="replace"``
    cancels a job that waits; a running one stays, and its handle is returned. A job that
    waits for its transaction (``after_commit``) is in the way within that transaction only.
    Once committed it meets the others; ``"existing"`` and ``"raise"`` then discard it.
    """

    #: The running job's handle. Set before ``before()`` is called, and not in ``__init__`` or
    #: on an instance that you made yourself: there it raises ``AttributeError``.
    handle: Handle[Any]

    if TYPE_CHECKING:
        workers: int
        max_jobs: int | None
        overflow: str
        block_timeout: float | timedelta | None
        pool: str | None
        priority: int
        retry: Retry | None
        discard_on: type[BaseException] | Collection[type[BaseException]]
        timeout: float | timedelta | None
        expires_in: float | timedelta | None
        on_shutdown: str
        delayed_on_shutdown: str
        identity: Any
        unique: str | None
        on_duplicate: str
        rate: Rate | None
        context: str
        every: float | timedelta | None
        cron: str | None
        timezone: str
        jitter: float | timedelta
        once_per: str
        tags: Collection[str]
        log_args: bool
        redact: Any
        backend: Any

        perform_async = PerformAsync()
        perform_in = PerformIn()
        perform_at = PerformAt()
        perform_now = PerformNow()
        perform_bulk = PerformBulk()
        using = UsingOptions()
    else:

        def __getattr__(self, name):
            if name in DEFAULTS:
                return DEFAULTS[name]
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name == "handle":
                message += (
                    f": it exists inside a job only; to have perform() run as one, call "
                    f"{type(self).__qualname__}.perform_now(...), or enqueue it within "
                    f"counterpunch.testing.inline()"
                )
            raise AttributeError(message, name=name, obj=self)

        @classmethod
        def perform_async(cls, /, *args, **kwargs):
            """What the methods of ``_express`` do, for a class that wrote its own."""
            return accepting().enqueue(cls, args, kwargs)

        @classmethod
        def perform_in(cls, delay, /, *args, **kwargs):
            """As above."""
            return Using(cls, {}).perform_in(delay, *args, **kwargs)

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
            return bulk(cls, rows, None)

        @classmethod
        def using(cls, **options):
            """The class with options for single calls; the class itself is untouched.

            Options: ``priority``, ``delay`` (seconds), ``at``, ``pool``, ``retry``,
            ``expires_in``, ``timeout``, ``tags``, ``discard_on``, ``delayed_on_shutdown``,
            ``after_commit``. Raises ``InvalidOption`` for others and for bad values.

            Each ``priority`` in use has a queue of its own, which stays as long as the process
            does: use a few of them, not a time or an id.
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
        """``cancel()`` every live job of the class; the number that will now never start.

        Raises:
            NotSupported: If its jobs run on an engine; so do ``pause`` and ``resume``.
        """
        return current().cancel_all(cls)

    @classmethod
    def pause(cls) -> None:
        """Start no more jobs of the class; they are accepted and wait. Running ones end."""
        accepting().pause(cls)

    @classmethod
    def resume(cls) -> None:
        """End a ``pause()``."""
        accepting().resume(cls)

    # Inside a job. On an instance without a handle, which a unit test of ``perform`` made,
    # each of these answers as for a first attempt that nobody watches.

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1; 1 outside of a job."""
        call = _handle_of(self)
        return 1 if call is None else call.attempt

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named after the class, under ``counterpunch``, that knows the job's id.

        Outside of a job it is the same logger, without an id.
        """
        name = type(self).__qualname__
        extra: dict[str, object] = {"job": name}
        call = _handle_of(self)
        if call is not None:
            extra.update(job_id=call.id, attempt=call.attempt)
        return logging.LoggerAdapter(logging.getLogger(f"counterpunch.{name}"), extra)

    @property
    def cancelled(self) -> bool:
        """True once the job's cancel token is set: by ``handle.cancel()``, by ``timeout``,
        or because the process stops and its time is nearly up. False outside of a job."""
        call = _handle_of(self)
        return call is not None and call._cancel_requested()

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` if the cancel token is set; the job then ends as cancelled."""
        if self.cancelled:
            raise Cancelled(f"{self.handle!r} was told to stop")

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the job is; ``handle.progress`` shows it. Nothing outside of a job."""
        call = _handle_of(self)
        if call is not None:
            call._extra().progress = (done, total, message)

    def set_status(self, /, **data: Any) -> None:
        """Store values that ``handle.data`` shows; later values of a name replace earlier.

        Outside of a job it does nothing.
        """
        call = _handle_of(self)
        if call is not None:
            more = call._extra()
            more.data = {**(more.data or {}), **data}

    def track(self, rows: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Yield ``rows``, reporting progress and looking at the cancel token for each.

        Outside of a job it only yields.

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


def _handle_of(job: Job) -> Handle[Any] | None:
    """The handle of an instance that runs as a job; None if ``perform`` was called directly."""
    call: Handle[Any] | None = getattr(job, "handle", None)
    return call


def _of_identity(cls: type[Job], identity: tuple[Hashable, ...]) -> list[Handle[Any]]:
    if cls._plan.options.identity is None:
        raise CounterpunchError(
            f"{cls.__qualname__} has no identity to look for: give it a @staticmethod "
            f"identity(...) over perform's arguments"
        )
    hashable(cls.__qualname__, identity)
    runtime = current()
    runtime.must_be_here(cls, "its identities are not known", cls._plan.options)
    lane = runtime.lanes.get(cls)
    if lane is None:
        return []
    calls = [*runtime.live(lane), *(c for c in runtime.remembered() if c._lane is lane)]
    return [call for call in calls if call._more is not None and call._more.key == identity]


def _acceptance(call: Handle[Any]) -> int:
    return call._number
