"""Jobs that belong together, and what follows when the last of them has ended."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import Context, Token
from datetime import timedelta
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Any

from .core.port import (
    Parking,
    Permits,
    Runtime,
    Sleeper,
    accepting,
    again,
    entries,
)
from .core.values.blocking import blocking
from .core.values.checks import named_options
from .core.values.current import OpenBatch, current_batch, current_job, open_batches
from .core.values.errors import CounterpunchError
from .core.values.future import woken
from .core.values.handle import Handle
from .core.values.hooks import process
from .core.values.status import TERMINAL
from .core.values.times import time_limit
from .define.callbacks import Callbacks, all_succeeded

__all__ = ["Batch"]


class Batch:
    """Every job enqueued inside the ``with`` block belongs to the batch.

    Once the block has ended and every member has reached a terminal status, the callbacks
    are enqueued: ordinary jobs, given the batch's ``id``, each exactly once, also where their class
    is ``unique``. An empty batch completes at once. A batch opened inside another one is a member
    of it: the outer one completes after the inner one has. ``async with`` is the same: leaving the
    block waits for nothing, ``await batch`` does. Nothing finds a batch by its id: who wants to ask
    for its progress later, or for ``handles`` in a callback, keeps it.

    A member counts by how it ended in the end: one that succeeds after retries has succeeded; one
    that failed, was cancelled, lost, or discarded (it expired, the queue was full, a middleware
    raised ``Discard``, it was a duplicate) has not, and enqueueing it again by ``handle.retry()``
    makes a new job that is no member. A job that a ``unique`` class returned in place of a new one
    is a member, and waited for. One that was replaced by a newer member of the same identity leaves
    it to that one; replaced from outside the batch it was cancelled. Where an enqueue raised,
    nothing was enqueued, and nothing belongs.

    Args:
        on_success: A job class, an ``@job`` function or a ``using(...)`` of one, whose
            ``perform`` takes the id; enqueued if every member succeeded, and the block has not
            been left by an exception. Past ``max_jobs``, if need be.
        on_complete: The same, however the members ended. Enqueued after ``on_success``.

    Raises:
        InvalidOption: If a callback is none of these, or does not take one argument.
        CounterpunchError: On leaving the block in another context than it was entered in. The
            batch then completes with the members it has.
    """

    @named_options
    def __init__(self, *, on_success: Any = None, on_complete: Any = None) -> None:
        self.id = os.urandom(8).hex()
        self._callbacks = Callbacks(on_success, on_complete)
        #: The members' handles, in the order of their enqueue; inner batches' not included.
        self.handles: deque[Handle[Any]] = deque()
        self._inner: deque[Batch] = deque()
        self._outer: Batch | None = None
        self._token: Token[OpenBatch | None] | None = None
        self._context: Context | None = None
        self._entered = False
        self._interrupted = False
        self._thread: int | None = None
        self.closed = False
        #: What is still waited for: the block itself, every member, every inner batch.
        self._pending: dict[object, None] = {self: None}
        #: Completing it is one thread's at a time, and begun again if it was interrupted.
        self._right = Permits(1)
        self._parking = Parking()
        self._done = False

    def __repr__(self) -> str:
        done, total = self.progress
        return f"<Batch {self.id} {done}/{total}>"

    def __enter__(self) -> Batch:
        if self._entered:
            raise CounterpunchError(f"{self!r} was opened before; make a new Batch for more jobs")
        outer = current_batch.get()
        try:
            self._entered = True
            self._thread = get_ident()
            if isinstance(outer, Batch) and not outer.closed:
                self._outer = outer
                outer._pending[self] = None
                outer._inner.append(self)
            open_batches.add(self)
            self._token = current_batch.set(self)
            accepting().registry.close_gates()
        except BaseException:  # the block is not entered, and so nobody leaves it
            open_batches.discard(self)
            current_batch.set(outer)
            if self._outer is not None:
                self._outer._pending.pop(self, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        try:
            self._leave(exc)
        except CounterpunchError:
            raise
        except BaseException:  # an interruption: what it left is begun again, as in a stop
            try:
                self._leave(exc)
            except BaseException:
                self._leave(exc)
                raise
            raise

    async def __aenter__(self) -> Batch:
        return self.__enter__()

    async def __aexit__(self, *raised: Any) -> None:
        self.__exit__(*raised)

    def _leave(self, exc: BaseException | None) -> None:
        open_batches.discard(self)
        try:
            token, self._token = self._token, None
            if token is not None:
                current_batch.reset(token)
        except ValueError as foreign:
            raise CounterpunchError(
                f"{self!r} is left in another context than it was opened in, as by a generator "
                f"whose parts run in different threads: what was enqueued in between may not "
                f"belong to it; open and leave it in one function"
            ) from foreign
        finally:
            if current_batch.get() is self:
                current_batch.set(self._outer)
            self._interrupted = exc is not None
            # The last member ends on a worker, which knows nothing of who opened the batch.
            if not self.closed:
                self._context = process.copy_context()
            self.closed = True
            runtime = accepting()
            runtime.taking.surely(partial(self._close, runtime))

    def _close(self, runtime: Runtime) -> None:
        for call in entries(self.handles):
            if call.state in TERMINAL:  # and an interruption kept that from being noted
                self._pending.pop(call, None)
        self._one_less(self, runtime)

    @property
    def callbacks(self) -> list[Handle[Any]]:
        """The handles of the callbacks that were enqueued."""
        return self._callbacks.handles

    @property
    def progress(self) -> tuple[int, int]:
        """``(ended, total)`` members, those of inner batches included."""
        handles = entries(self.handles)
        done, total = sum(1 for call in handles if call.state in TERMINAL), len(handles)
        for inner in entries(self._inner):
            inner_done, inner_total = inner.progress
            done, total = done + inner_done, total + inner_total
        return done, total

    def done(self) -> bool:
        """True once the batch is complete and its callbacks are enqueued."""
        return self._done

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until the batch is complete; False if ``timeout`` seconds pass before.

        In a job it is as with ``Handle.result``: without a timeout it cannot deadlock.

        Raises:
            InvalidOption: (a ``ValueError``) for a timeout that is NaN or no time.
            CounterpunchError: Without a timeout before or inside its own ``with`` block, or
                where a job waits for itself: it would never end.
        """
        limit = time_limit("Batch.wait", timeout)
        self._before_wait(limit is None)
        if not self._done and limit != 0.0:
            members = (call for call in self._members() if call.state not in TERMINAL)
            on_app = any(call.lane.on_app for call in members)
            blocking("to wait for a %s", "Batch", "`await batch`", on_app)
        if limit is None and current_job() is not None:
            for call in self._members():  # each may have to be run right here, see result()
                call.wait(None)
        if self._done:
            return True
        return self._parking.park(Sleeper(), lambda: self._done, limit) or self._done

    def __await__(self) -> Generator[Any, None, bool]:
        """``await batch``, in a task of asyncio or trio: as ``wait()``, without blocking it."""
        self._before_wait(True)
        if not self._done:
            yield from woken(self._publish, self._withdraw)
        return True

    def _publish(self, wake: Callable[[], None]) -> None:
        self._parking.sleepers.append(wake)
        if self._done:  # since the look
            wake()

    def _withdraw(self, wake: Callable[[], None]) -> None:
        with suppress(ValueError):
            self._parking.sleepers.remove(wake)

    def _before_wait(self, for_ever: bool) -> None:
        if for_ever and not self._entered:
            raise CounterpunchError(f"{self!r} was never opened: enqueue its jobs in a with block")
        if for_ever and self._thread == get_ident() and current_batch.get() is self:
            raise CounterpunchError(f"{self!r} is still open: wait for it after its with block")
        for call in entries(self.handles):
            if call.state not in TERMINAL:
                call.lane.keeper.before_wait(call)

    def _members(self) -> list[Handle[Any]]:
        inner = [call for batch in entries(self._inner) for call in batch._members()]
        return [*entries(self.handles), *inner]

    # For the runtime

    def add(self, call: Handle[Any]) -> None:
        """A job was enqueued inside the block, or is what a new one was a duplicate of."""
        handles, one, pending = self.handles, (call,), self._pending
        if call in pending:
            return  # a duplicate of another member
        call.add_done_callback(self._ended)  # first: who has it knows whom to tell
        pending[call] = None
        handles += one
        if call.state in TERMINAL:  # told before
            self._ended(call)

    @again
    def _ended(self, call: Handle[Any]) -> None:
        self._one_less(call, call.lane.keeper)

    def _one_less(self, what: object, runtime: Runtime) -> None:
        """One thing less to wait for; ``runtime`` is where the callbacks go if it was the last.

        That of the last member, not the one in force: a stop must not start a new one, and
        nothing is to leak out of a test mode.
        """
        self._pending.pop(what, None)
        if self.closed and not self._pending and not self._done:
            hand, right = list[None](), self._right
            try:
                if right.take_into(hand):
                    self._complete(runtime)
            except BaseException:
                right += hand  # in one breath, see ``record``
                raise

    def _succeeded(self) -> bool:
        if self._interrupted or not all_succeeded(entries(self.handles)):
            return False
        return all(inner._succeeded() for inner in entries(self._inner))

    def _complete(self, runtime: Runtime) -> None:
        """Enqueue the callbacks; may be begun again."""
        context = self._context or Context()
        failures = context.run(self._follow_all, runtime)
        self._done, self._context = True, None
        self._parking.wake_all()
        if self._outer is not None:
            self._outer._one_less(self, runtime)
        if failures and not runtime.stage.threads:
            raise failures[0]  # under inline() the callback has run here, and failed

    def _follow_all(self, runtime: Runtime) -> list[BaseException]:
        """In a context of its own: what is set here needs no undoing."""
        current_batch.set(None)  # the callbacks are nobody's members
        return self._callbacks.enqueue(runtime, self, self._succeeded())
