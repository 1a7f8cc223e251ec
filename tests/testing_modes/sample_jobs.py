"""Jobs to enqueue in the test modes."""

from __future__ import annotations

from counterpunch import Job, Retry

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Welcome(Job):
    def perform(self, user_id: int, *, greeting: str = "hi") -> str:
        return f"{greeting} {user_id}"


class Cleanup(Job):
    def perform(self) -> None: ...


class Unlucky(Job):
    retry = Retry(max_attempts=3, wait=10, jitter=0)

    def perform(self) -> None:
        raise OSError(f"attempt {self.attempt}")
