"""Tests of real servers: skipped where one is missing, unless CI says that none may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hosts: starts a real server; see tests/hosts")
