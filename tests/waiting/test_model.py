"""Rate, unique, expiry, retries, pause and overflow together agree with a model of them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[1] / "benchmarks" / "model.py"


def test_the_product_and_its_model_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every start, ending and counter of some random histories; ``tests/benchmarks/model.py`` is
    the long form, and takes the seed."""
    monkeypatch.syspath_prepend(MODEL.parent)
    differing = runpy.run_path(str(MODEL))["differing"]
    assert differing(range(100_000, 100_030), steps=60) is None
