"""What is asked of the interpreter itself."""

from __future__ import annotations

import gc
import sys
from threading import get_ident
from typing import Any

import pytest

from counterpunch.core.values import interpreter


@pytest.mark.parametrize("collects", [True, False])
def test_no_collection_begins_while_all_frames_are_asked_for(
    collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could stop the process for ever; afterwards the collector is as it was."""
    seen: list[bool] = []

    class Asked:
        @staticmethod
        def _current_frames() -> Any:
            seen.append(gc.isenabled())
            return sys._current_frames()

    monkeypatch.setattr(interpreter, "sys", Asked)
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        found = interpreter.frames()
        assert get_ident() in found
        found.clear()
        assert (seen, gc.isenabled()) == ([False], collects)
    finally:
        (gc.enable if before else gc.disable)()
