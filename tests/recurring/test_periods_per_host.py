"""``once_per="host"``: each run is done once, whichever process of the host has the class."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from host_processes import Clock, Worker

import counterpunch
from counterpunch import Job, start
from counterpunch.core.values.plan import plan_of
from counterpunch.recurring.host_lock import HostLock

WAIT = 10.0


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lock files go to a folder of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


# Two real processes under one clock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fcntl")
MIDNIGHT = datetime(2025, 1, 1, tzinfo=timezone.utc).timestamp()
MINUTELY = 'cron, jitter = "* * * * *", 20'


def test_a_run_of_who_has_stopped_is_not_done_again(tmp_path: Path) -> None:
    """The jitter of each process is its own; the run is of the host."""
    clock = Clock(MIDNIGHT - 30)
    with (
        Worker(clock, tmp_path, MINUTELY, draw=0.1) as one,
        Worker(clock, tmp_path, MINUTELY, draw=0.6) as other,
    ):
        clock.move(32)
        assert one.look() == [MIDNIGHT + 2]
        one.stop()
        clock.move(10)
        assert other.look() == []
        clock.move(60)
        assert other.look() == [MIDNIGHT + 72]


@pytest.mark.parametrize("end", [Worker.stop, Worker.kill], ids=["stopped", "killed"])
def test_a_run_that_the_jitter_held_back_is_done_after_the_restart(
    tmp_path: Path, end: Callable[[Worker], None]
) -> None:
    """Once, and the next one a day later."""
    clock, nightly = Clock(MIDNIGHT - 60), 'cron, jitter = "0 0 * * *", 600'
    with Worker(clock, tmp_path, nightly, draw=0.9) as old:
        clock.move(120)
        assert old.look() == []
        end(old)
    clock.move(60)
    with Worker(clock, tmp_path, nightly, draw=0.5) as new:
        assert new.runs == []
        clock.move(180)
        assert new.look() == [MIDNIGHT + 300]
        clock.move(86400 - 1)
        assert new.look() == []
        clock.move(1)
        assert new.look() == [MIDNIGHT + 86400 + 300]


def test_releases_in_two_folders_run_each_period_once(tmp_path: Path) -> None:
    """Blue and green overlap at a deploy; the one that has not the lock says where that is."""
    clock = Clock(MIDNIGHT - 30)
    blue, green = tmp_path / "blue", tmp_path / "green"
    blue.mkdir()
    green.mkdir()
    with (
        Worker(clock, tmp_path, MINUTELY, cwd=str(blue)) as one,
        Worker(clock, tmp_path, MINUTELY, cwd=str(green)) as other,
    ):
        clock.move(30)
        assert (one.look(), other.look()) == ([MIDNIGHT], [])
        one.stop()
        clock.move(60)
        assert other.look() == [MIDNIGHT + 60]


def test_a_quiet_process_hands_over(tmp_path: Path) -> None:
    """And one that serves again may have it back."""
    clock = Clock(MIDNIGHT)
    with (
        Worker(clock, tmp_path, "every = 5") as one,
        Worker(clock, tmp_path, "every = 5") as other,
    ):
        clock.move(2)
        one.tell("quiet")
        clock.move(3)
        assert (one.look(), other.look()) == ([], [MIDNIGHT + 5])
        one.tell("start")
        other.tell("quiet")
        clock.move(5)
        assert (other.look(), one.look()) == ([], [MIDNIGHT + 10])


def test_every_keeps_its_phase_across_short_lived_processes(tmp_path: Path) -> None:
    """Each is younger than the period: ``--max-requests``, deploys."""
    clock, runs = Clock(MIDNIGHT), list[float]()
    for _ in range(4):
        with Worker(clock, tmp_path, "every = 60") as worker:
            for _ in range(2):
                clock.move(20)
                worker.look()
            worker.kill()
            runs += worker.runs
    assert runs == [MIDNIGHT + 60, MIDNIGHT + 120]


def test_what_was_missed_while_none_ran_is_one_run_at_the_next_start(tmp_path: Path) -> None:
    """As anacron does it, and no longer with another schedule: nobody had promised that."""
    clock = Clock(MIDNIGHT)
    with Worker(clock, tmp_path, "every = 60"):
        pass
    clock.move(1000)
    with Worker(clock, tmp_path, "every = 60") as worker:
        assert worker.runs == [MIDNIGHT + 1000]
        clock.move(20)
        assert worker.look() == [MIDNIGHT + 1020]
        worker.stop()
    clock.move(1000)
    with Worker(clock, tmp_path, "every = 90") as worker:
        assert worker.runs == []
        clock.move(90)
        assert worker.look() == [clock.wall]


def test_a_clock_that_is_set_silences_neither_process(tmp_path: Path) -> None:
    """Both see it: the one that has the lock goes on, and so can the other one. What was left out
    at a large step forward is made up for once the new time has stood for a while."""
    clock, runs, ages = Clock(MIDNIGHT + 30), list[float](), list[float]()
    steps = {12: 400 * 86400.0, 30: -400 * 86400.0, 48: -7 * 3600.0, 66: 1800.0, 84: -2.0}
    with (
        Worker(clock, tmp_path, 'cron = "*/5 * * * *"') as one,
        Worker(clock, tmp_path, 'cron = "*/5 * * * *"') as other,
    ):
        for minutes in range(100):
            clock.wall += steps.get(minutes, 0.0)
            if minutes == 75:
                one.stop()
            clock.move(60)
            found = other.look() if minutes >= 75 else one.look() + other.look()
            runs += found
            ages += [clock.now] * len(found)
    pauses = [later - former for former, later in pairwise(ages)]
    assert max(pauses) <= 480
    assert 18 <= len(runs) <= 22, runs
    assert all(run % 300 < 60 for run in runs[-5:])


@pytest.mark.parametrize("options", ['cron, jitter = "*/5 * * * *", 60', "every = 300"])
def test_as_processes_come_and_go_each_period_is_run_once(tmp_path: Path, options: str) -> None:
    """They stop, are killed and go quiet at random, and one is always there."""
    source, clock = random.Random(seed := random.randrange(1000)), Clock(MIDNIGHT)
    serving, runs = list[Worker](), list[float]()
    with contextlib.ExitStack() as stack:

        def another() -> None:
            made = Worker(clock, tmp_path, options, draw=source.random())
            serving.append(stack.enter_context(made))

        another()
        for _ in range(27):  # twenty minutes
            clock.move(45)
            if source.random() < 0.15:
                another()
            if len(serving) > 1 and source.random() < 0.3:
                leaving = serving.pop(source.randrange(len(serving)))
                runs += leaving.runs
                how = source.choice(["quiet", "stop", "kill"])
                leaving.kill() if how == "kill" else leaving.tell(how)
            for worker in source.sample(serving, len(serving)):
                worker.look()
        runs += [run for worker in serving for run in worker.runs]
    periods = sorted((run - MIDNIGHT) // 300 for run in runs)
    last = len(periods) > 3  # the fourth may still be held back
    assert periods == list(range(1, 4 + last)), (seed, sorted(run - MIDNIGHT for run in runs))


# One that really waits

PROGRAM = """
import sys, threading
import counterpunch

class HostJob(counterpunch.Job):
    every = 0.02
    def perform(self):
        print("ran", flush=True)

class EachJob(counterpunch.Job):
    every = 0.02
    once_per = "process"
    def perform(self):
        print("each", flush=True)

counterpunch.start()
sys.stdin.read()
"""


class Server:
    """A process that serves periodic jobs until its standard input is closed."""

    def __init__(self, folder: Path) -> None:
        source = Path(counterpunch.__file__).parent.parent
        env = {**os.environ, "PYTHONPATH": str(source), "XDG_RUNTIME_DIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=folder,
        )

    def until(self, line: str) -> set[str]:
        """Read until ``line`` appears; the distinct lines read."""
        assert self.process.stdout is not None
        seen = set()
        for text in self.process.stdout:
            seen.add(text.strip())
            if text.strip() == line:
                return seen
        raise AssertionError(f"the process ended before it printed {line!r}: {seen}")

    def few(self, line: str, count: int) -> set[str]:
        """Read until ``line`` has appeared ``count`` times; the distinct lines read."""
        seen: set[str] = set()
        for _ in range(count):
            seen |= self.until(line)
        return seen

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=WAIT)


def test_one_process_of_a_host_runs_it_until_it_dies(tmp_path: Path) -> None:
    """Of two processes one runs the ticks; killed, it is followed by the other."""
    servers = [Server(tmp_path)]
    try:
        servers[0].until("ran")
        servers.append(Server(tmp_path))
        assert servers[1].few("each", 10) == {"each"}
        servers[0].process.kill()
        servers[1].until("ran")
    finally:
        for server in servers:
            server.end()


def test_a_lock_is_held_once_and_given_back_at_a_stop() -> None:
    """A server that starts again in the same process (lifespan) gets its own lock back."""
    ran = threading.Semaphore(0)

    class AgainJob(Job):
        every = 0.01

        def perform(self) -> None:
            ran.release()

    for _ in range(2):
        start()
        assert ran.acquire(timeout=WAIT)
        other = HostLock(plan_of(AgainJob).name)
        assert not other.hold()
        counterpunch.shutdown(1)
        assert other.hold()
        other.release()
        while ran.acquire(blocking=False):
            pass


@pytest.mark.parametrize("again", [True, False], ids=["its holder", "another process"])
def test_a_lock_file_that_was_tidied_away_is_held_by_one_again(again: bool) -> None:
    """A temporary directory is cleaned after some days; whoever comes first makes a new file."""
    pytest.importorskip("fcntl")
    holder, other = HostLock("tidied"), HostLock("tidied")
    assert holder.hold()
    os.unlink(holder.path())
    first, second = (holder, other) if again else (other, holder)
    assert first.hold()
    assert not second.hold()
    assert first.hold()
    first.release()
    assert second.hold()
    second.release()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock() -> None:
    """A child that lives on after its parent's stop does not stand in the way."""
    ran = threading.Event()

    class ForkedJob(Job):
        every = 0.01

        def perform(self) -> None:
            ran.set()

    start()
    assert ran.wait(WAIT)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)  # until the parent closes its end
        os._exit(0)
    try:
        counterpunch.shutdown(1)
        lock = HostLock(plan_of(ForkedJob).name)
        deadline = threading.Event()
        for _ in range(200):
            if lock.hold():
                break
            deadline.wait(0.02)  # the child's own hook runs when it is scheduled
        assert lock.hold()
        lock.release()
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(pid, 0)
