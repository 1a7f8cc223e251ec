"""The guide's page on options says what the code does: made from docstrings, and those are true."""

from __future__ import annotations

import re

import pytest
from options_tables import BEGIN, END, PAGE, described, tables

import counterpunch
from counterpunch.core.values.config import Config
from counterpunch.core.values.per_call import OF_A_CALL, PER_CALL
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


def test_the_options_of_one_call_are_all_named() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Of one call")[2].partition("```")[0]
    for name in (*PER_CALL, *OF_A_CALL):
        assert f"`{name}`" in text, name


def test_the_waits_of_the_page_on_retries_are_those_of_the_formula() -> None:
    text = PAGE.with_name("retries.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(max_attempts=[^`]*)`.*?\|(.*)\|$", text, re.M)
    assert len(rows) >= 5
    for given, cells in rows:
        retry = eval(f"Retry({given})", {"Retry": counterpunch.Retry})
        shown = [cell.strip().removesuffix(" s") for cell in cells.split("|") if cell.strip()]
        assert len(shown) == retry.max_attempts - 1, given
        for attempt, cell in enumerate(shown, 1):
            low, high = retry.formula(attempt, lambda: 0.0), retry.formula(attempt, lambda: 1.0)
            assert cell == (f"{low:g}" if low == high else f"{low:g} to {high:g}"), given
