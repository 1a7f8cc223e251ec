"""Room in a queue: the overflow policies, for a new job and for one that waits for room."""

from __future__ import annotations

from ..places.lane import Lane
from ..places.parking import Parking, Sleeper
from ..places.site import Site
from ..values.app_loop import app_loop
from ..values.blocking import blocking
from ..values.current import current_job
from ..values.errors import InvalidOption, QueueFull, ShuttingDown, interrupts
from ..values.handle import Call
from ..values.stage import OPEN, QUIET, STOPPED
from ..values.status import DISCARDED, FAILED
from ..workers.here import Here
from .endings import Endings
from .waiting import Waiting, refuse_full

__all__ = ["Room"]


class Room:
    """Answers an enqueue that comes at a full queue, or too late."""

    def __init__(self, site: Site, here: Here, endings: Endings, waiting: Waiting) -> None:
        self._stage, self._clock = site.stage, site.clock
        self._here, self._endings, self._waiting = here, endings, waiting

    def refuse_late(self, lane: Lane) -> None:
        """
        Raises:
            ShuttingDown: From outside a job, once the process began to stop.
        """
        phase = self._stage.phase
        if phase is not OPEN and (phase is STOPPED or current_job() is None):
            raise ShuttingDown(
                f"{lane.job.__qualname__} was not enqueued: this process is "
                f"{'quiet' if phase is QUIET else 'stopping'} and accepts new jobs "
                f"only from jobs that are running"
            )

    def refuse_without_app(self, lane: Lane) -> None:
        """
        Raises:
            InvalidOption: For a job that is to run on the loop of an application, without one.
        """
        if lane.on_app and self._stage.threads and app_loop() is None:
            allowed = (
                "'own', or 'app' while an application has its lifespan open: pass "
                "lifespan=counterpunch.integrations.asgi.lifespan to it (a TestClient opens it by "
                "`with TestClient(app) as client:`)"
            )
            raise InvalidOption(lane.job.__qualname__, "loop", "app", allowed)

    def ask(self, lane: Lane) -> str | None:
        """None if the queue has room, else the policy to apply; waits for room if told to.

        Raises:
            QueueFull: If the policy is ``"raise"``; ``"block"``, and the time is up; or
                ``"caller_runs"``, and the rate lets nobody start now.
        """
        if lane.full():
            lane.moves.expire(lane)
        if not lane.full():
            return None
        policy: str = lane.options.overflow
        refused = (
            f"{lane.job.__qualname__} was not enqueued: max_jobs={lane.max_jobs} jobs wait already"
        )
        bucket, now = lane.bucket, self._clock.monotonic()
        crowded = policy == "caller_runs" and bucket is not None and bucket.next(now) > now
        if policy == "raise" or crowded:
            refuse_full(lane, f"{lane.job.__qualname__} was not enqueued")
        if policy == "block":
            if not self._stage.threads:
                why = "in a test mode nothing makes room while the caller blocks"
                raise QueueFull(f"{refused}, and {why}")
            owner = lane.job.__qualname__
            instead = f"`await asyncio.to_thread({owner}.perform_async, ...)`"
            full = "%s, whose queue is full, with overflow='block'"
            blocking(full, owner, instead, lane.on_app)
            self._wait(lane)
            return None
        return policy

    def _wait(self, lane: Lane) -> None:
        limit = lane.options.block_timeout
        start = self._clock.monotonic()
        parking, sleeper = Parking(), Sleeper()
        while lane.full():
            left = None if limit is None else start + limit - self._clock.monotonic()

            def ready() -> bool:
                # Only now: a worker that takes the nudge out must find the sleeper, or the
                # room it made goes to another producer and this one is never woken.
                lane.blocked.append(parking.nudge)
                return not lane.full() or self._stage.phase is STOPPED

            try:
                in_time = parking.park(sleeper, ready, left)
            finally:  # a Ctrl-C, too, leaves nothing here that a wake-up could be wasted on
                try:
                    lane.blocked.remove(parking.nudge)
                except ValueError:
                    pass  # taken by the worker that woke us
            if lane.full() or self._stage.phase is STOPPED:
                self.refuse_late(lane)
                if not in_time:
                    raise QueueFull(
                        f"{lane.job.__qualname__} was not enqueued: max_jobs={lane.max_jobs} "
                        f"jobs waited for all of block_timeout={limit:g} s"
                    )

    def overflow(self, call: Call, lane: Lane, policy: str) -> bool:
        """Apply a policy to a new job that found the queue full; True if it is to be queued."""
        if policy == "discard":
            reason = f"the queue was full (max_jobs={lane.max_jobs})"
            self._endings.end(call, DISCARDED, reason, "queue_full")
        elif policy == "caller_runs":
            owner = lane.job.__qualname__
            blocking("%s, by overflow='caller_runs',", owner, "another overflow, and `await`")
            self._here.run(call)
            if call.state is FAILED and interrupts(call.outcome):
                raise call.failure()  # a Ctrl-C ends the job, and is the caller's all the same
        else:
            self._waiting.drop_oldest(lane)
            return True
        return False
