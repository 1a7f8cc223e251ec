"""What the tests of the handle hold a job with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from counterpunch import Handle, Job

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Boom(Exception):
    pass


class Door:
    """A job class whose jobs stop in the middle until the test opens the door."""

    def __init__(self, **options: Any) -> None:
        self.inside = threading.Semaphore(0)
        self.open = threading.Event()
        door = self

        class Visitor(Job):
            workers = 1

            def perform(self, act: Callable[[Job], Any] | None = None) -> Any:
                door.inside.release()
                assert door.open.wait(LONG)
                return None if act is None else act(self)

        for name, value in options.items():
            setattr(Visitor, name, value)
        self.job: Any = Visitor

    def enter(self, act: Callable[[Any], Any] | None = None) -> Handle[Any]:
        handle: Handle[Any] = self.job.perform_async(act)
        assert self.inside.acquire(timeout=LONG)
        return handle


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.open.set()


def raising(exc: BaseException) -> Callable[[Any], Any]:
    def act(job: Any) -> Any:
        raise exc

    return act
