"""``configure``: what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from echo import LONG, Echo

import counterpunch
from counterpunch import InvalidOption


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        *[("shutdown_timeout", value, "seconds from 0") for value in (-1, None, "8", True)],
        *[("max_threads", value, "an int of 1 or more, or None") for value in (0, 2.0, "4")],
        *[
            ("pools", value, "a dict of pool name to number of threads")
            for value in (None, ["mail"], {"": 1}, {"mail": 0}, {"mail": True}, {3: 1})
        ],
        *[("strict_args", value, "'json', 'pickle', 'copy' or None") for value in ("yaml", True)],
        *[("history", value, "an int of 0 or more") for value in (-1, None, 1.5)],
        *[("history_ttl", value, "seconds from 0") for value in (-1, float("nan"), "1h")],
        *[("log_args", value, "True or False") for value in (None, 0)],
        *[("on_lost", value, "a callable given a list of handles") for value in ("log", 3)],
        *[("signals", value, "True or False") for value in (None, "TERM")],
    ],
)
def test_configure_refuses_bad_values(option: str, value: Any, allowed: str) -> None:
    """Named like a class's options, and what was given beside it is not taken over either."""
    with pytest.raises(InvalidOption) as caught:
        counterpunch.configure(**{"strict_args": "json", option: value})
    assert str(caught.value).startswith(f"configure: {option}={value!r} is not valid")
    assert allowed in str(caught.value)
    shared: list[int] = []
    assert Echo.perform_async(shared).result(LONG)[0][0] is shared
