"""``help()`` of what people ask about: signatures that read, units, no addresses."""

from __future__ import annotations

import pydoc
import re

import pytest

import counterpunch
from counterpunch import testing


@pytest.mark.parametrize(
    "what",
    [
        counterpunch.configure, counterpunch.Job, counterpunch.Retry, counterpunch.Handle,
        counterpunch.Batch, counterpunch.Rate, counterpunch.shutdown, counterpunch.health, testing,
    ],
    ids=lambda what: what.__name__,
)  # fmt: skip
def test_help_shows_no_object_at_an_address(what: object) -> None:
    text = pydoc.plain(pydoc.render_doc(what))
    assert re.findall(r".*<.*object.* at 0x.*", text) == []


@pytest.mark.parametrize("name", [name for name in counterpunch.__all__ if name != "__version__"])
def test_everything_public_says_what_it_is(name: str) -> None:
    text = (getattr(counterpunch, name).__doc__ or "").strip()
    assert len(text) > 20, name
    assert not text.startswith(f"{name}("), name  # what dataclasses and tuples say by themselves
