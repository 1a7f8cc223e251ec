"""An engine of the tests' own: a list and a dict. The test delivers each message by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from engine_processes import Ledger

import counterpunch
from counterpunch.backends._engine import RemoteEngine
from counterpunch.backends._message import Message
from counterpunch.core.values.backend import engines


class ListEngine(RemoteEngine):
    """Keeps messages in a list and records in a dict."""

    name = "list"

    def __init__(self, timeout: float = 20.0, results: bool = True) -> None:
        super().__init__(timeout)
        self.sent: list[tuple[Message, float]] = []
        self.kept: dict[str, str] = {}
        self.log: list[str] = []
        self.broken: Exception | None = None
        self.results = results
        engines.add(self)

    @property
    def keeps_results(self) -> bool:
        return self.results

    @property
    def longest_delay(self) -> float:
        return 100.0

    def publish(self, message: Message, delay: float) -> None:
        if self.broken is not None:
            raise self.broken
        # As text: what does not survive the wire does not get here.
        self.sent.append((Message.loads(message.dumps()), delay))

    def read(self, key: str) -> str | None:
        return self.kept.get(key)

    def write(self, key: str, text: str) -> None:
        if key in self.kept or not key.endswith("-cancelled"):
            record = json.loads(text)
            self.log.append(record["status"] if isinstance(record, dict) else text)
        self.kept[key] = text

    def take(self) -> Message:
        """The next message that is due or not, off the list."""
        return self.sent.pop(0)[0]

    def record(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kept[id])
        return found


@pytest.fixture
def engine() -> Iterator[ListEngine]:
    engine = ListEngine()
    counterpunch.configure(backend=engine)
    yield engine
    counterpunch.configure(backend=None)


@pytest.fixture
def jobs(ledger: Ledger) -> Any:
    import engine_jobs

    return engine_jobs


def deliver(engine: ListEngine, message: Message) -> None:
    engine.perform(message.dumps())


def _fields(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(message.dumps())
    return fields
