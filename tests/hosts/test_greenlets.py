"""Where gevent patches after the library was imported, as in a gunicorn config: all the same."""

from __future__ import annotations

import subprocess
import sys

from serving import require

SCRIPT = """
import counterpunch
from gevent import monkey, spawn
monkey.patch_all()

class Later(counterpunch.Job):
    def perform(self): ...

Later.perform_in(0.001).wait(9)  # the scheduler's thread is a greenlet of this one
called, late = [], Later.perform_in(100)
late.add_done_callback(called.append)
waiting = spawn(late.wait, 9)
waiting.join(0.01)
late.cancel()
waiting.get()
print(called == [late])
"""


def test_a_greenlet_that_ends_a_job_is_not_taken_for_the_scheduler() -> None:
    """Who waits for it is told there and then."""
    require("gevent")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
