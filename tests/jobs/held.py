"""Jobs that are held in ``perform`` until the test lets them go."""

from __future__ import annotations

import threading

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Held:
    """Keeps a job on its worker until the test lets it go."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.release = threading.Event()

    def __call__(self) -> None:
        self.started.release()
        assert self.release.wait(LONG)

    def wait_started(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.started.acquire(timeout=LONG)
