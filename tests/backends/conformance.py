"""What the tests of every backend share."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from engine_places import ENGINES


def only(*names: str) -> pytest.MarkDecorator:
    """For what cannot be asked of every backend."""
    return pytest.mark.parametrize("place", names, indirect=True)


#: Where a job runs beside its caller, in real time.
beside = only("threads", *ENGINES)
#: Where a job may wait.
waiting = only("threads", "fake", *ENGINES)


@pytest.fixture
def jobs() -> Any:
    import engine_jobs

    return engine_jobs


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex
