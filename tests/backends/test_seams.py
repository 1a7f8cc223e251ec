"""Where the process and an engine meet: what stays here, and what is refused as everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_processes import Ledger

import counterpunch
from counterpunch import ShuttingDown, delay
from counterpunch.backends._engine import RemoteEngine
from counterpunch.backends._message import Message
from counterpunch.core.values.backend import engines

SOON = 10.0  # seconds; turns a hang into a failure


class Outbox(RemoteEngine):
    """Takes messages and delivers none."""

    name = "outbox"
    keeps_results = True
    longest_delay = 100.0

    def __init__(self) -> None:
        super().__init__(SOON)
        self.sent: list[Message] = []
        self.kept: dict[str, str] = {}
        engines.add(self)  # as each adapter does, once it is whole

    def publish(self, message: Message, delay: float) -> None:
        self.sent.append(message)

    def read(self, key: str) -> str | None:
        return self.kept.get(key)

    def write(self, key: str, text: str) -> None:
        self.kept[key] = text


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    outbox = Outbox()
    counterpunch.configure(backend=outbox)
    yield outbox
    counterpunch.configure(backend=None)


@pytest.fixture
def jobs(ledger: Ledger) -> Any:
    import engine_jobs

    return engine_jobs


def test_a_method_of_an_object_stays_in_threads(outbox: Outbox) -> None:
    """The object cannot travel."""
    assert delay("some text").upper().result(SOON) == "SOME TEXT"
    assert outbox.sent == []


def test_a_quiet_process_sends_nothing(outbox: Outbox, jobs: Any) -> None:
    """``quiet()`` refuses jobs from outside, whoever would run them."""
    jobs.Add.perform_async(1)
    counterpunch.quiet()
    with pytest.raises(ShuttingDown, match="quiet"):
        jobs.Add.perform_async(2)
    assert [message.args for message in outbox.sent] == [[1]]


def test_a_failed_attempt_here_is_not_what_became_of_the_job(outbox: Outbox, jobs: Any) -> None:
    """On the worker itself ``find`` gives the job, not the attempt that it has seen fail."""
    handle = jobs.Hooked.perform_async("seams", 1)
    outbox.perform(outbox.sent[0].dumps())
    found = counterpunch.find(handle.id)
    assert found is not None
    assert found.status is counterpunch.Status.RETRYING
