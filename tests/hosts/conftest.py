"""Tests of real servers: skipped where one is missing, unless CI says that none may be."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hosts: starts a real server; see tests/hosts")
