"""What the scripts begin with that show how a process ends.

Their jobs wait for ``draining``, which is set once a new job is refused.
"""

from __future__ import annotations

import sys

import pytest

#: CPython before 3.12.3 cannot start a thread once the interpreter has begun to end.
NO_THREADS_AT_EXIT = (3, 12, 0) <= sys.version_info[:3] < (3, 12, 3)
threads_at_exit = pytest.mark.skipif(
    NO_THREADS_AT_EXIT, reason="3.12.0-3.12.2 start no thread at exit"
)

PRELUDE = """
import atexit, os, signal, sys, threading, time
atexit.register(lambda: sys.stdout.write("user atexit\\n"))  # the first: it runs last

import counterpunch
from counterpunch import Job, Retry, ShuttingDown, configure

pause = threading.Event().wait
draining = threading.Event()

def rest():
    # In steps: a signal that arrives just before a wait begins does not end that wait.
    for _ in range(600):
        pause(0.05)

def mark(name):
    sys.stdout.write(f"{name}={time.monotonic()}\\n")

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")

class Probe(Job):
    workers = 1
    def perform(self): ...

def watch():
    try:
        while True:
            Probe.perform_async()
            pause(0.01)
    except ShuttingDown:
        draining.set()

def watch_for_the_drain():
    Probe.perform_async().result(10)
    threading.Thread(target=watch, daemon=True).start()

def refuse(*args, **kwargs):
    raise RuntimeError("can't create new thread at interpreter shutdown")

def no_more_threads():
    "From here on this interpreter behaves as 3.12.0-3.12.2 do at their end."
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, name):
            setattr(threading, name, refuse)
"""

# Eight jobs of one worker, none of which can run before the drain has begun.
QUEUED = (
    PRELUDE
    + """
class Line(Job):
    workers = 1
    def perform(self, number):
        assert draining.wait(10)
        say("job", number)

for number in range(8):
    Line.perform_async(number)
watch_for_the_drain()
"""
)
EIGHT = [f"job {number}" for number in range(8)]
