"""The pytest fixtures, found by entry point once the package is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import testing

__all__ = ["counterpunch_fake", "counterpunch_inline"]


@pytest.fixture
def counterpunch_inline() -> Iterator[None]:
    """Enqueued jobs run at once, on the thread that enqueues them; see ``testing.inline``."""
    with testing.inline():
        yield


@pytest.fixture
def counterpunch_fake() -> Iterator[testing.Fake]:
    """Enqueued jobs are recorded and run when the test says so; see ``testing.fake``."""
    with testing.fake() as recorder:
        yield recorder
