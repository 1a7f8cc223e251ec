"""Jobs that every kind of page has something of."""

from __future__ import annotations

import logging
import threading

import pytest

import counterpunch
from counterpunch import Job, Retry
from counterpunch.recurring.classes import periodic_classes


class Gated(Job):
    """Runs until the gate opens; one at a time, so others wait."""

    workers = 1
    tags = ("slow",)
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def perform(self, name: str) -> str:
        self.progress(3, 12, "rows")
        self.set_status(table="users")
        self.entered.release()
        self.gate.wait(10)
        self.check_cancelled()
        return name


class Failing(Job):
    def perform(self, key: str) -> None:
        raise KeyError(key)


class Retried(Job):
    retry = Retry(max_attempts=3, on=(OSError,), wait=3600, max_wait=3600, jitter=0)

    def perform(self) -> None:
        raise OSError("no route")


class Hourly(Job):
    every = 3600

    def perform(self) -> None: ...


class Yard:
    """One job in each state, with its handle."""

    def __init__(self):
        Gated.gate.clear()
        Gated.entered = threading.Semaphore(0)
        self.running = Gated.perform_async("first")
        assert Gated.entered.acquire(timeout=10)
        self.waiting = Gated.perform_async("second")
        self.scheduled = Gated.perform_in(3600, "third")
        self.failed = Failing.perform_async("nobody")
        self.failed.exception(10)
        self.retrying = Retried.perform_async()
        while self.retrying.status != "retrying":
            threading.Event().wait(0.005)
        self.cancelled = Gated.perform_in(7200, "fourth")
        self.cancelled.cancel()
        periodic_classes.add(Hourly)
        counterpunch.start()

    def open(self):
        Gated.gate.set()


@pytest.fixture
def yard():
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    made = Yard()
    yield made
    made.open()
    counterpunch.shutdown(timeout=5)
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


@pytest.fixture
def jobs():
    """The job classes above."""
    return {cls.__name__: cls for cls in (Gated, Failing, Retried, Hourly)}
