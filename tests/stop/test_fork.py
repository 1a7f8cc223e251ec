"""A forked child starts empty and works; the parent keeps everything.

Each test is a script in a process of its own: this one has threads of other tests, which a
fork would meet. Jobs of children report through a pipe, so that nothing depends on the
buffers of a stream that was copied.
"""

from __future__ import annotations

import os

import pytest
from process import Result, script

from counterpunch.core.values.interpreter import LOCKED

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PRELUDE = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: forking with threads is the point

import counterpunch
from counterpunch import Job, configure

pause = threading.Event().wait
readable, writable = os.pipe()

class Tell(Job):
    "Writes one line into the pipe, whichever process it runs in."
    workers = 2
    def perform(self, text):
        os.write(writable, f"{text}\\n".encode())
        return os.getpid()

def told():
    "Every line that was written, once all children are gone."
    os.close(writable)
    with os.fdopen(readable) as file:
        return sorted(file.read().split("\\n")[:-1])

def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


# Without the lock each dict has one of its own, and a fork beside a thread that is in
# `sys.modules.get(...)` leaves that dict locked in the child for ever, also in a program of nothing
# but threads that do this: CPython 3.13's, and nothing that a library could let go of.
@pytest.mark.skipif(not LOCKED, reason="a fork leaves dicts locked that other threads look into")
@script(
    PRELUDE
    + """
class Load(Job):
    workers = 2
    max_jobs = 200
    overflow = "block"
    def perform(self, box):
        box.append(None)

def produce():
    while not enough.is_set():
        Load.perform_async(done)
        made.append(None)

def child(number):
    Tell.perform_async(number)
    if number % 2:
        sys.exit(7)  # the exit drains it
    own = Load.perform_async([])
    own.result(10)
    counterpunch.wait_idle(10)
    os._exit(7 if own.status == "succeeded" else 8)

sys.setswitchinterval(0.0005)
done, made, enough = [], [], threading.Event()
producers = [threading.Thread(target=produce) for _ in range(4)]
for thread in producers:
    thread.start()
Tell.perform_async("parent").result(10)
statuses = set()
for first in range(0, 30, 10):
    before = len(done)
    children = []
    for number in range(first, first + 10):
        pid = os.fork()
        if pid == 0:
            child(number)
        children.append(pid)
    statuses.update(map(status_of, children))
    while len(done) == before: pause(0.001)  # the parent's jobs go on
enough.set()
for thread in producers:
    thread.join()
counterpunch.wait_idle(10)
counts = counterpunch.stats().total
say(statuses)
say(len(done) == len(made), counts.accepted == counts.succeeded == len(made) + 1, counts.queued)
say(told() == sorted(["parent", *map(str, range(30))]))
""",
    within=40.0,
)
def test_thirty_forks_under_load(result: Result) -> None:
    """Four threads enqueue and jobs run: every child's own job runs, the parent loses none."""
    assert result.status == 0, result
    assert result.lines() == ["{7}", "True True 0", "True"], result
    assert result.stderr == ""


@script(
    PRELUDE
    + """
gate = threading.Event()

class Held(Job):
    workers = 1
    def perform(self, text):
        gate.wait(10)
        os.write(writable, f"{text}\\n".encode())

Tell.perform_async("before").result(10)
held = [Held.perform_async(f"held {number}") for number in range(3)]
late = Tell.perform_in(0.2, "late")
while not held[0].running(): pause(0.005)
before = counterpunch.stats().total
pid = os.fork()
if pid == 0:
    zero = counterpunch.stats().total
    assert (zero.accepted, zero.queued, zero.running, zero.succeeded) == (0, 0, 0, 0), zero
    assert zero.workers.total == 0 and counterpunch.jobs() == [], counterpunch.jobs()
    assert counterpunch.find(held[1].id) is None
    assert counterpunch.wait_idle(5, scheduled=True)
    gate.set()
    own = Held.perform_async("own")
    own.result(10)
    assert Tell.perform_in(0.3, "child late").result(10) == os.getpid()
    one = counterpunch.stats().total
    assert (one.accepted, one.succeeded, one.queued) == (2, 2, 0), one
    assert own.id.rpartition("-")[0] != held[0].id.rpartition("-")[0]
    sys.exit(0)
after = counterpunch.stats().total
say(status_of(pid), before[:10] == after[:10], after.running, after.queued)
say(late.result(10) == os.getpid())
gate.set()
counterpunch.wait_idle(10)
say(told())
say(counterpunch.stats().total.succeeded)
"""
)
def test_a_child_starts_with_nothing_and_the_parent_keeps_its_own(result: Result) -> None:
    """Counters at zero, none of the parent's jobs, no pool; the parent's are unchanged."""
    lines = sorted(["before", "late", "held 0", "held 1", "held 2", "own", "child late"])
    assert result.lines() == ["0 True 1 2", "True", str(lines), "5"], result
    assert result.status == 0, result


@script(
    PRELUDE
    + """
gate = threading.Event()
configure(on_lost=lambda calls: say("lost", calls))

class Held(Job):
    def perform(self):
        gate.wait(20)

def leaving():
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        sys.exit(4)
    assert status_of(pid) == 4
    return time.monotonic() - start

def soon():
    "At one of many tries: on a busy machine some take longer, with a pause all would."
    return any(leaving() < 0.25 for _ in range(20))

Tell.perform_async("x").result(10)
Tell.perform_in(60, "never").cancel()
idle = soon()
Held.perform_async()
Held.perform_async()
Held.perform_async()
busy = soon()
gate.set()
say(idle, busy)
"""
)
def test_a_child_that_inherits_a_pool_leaves_without_a_pause(result: Result) -> None:
    """Idle or at work when the fork came: the child has nothing to wait for at its end."""
    assert result.status == 0, result
    assert result.lines() == ["True True"], result
    assert result.stderr == ""


@script(
    PRELUDE
    + """
configure(shutdown_timeout=0.2, on_lost=lambda calls: say("lost", *[c.args for c in calls]))

class Stuck(Job):
    def perform(self, text):
        pause(600)

Tell.perform_async("x").result(10)
pid = os.fork()
if pid == 0:
    Stuck.perform_async("child's")
    sys.exit(4)
say(status_of(pid))
"""
)
def test_a_stuck_job_of_a_child_does_not_keep_it(result: Result) -> None:
    """The deadline of the exit holds in a forked child, with its own report."""
    assert result.status == 0, result
    assert result.lines() == ['lost ("child\'s",)', "4"], result
    assert result.seconds < 5.0


# Without it the process id is all that tells a child, as on systems other than Linux.
NO_MMAP = "import sys\nsys.modules['mmap'] = None\n"

C_FORK = """
import ctypes
# Neither of os.fork's hooks runs, as under uWSGI. PyDLL keeps the interpreter lock held.
c_fork = ctypes.PyDLL(None).fork
"""


# There the child waits for ever for a thread that ran as it was made, whatever it runs itself.
@pytest.mark.skipif(not LOCKED, reason="without the lock only os.fork() makes a child that works")
@pytest.mark.parametrize("means", [pytest.param("", id="memory"), pytest.param(NO_MMAP, id="pid")])
@script(
    "<means>"
    + PRELUDE
    + C_FORK
    + """
Tell.perform_async("parent").result(10)
Tell.perform_in(60, "never").cancel()
counterpunch.wait_idle(10)
assert Tell._gate.lane is not None  # the short path is open: that is where it is looked at
for number in range(10):
    pid = c_fork()
    if pid == 0:
        own = Tell.perform_async(number)
        fine = own.result(10) == os.getpid() and Tell.perform_in(0.01, "late").result(10)
        os._exit(0 if fine and counterpunch.stats().total.accepted == 2 else 1)
    say(status_of(pid))
counts = counterpunch.stats().total
say(counts.accepted, counts.succeeded, counts.cancelled)
say(told() == sorted(["parent", *map(str, range(10)), *["late"] * 10]))
"""
)
def test_a_fork_that_runs_no_python_hook_is_noticed(result: Result, means: str) -> None:
    """A fork by C code, as uWSGI's: the child's enqueues see it all the same."""
    assert result.status == 0, result
    assert result.lines() == ["0"] * 10 + ["2 1 1", "True"], result


@script(
    PRELUDE
    + C_FORK
    + """
gate = threading.Event()

class Held(Job):
    def perform(self):
        gate.wait(20)

configure(on_lost=lambda calls: say("lost", calls))
Held.perform_async()
counterpunch.wait_idle(0.05)
start = time.monotonic()
pid = c_fork()
if pid == 0:
    start = time.monotonic()
    report = counterpunch.shutdown()
    os._exit(0 if report.seconds < 1.0 and report.clean and time.monotonic() - start < 1.0 else 1)
say(status_of(pid))
gate.set()
"""
)
def test_the_exit_after_a_fork_without_hooks_does_not_wait_for_the_parents_jobs(
    result: Result,
) -> None:
    """The drain looks at the pid as well: the parent's running job is not the child's."""
    assert result.status == 0, result
    assert result.lines() == ["0"], result


@script(
    NO_MMAP
    + "import os\nos.getpid = lambda: 4711\n"
    + PRELUDE
    + """
Tell.perform_async("parent").result(10)
pid = os.fork()
if pid == 0:
    zero = counterpunch.stats().total.accepted
    Tell.perform_async("child").result(10)
    os._exit(0 if zero == 0 and counterpunch.stats().total.accepted == 1 else 1)
say(status_of(pid))
say(told())
"""
)
def test_a_child_with_the_pid_of_an_ancestor_is_noticed_by_the_hook(result: Result) -> None:
    """Process ids come back, soon in a small container: then only the hook tells the child."""
    assert result.status == 0, result
    assert result.lines() == ["0", "['child', 'parent']"], result


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("return 'child'", 0),
        ("sys.exit(5)", 5),
        ("sys.exit('a message')", 1),
        ("raise LookupError('mine')", 1),
        ("os._exit(7)", 7),
    ],
)
@script(
    PRELUDE
    + """
class Forking(Job):
    workers = 1
    def perform(self):
        pid = os.fork()
        if pid == 0:
            sys.stdout.write("child's output\\n")
            <end>
        return status_of(pid)

    def after(self):
        os.write(writable, b"after\\n")

class Behind(Forking):
    def perform(self, number):
        os.write(writable, b"%d\\n" % number)

forking = Forking.using(priority=1).perform_async()
for number in range(5):
    Behind.perform_async(number)
say(forking.result(10))
counterpunch.wait_idle(10)
say(counterpunch.stats().total.succeeded)
say(told())
"""
)
def test_a_child_that_a_job_forked_ends_with_the_job(result: Result, end: str, status: int) -> None:
    """However it leaves perform: it is no second worker over a copy of the queue."""
    assert result.status == 0, result
    once = sorted(["after"] * 6 + [str(number) for number in range(5)])
    lines = [line for line in result.lines() if line != "child's output"]
    assert lines == [str(status), "6", str(once)], result
    assert ("LookupError: mine" in result.stderr) == ("LookupError" in end), result
    assert result.lines().count("child's output") == (0 if "_exit" in end else 1), result


@script(
    PRELUDE
    + """
class Slow(Tell):
    workers = 1
    def perform(self, text):
        pause(0.05)
        super().perform(text)

class Forking(Job):
    def perform(self):
        pid = os.fork()
        if pid == 0:
            for number in range(3):
                Slow.perform_async(number)
            sys.exit(6)
        return status_of(pid)

say(Forking.perform_async().result(10))
say(told())
"""
)
def test_the_jobs_of_a_child_that_a_job_forked_run_before_it_ends(result: Result) -> None:
    """Such a child may enqueue as well: its queue is drained before its early end."""
    assert result.status == 0, result
    assert result.lines() == ["6", "['0', '1', '2']"], result


@script(
    PRELUDE
    + """
import multiprocessing, subprocess

def child(number):
    Tell.perform_async(f"child {number}")

class Spawning(Job):
    def perform(self, number):
        process = multiprocessing.get_context("fork").Process(target=child, args=(number,))
        process.start()
        process.join(10)
        echo = subprocess.run(["echo", "hi"], capture_output=True, text=True, timeout=10)
        return process.exitcode, echo.stdout

calls = [Spawning.perform_async(number) for number in range(3)]
say({call.result(15) for call in calls})
say(told())
"""
)
def test_a_subprocess_and_a_multiprocessing_child_inside_a_job_are_fine(result: Result) -> None:
    """What is usually meant by a new process in a job works, and gives its result."""
    assert result.status == 0, result
    assert result.lines() == ["{(0, 'hi\\n')}", "['child 0', 'child 1', 'child 2']"], result
