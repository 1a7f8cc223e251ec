"""Random raw requests on each shell: none breaks a page, splits a header or leads off the site."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dashboard_client import needs
from hostile import at_asgi, at_wsgi

import counterpunch

#: In the stage that has minutes; fewer where the suite is to stay quick.
COUNT = 20_000 if os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS") else 1_000


@pytest.fixture(autouse=True)
def quiet_log():
    """The actions that hit something leave records, and those are not what is looked at."""
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


def test_at_the_wsgi_shell():
    """Garbage in the environ."""
    at_wsgi(COUNT)


def test_at_the_asgi_shell():
    """Garbage in the scope, and in the messages."""
    at_asgi(COUNT)


def test_in_django():
    """Through its own handler."""
    needs("django")
    here, source = Path(__file__).parent, Path(counterpunch.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, here / "hostile.py", "django", str(COUNT)],
        env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{here}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr[-3000:]
