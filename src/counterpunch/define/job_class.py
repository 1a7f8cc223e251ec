"""The class people subclass: the methods every job has."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Sized
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.port import accepting, current
from ..core.values.counts import NO_COUNTS, Counts
from ..core.values.errors import Cancelled
from ..core.values.handle import Handle
from ..core.values.options import Options
from ..core.values.status import TERMINAL, Status
from ..core.values.times import due_at, due_in
from .elsewhere import missing
from .identities import of_identity
from .job_logger import JobLogger
from .job_meta import JobMeta
from .options import DEFAULTS
from .using import Using, bulk
from .ways import arrive, enter, perform

__all__ = ["Job"]

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from ..core.values.rate import Rate
    from ..core.values.retry import Retry
    from .option_words import OptionWords
    from .rows import PerformBulk
    from .signatures import PerformAsync, PerformAt, PerformIn, PerformNow, UsingOptions
else:
    OptionWords = object

T = TypeVar("T")


class Job(OptionWords, metaclass=JobMeta):
    """Subclass it, write ``perform``, and call ``perform_async`` on the class.

    A fresh instance is made for each attempt. Options are class attributes, inherited, and
    checked when the class is defined; they are listed below. Hooks are optional
    methods: ``on_enqueue()`` on the caller's thread; ``before()``, ``on_success(result)``,
    ``on_error(exc)``, ``on_failure(exc)`` and ``after()`` on the job's thread, in the
    context variables of the caller. What an attempt sets in them its own hooks see, and nobody
    else.

    A class that writes ``perform_async`` itself, and calls ``super().perform_async(...)``, stands
    by it in front of every way in: ``using(...)``, ``perform_now`` and the others, periodic ticks
    and the test modes; not of ``handle.retry()``, which has the arguments already. An option that a
    descriptor gives is read once, as the class is defined.

    A job that waits for its transaction (``after_commit``) is in the way of its ``identity`` within
    that transaction only. Once committed it meets the others, and ``"existing"`` and ``"raise"``
    then discard it.
    """

    __module__ = "counterpunch"

    #: The running job's handle. Set before ``before()`` is called, and not in ``__init__`` or
    #: on an instance that you made yourself: there it raises ``AttributeError``.
    handle: Handle[Any]

    if TYPE_CHECKING:
        workers: int
        max_jobs: int | None
        block_timeout: float | timedelta | None
        pool: str | None
        priority: int
        retry: Retry | None
        discard_on: type[BaseException] | Collection[type[BaseException]]
        timeout: float | timedelta | None
        expires_in: float | timedelta | None
        identity: Any
        rate: Rate | None
        every: float | timedelta | None
        cron: str | None
        timezone: str
        jitter: float | timedelta
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
            cls = type(self)
            raise missing(cls.__qualname__, f"{cls.__name__!r} object", name, self)

        @classmethod
        def perform_async(cls, /, *args, **kwargs):
            """What the methods of ``express`` do, for a class that goes another way."""
            return arrive(cls, args, kwargs)

        @classmethod
        def perform_in(cls, delay, /, *args, **kwargs):
            """As above."""
            options = {"delay": due_in(f"{cls.__qualname__}.perform_in", delay)}
            return enter(cls, args, kwargs, options, "perform_in")

        @classmethod
        def perform_at(cls, when, /, *args, **kwargs):
            """Enqueue a job that is due at an aware ``datetime`` or at epoch seconds.

            By the wall clock: setting the clock moves it. A past time is due now. Raises
            as ``perform_async``, and ``InvalidOption`` (a ``ValueError``) for a naive
            datetime.
            """
            options = {"at": due_at(f"{cls.__qualname__}.perform_at", when)}
            return enter(cls, args, kwargs, options, "perform_at")

        @classmethod
        def perform_now(cls, /, *args, **kwargs):
            """Run one attempt here, through middleware, hooks and counters.

            Returns what ``perform`` returns or raises what it raises; a failure is final,
            nothing is retried behind the caller's back.
            """
            return perform(cls, args, kwargs, None, "perform_now")

        @classmethod
        def perform_bulk(cls, rows):
            """Enqueue one job for each tuple of arguments; returns the list of handles.

            A lazy iterable is consumed lazily, so ``overflow="block"`` holds it back. If an
            enqueue raises, the jobs before it stay enqueued; the exception has them as ``handles``.
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
        lane = runtime.registry.lanes.get(cls)
        return NO_COUNTS if lane is None else lane.counts(runtime.clock.monotonic())

    @classmethod
    def latest(cls, *identity: Hashable) -> Handle[Any] | None:
        """The handle of the newest job of this identity that is alive or remembered.

        Raises:
            CounterpunchError: If the class has no ``identity``.
        """
        found = of_identity(cls, identity)
        return max(found, key=attrgetter("enqueued", "number"), default=None)

    @classmethod
    def in_progress(cls, *identity: Hashable) -> bool:
        """True if a job of this identity waits or runs, in this process.

        Raises:
            CounterpunchError: If the class has no ``identity``.
        """
        return any(call.state not in TERMINAL for call in of_identity(cls, identity, False))

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
        return current().steering.cancel_all(cls)

    @classmethod
    def pause(cls) -> None:
        """Start no more jobs of the class; they are accepted and wait. Running ones end.

        Holds until ``resume()``, in this process and in those forked from it afterwards: after
        a stop as well, which itself loses the jobs that wait (``on_lost`` has them).
        """
        accepting().steering.pause(cls)

    @classmethod
    def resume(cls) -> None:
        """End a ``pause()``."""
        accepting().steering.resume(cls)

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
        return JobLogger(type(self).__qualname__, _handle_of(self))

    @property
    def cancelled(self) -> bool:
        """True once the job's cancel token is set: by ``handle.cancel()``, by ``timeout``,
        or because the process stops and its time is nearly up. False outside of a job."""
        call = _handle_of(self)
        return call is not None and call.cancel_requested()

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` if the cancel token is set; the job then ends as cancelled."""
        if self.cancelled:
            raise Cancelled(f"{self.handle!r} was told to stop")

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the job is; ``handle.progress`` shows it. Nothing outside of a job."""
        call = _handle_of(self)
        if call is not None:
            call.extra().progress = (done, total, message)

    def set_status(self, /, **data: Any) -> None:
        """Store values that ``handle.data`` shows; later values of a name replace earlier.

        Outside of a job it does nothing.
        """
        call = _handle_of(self)
        if call is not None:
            more = call.extra()
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


Job.__doc__ = f"{Job.__doc__}{(Options.__doc__ or '').partition('class.')[2]}"


def _handle_of(job: Job) -> Handle[Any] | None:
    """The handle of an instance that runs as a job; None if ``perform`` was called directly."""
    call: Handle[Any] | None = getattr(job, "handle", None)
    return call
