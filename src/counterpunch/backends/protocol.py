"""What threads, the test modes and external engines have in common: the backend protocol."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..core.port import accepting
from ..core.values.handle import Handle

__all__ = ["Backend", "Capabilities", "Engine", "InProcess"]


class Capabilities(NamedTuple):
    """What a backend can do. What it cannot is refused at the enqueue or on the handle."""

    supports_defer: bool = True  # perform_in, perform_at, delayed retries
    supports_priority: bool = True  # higher runs sooner
    supports_status: bool = True  # status, times, attempt, progress, data; find(id)
    supports_get_result: bool = True  # result(), exception(), await
    supports_cancel: bool = True  # a job that waits, and the token of one that runs
    supports_reschedule: bool = True  # reschedule(), run_now()
    supports_pause: bool = True  # pause(), resume(), cancel_all()
    supports_identity: bool = True  # in_progress(), status(), latest() of an identity
    supports_unique: bool = True
    supports_rate: bool = True
    supports_pool: bool = True  # named pools
    supports_serial: bool = True  # workers = 1
    supports_bounds: bool = True  # max_jobs and overflow
    supports_periodic: bool = True  # every, cron
    supports_batch: bool = True
    any_argument: bool = True  # False: what JSON can carry, see the README
    survives_exit: bool = False  # waiting jobs outlive the process that enqueued them


@runtime_checkable
class Backend(Protocol):
    """Takes jobs: the threads of this process, a test mode, or an engine."""

    @property
    def name(self) -> str:
        """``"threads"``, ``"inline"``, ``"fake"``, or the engine's name."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def enqueue(
        self,
        job: type,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any] | None = None,
    ) -> Handle[Any]:
        """Accept one job; ``options`` are those of ``using(...)``, already checked."""
        ...

    def find(self, id: str) -> Handle[Any] | None: ...


class Engine(Backend, Protocol):
    """A backend outside of this process."""

    def knows(self, id: str) -> bool:
        """True if the id looks like one of its own; asks nobody."""
        ...


class InProcess:
    """The runtime in force, by the same protocol: threads here, or the test mode around."""

    def __init__(self) -> None:
        self._runtime = accepting()
        self.name = self._runtime.mode.name
        self.capabilities = Capabilities()  # all of them
        self.enqueue = self._runtime.enqueue
        self.find = self._runtime.whereabouts.find
