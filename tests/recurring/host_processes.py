"""Real processes of one host, under one clock that the test moves.

Each runs the script below. Told a time it does what is due, and answers with the runs that it did.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import counterpunch

__all__ = ["Clock", "Worker"]

SCRIPT = """
import sys, threading, time
import counterpunch
from counterpunch.core.port import Runtime, installed

class Clock:
    now, wall = map(float, sys.argv[1:])
    def monotonic(self): return self.now
    def time(self): return self.wall

clock, runs = Clock(), []
runtime = installed.runtime = Runtime(clock=clock)

class Tick(counterpunch.Job):
    <options>
    def perform(self):
        runs.append(f"{clock.wall:.0f}")

def settle():
    end = time.monotonic() + 20
    scheduler, calm = runtime.scheduler, 0
    scheduler.parking.nudge()
    while calm < 2:
        assert time.monotonic() < end, "it does not come to rest"
        ticks = any(thread.name == "counterpunch-tick" for thread in threading.enumerate())
        calm = calm + 1 if scheduler.resting() and not ticks and runtime.wait_idle(5) else 0
        time.sleep(0.0005)

for line in sys.stdin:
    word, *rest = line.split()
    if word == "at":
        clock.now, clock.wall = map(float, rest)
    elif word == "draw":
        runtime.chance.source = lambda draw=float(rest[0]): draw
    elif word == "start":
        counterpunch.start()
    elif word == "quiet":
        counterpunch.quiet()
    elif word == "stop":
        counterpunch.shutdown(1)
        print("ok", flush=True)
        break
    settle()
    print("ok", *runs, flush=True)
    runs.clear()
"""


class Clock:
    """The clocks of the host: ``wall`` may be set, ``now`` goes on."""

    def __init__(self, wall: float) -> None:
        self.now, self.wall = 1000.0, wall

    def times(self) -> tuple[float, float]:
        return self.now, self.wall

    def move(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


class Worker:
    """A process that serves. At the end of the ``with`` nothing of it is left."""

    def __init__(
        self, clock: Clock, folder: Path, options: str, draw: float = 0.0, cwd: str | None = None
    ) -> None:
        self.clock, self.runs = clock, list[float]()
        source = Path(counterpunch.__file__).parent.parent
        env = {**os.environ, "PYTHONPATH": str(source), "XDG_RUNTIME_DIR": str(folder)}
        self.process = subprocess.Popen(
            # With the time from the first look on: else the clock was set before it serves.
            [sys.executable, "-c", SCRIPT.replace("<options>", options), *map(repr, clock.times())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=cwd,
        )
        self.tell(f"draw {draw}")
        self.tell("start")

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def tell(self, text: str) -> list[float]:
        """The instants of the runs that it did meanwhile."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        word, *runs = self.process.stdout.readline().split() or [""]
        assert word == "ok", f"it ended at {text!r}"
        self.runs += (found := [float(run) for run in runs])
        return found

    def look(self) -> list[float]:
        """Let it see the time."""
        return self.tell(f"at {self.clock.now} {self.clock.wall}")

    def stop(self) -> None:
        """In order, as at a deploy."""
        self.tell("stop")
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=10)
