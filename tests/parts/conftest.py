"""Parts are made alone: no test here makes a runtime, and none starts a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from counterpunch.core.process.installed import installed
from counterpunch.core.values.current import current


@pytest.fixture(autouse=True)
def fresh_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In place of the one for whole processes: there is no runtime before and none after."""
    monkeypatch.setattr(installed, "runtime", None)
    before = threading.enumerate()
    yield
    assert installed.runtime is None
    assert current.get() is None
    assert set(threading.enumerate()) <= set(before)
