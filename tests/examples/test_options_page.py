"""The guide's page on options says what the code does: made from docstrings, and those are true."""

from __future__ import annotations

import re

import pytest
from options_tables import BEGIN, END, PAGE, described, tables

import counterpunch
from counterpunch.core.values.config import Config
from counterpunch.define.options import DEFAULTS

JOB = described(counterpunch.Job.__doc__ or "", "Options, as class attributes of a job:")
PROCESS = described(counterpunch.configure.__doc__ or "", "Args:")
CONFIG = {name: value for name, value in vars(Config()).items() if name != "changed"}


@pytest.mark.parametrize("title", tables())
def test_the_page_is_as_the_docstrings_make_it(title: str) -> None:
    """Else: ``python tests/examples/options_tables.py --write``."""
    piece = f"{BEGIN.format(title)}\n{tables()[title]}\n{END}"
    assert piece in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("told", "real"), [(JOB, DEFAULTS), (PROCESS, CONFIG)], ids=["class", "process"]
)
def test_every_option_is_described_with_its_default(
    told: dict[str, str], real: dict[str, object]
) -> None:
    assert set(told) == set(real)
    for name, meaning in told.items():
        default = real[name]
        said = re.search(r"Default (.*)", meaning)
        if default in (None, (), {}, False, True):
            continue  # said in words, or not at all
        assert said is not None, name
        value = said[1].replace("``", "").replace("_", "")
        assert f"{default}" in value, name
