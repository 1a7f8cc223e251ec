"""The end of a process: with which status, how long it takes, and what comes after.

Each test is a script in a process of its own. Its jobs wait for ``draining``, which is set
once a new job is refused: so what they show happened during the drain, on a slow machine too.
"""

from __future__ import annotations

import pytest
from exit_scripts import EIGHT, PRELUDE, QUEUED
from process import Result, run, script

# Leaving at once

IDLE = {
    "never used": "",
    "idle workers": "Probe.perform_async().result(10)",
    "idle scheduler": "Probe.perform_in(0.01).result(10); Probe.perform_in(60).cancel()",
    "stopped before": "Probe.perform_async(); counterpunch.shutdown()",
    "quiet": "Probe.perform_async().result(10); counterpunch.quiet()",
    "failed jobs": "Probe.perform_async(); counterpunch.wait_idle(); Probe.perform_in(0).result()",
}


@pytest.mark.parametrize("state", IDLE)
def test_an_idle_process_leaves_without_a_pause(state: str) -> None:
    """From the last line of the script to the end of the process: far below half a second."""
    text = PRELUDE + IDLE[state] + "\nmark('end')\n"
    leaving = []
    for _ in range(3):  # a pause of ours is there every time, a busy machine is not
        result = run(text)
        assert result.status == 0, result
        assert result.lines() == ["user atexit"], result
        leaving.append(result.since("end"))
        if leaving[-1] < 0.25:
            return
    pytest.fail(f"it took {leaving} s to leave")


@script(
    PRELUDE
    + """
for round in range(300):
    Probe.perform_in(60 - round * 0.1).cancel()  # due before the others: it wakes up for it
    if not counterpunch.wait_idle(5, scheduled=True):
        say("not woken")
        break
"""
)
def test_the_scheduler_that_falls_asleep_wakes_who_waits_for_rest(result: Result) -> None:
    """Whoever looks while it is awake for a moment is told when it no longer is."""
    assert result.status == 0, result
    assert result.lines() == ["user atexit"], result
    assert result.seconds < 5.0


# Exit status, flush, atexit handlers


@pytest.mark.parametrize(
    ("end", "status", "stderr"),
    [
        pytest.param("", 0, "", id="end of script"),
        pytest.param("sys.exit(3)", 3, "", id="sys.exit"),
        pytest.param("raise LookupError('mine')", 1, "LookupError: mine", id="exception"),
    ],
)
@script(QUEUED + "<end>")
def test_the_exit_status_survives_the_drain(
    result: Result, end: str, status: int, stderr: str
) -> None:
    """Queued jobs run, their output is flushed, atexit handlers follow, the status is kept."""
    assert result.status == status, result
    assert result.lines() == [*EIGHT, "user atexit"], result
    assert stderr in result.stderr
    assert "counterpunch" not in result.stderr


# The deadline

STUCK = {
    "sleeps": "from time import sleep; sleep(600)",
    "computes": "while True: pass",
    "waits for a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    # CPython aborts if a daemon thread holds the lock of a buffered stream at its end.
    "prints": "while True: sys.stdout.write('tick\\n')",
    "swallows": """while True:
            try:
                while True: pass
            except BaseException: pass""",
}


@pytest.mark.parametrize("way", STUCK.values(), ids=STUCK)
@script(
    PRELUDE
    + """
configure(shutdown_timeout=0.3)
started = threading.Event()

class Stuck(Job):
    def perform(self):
        started.set()
        <way>

Stuck.perform_async()
Stuck.perform_async()
Stuck.perform_async()
started.wait(10)
mark("end")
sys.exit(3)
""",
    within=15.0,
)
def test_the_deadline_holds_with_a_stuck_job(result: Result, way: str) -> None:
    """Whatever a job is stuck in, the process leaves in time, in order, with its status."""
    assert result.status == 3, (result.status, result.stderr)
    assert "\nuser atexit\n" in result.stdout, result.stdout[-500:]
    assert 0.3 <= result.since("end") < 5.0  # two that spin leave little of two cores
    assert "Fatal Python error" not in result.stderr
    assert "jobs lost: 3" in result.stderr


@script(
    PRELUDE
    + """
configure(shutdown_timeout=0.1)
started = threading.Event()

class Stuck(Job):
    def perform(self):
        try:
            started.set()
            while True:
                pass
        finally:
            say("cleaned up")

Stuck.perform_async()
started.wait(10)
"""
)
def test_a_job_stuck_in_python_code_cleans_up_at_the_deadline(result: Result) -> None:
    """At the deadline its thread is told to end, and so its finally blocks run."""
    assert result.status == 0, result
    assert result.lines() == ["cleaned up", "user atexit"], result


@script(
    PRELUDE
    + """
configure(shutdown_timeout=1.2, on_lost=lambda calls: say("lost", calls))

class Patient(Job):
    def perform(self):
        while not self.cancelled:
            pause(0.01)
        say("ended in order")

Patient.perform_async()
mark("end")
"""
)
def test_a_job_sees_its_cancel_token_before_the_deadline(result: Result) -> None:
    """A job that looks at the token can still end in order, and nothing is lost."""
    assert result.lines() == ["ended in order", "user atexit"], result
    assert 0.9 <= result.since("end") < 1.2


# After the stop, and stops from odd places


@script(
    PRELUDE
    + """
def refused(where):
    calls = [Probe.perform_async, lambda: Probe.perform_in(1), lambda: Probe.perform_bulk([()]),
             Probe.using(priority=1).perform_async, Probe.perform_now]
    for call in calls:
        try:
            call()
        except ShuttingDown as exc:
            assert "Probe" in str(exc), exc
        else:
            say("accepted by", call)
    say(where, "refused")

def own_thread():
    assert draining.wait(10)
    refused("thread")
    say(counterpunch.stats().total.lost)

watch_for_the_drain()
atexit.register(refused, "atexit")
threading.Thread(target=own_thread).start()
"""
)
def test_an_enqueue_after_the_stop_is_refused(result: Result) -> None:
    """By a user's own thread and in atexit handlers, each way to enqueue: ShuttingDown."""
    assert result.status == 0, result
    assert result.lines() == ["thread refused", "0", "atexit refused", "user atexit"], result
    assert result.stderr == ""


@script(
    QUEUED
    + """
def own_thread():
    assert draining.wait(10)
    line.result(10)
    pause(0.1)
    say("thread done")

line = Line.perform_async(8)
threading.Thread(target=own_thread).start()
"""
)
def test_the_process_waits_for_a_users_own_thread_as_ever(result: Result) -> None:
    """The drain neither joins nor skips threads of others that are not daemons."""
    assert result.status == 0, result
    assert result.lines() == [*EIGHT, "job 8", "thread done", "user atexit"], result


@script(
    PRELUDE
    + """
class Leaving(Job):
    workers = 1
    def perform(self, leave):
        if leave:
            sys.exit(5)
        return threading.get_ident()

first = Leaving.perform_async(False)
leaving = Leaving.perform_async(True)
second = Leaving.perform_async(False)
say(leaving.exception(10).code, leaving.status, first.result(10) == second.result(10))
"""
)
def test_a_job_that_calls_sys_exit_ends_itself_only(result: Result) -> None:
    """SystemExit in a job is a failed attempt; the worker lives and the status is the script's."""
    assert result.status == 0, result
    assert result.lines() == ["5 failed True", "user atexit"], result


@script(
    PRELUDE
    + """
class Other(Job):
    def perform(self):
        assert draining.wait(10)

class Last(Job):
    def perform(self):
        report = counterpunch.shutdown(5)
        return len(report.lost), report.clean

other = Other.perform_async()
watch_for_the_drain()
say(Last.perform_async().result(10), other.status)
# Again from scratch, while the enqueue that starts the first worker is still under way.
say({Last.perform_async().result(10) for _ in range(50)})
mark("end")
"""
)
def test_a_job_that_stops_the_runtime_is_not_waited_for(result: Result) -> None:
    """shutdown() from inside a job finishes the others, and the job then ends as usual."""
    assert result.status == 0, result
    assert result.lines() == ["(0, True) succeeded", "{(0, True)}", "user atexit"], result
    assert result.seconds < 4.0
    assert result.stderr == ""


@script(
    PRELUDE
    + """
class Last(Job):
    def perform(self):
        assert draining.wait(10)
        counterpunch.shutdown()
        say("job done")

last = Last.perform_async()
watch_for_the_drain()
atexit.register(lambda: say(last.status))
mark("end")
"""
)
def test_a_job_that_stops_the_runtime_while_the_process_leaves_does_not_wait_for_itself(
    result: Result,
) -> None:
    """The exit waits for the job, so the job must not wait for the exit."""
    assert result.status == 0, result
    assert result.lines() == ["job done", "succeeded", "user atexit"], result
    assert result.since("end") < 4.0


@script(
    PRELUDE
    + """
class Slow(Job):
    def perform(self):
        assert draining.wait(10)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(10)
        say("job done")

def stop(number, frame):
    say("clean", counterpunch.shutdown().clean)
    stopped.set()

stopped = threading.Event()
signal.signal(signal.SIGTERM, stop)
Slow.perform_async()
watch_for_the_drain()
mark("end")
"""
)
def test_a_signal_handler_that_stops_the_runtime_during_the_drain_does_not_block_it(
    result: Result,
) -> None:
    """The drain is suspended under the handler: what the handler asks for is on its way."""
    assert result.status == 0, result
    assert result.lines() == ["clean True", "job done", "user atexit"], result
    assert result.since("end") < 4.0


@script(
    QUEUED
    + """
configure(on_lost=lambda calls: say("lost", calls))
stopping = threading.Thread(target=lambda: say("clean", counterpunch.shutdown().clean))
stopping.daemon = True
hold = threading.Event()

class Held(Job):
    def perform(self):
        assert hold.wait(10)

Held.perform_async()
stopping.start()
assert draining.wait(10)
hold.set()
"""
)
def test_the_exit_waits_for_a_stop_that_another_thread_has_begun(result: Result) -> None:
    """A user's thread is inside shutdown() when the script ends: one drain, one report."""
    assert result.status == 0, result
    *rest, last = result.lines()
    assert last == "user atexit", result
    assert set(rest) - {"clean True"} == set(EIGHT), result


# Hosts


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
@script(
    PRELUDE
    + """
import multiprocessing
configure(shutdown_timeout=0.5)

class InChild(Job):
    workers = 1
    def perform(self, number):
        os.write(1, b"job %d\\n" % number)

class Stuck(Job):
    def perform(self):
        pause(600)

def child(stuck):
    Stuck.perform_async() if stuck else None
    for number in range(3):
        InChild.perform_async(10 * stuck + number)

if __name__ == "__main__":
    InChild.perform_async(99).result(10)
    context = multiprocessing.get_context('<method>')
    children = [context.Process(target=child, args=(stuck,)) for stuck in (False, True)]
    for process in children:
        process.start()
    for process in children:
        process.join(15)
        say("exit code", process.exitcode)
"""
)
def test_jobs_of_multiprocessing_children_run_and_the_children_leave(
    result: Result, method: str
) -> None:
    """However it was started: a child's queued jobs drain, a stuck one does not keep it."""
    assert result.status == 0, result
    jobs = [line for line in result.lines() if line.startswith("job")]
    assert jobs[0] == "job 99", result
    # Both children run at once; each keeps the order of its own jobs.
    assert len(jobs) == 7, result
    assert [line for line in jobs if len(line) == 5] == ["job 0", "job 1", "job 2"], result
    assert [line for line in jobs[1:] if len(line) == 6] == ["job 10", "job 11", "job 12"], result
    assert result.stdout.count("exit code 0\n") == 2, result
    assert result.seconds < 8.0


@script(
    """
import sys
import pytest

CASE = '''
import threading
import counterpunch

class Stuck(counterpunch.Job):
    def perform(self):
        started.set()
        threading.Event().wait(600)

started = threading.Event()

def test_stuck():
    counterpunch.configure(shutdown_timeout=0.2)
    Stuck.perform_async()
    assert started.wait(10)

def test_red():
    assert False
'''

if __name__ == "__main__":
    path = sys.argv[0].replace("script.py", "test_case.py")
    with open(path, "w") as file:
        file.write(CASE)
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", path]))
"""
)
def test_pytest_ends_although_a_job_is_stuck(result: Result) -> None:
    """A test that leaves a stuck job behind does not hold the test run up, nor its status."""
    assert result.status == 1, result
    assert "1 failed, 1 passed" in result.stdout
    assert "jobs lost: 1" in result.stderr
    assert result.seconds < 10.0


@script(
    """
import threading
import counterpunch
from counterpunch import Job, ShuttingDown

entered, gate, told = threading.Event(), threading.Event(), threading.Event()
answers = []

class Stuck(Job):
    def perform(self):
        entered.set()
        gate.wait(20)
        if told.is_set():
            return
        try:
            Stuck.perform_async()
            answers.append("accepted")
        except ShuttingDown:
            answers.append("refused")
        told.set()

Stuck.perform_async()
entered.wait(10)
report = counterpunch.shutdown(timeout=0)
gate.set()
told.wait(10)
print(len(report.lost), answers[0])
print(Stuck.perform_async().id != "", "from outside it starts afresh")
"""
)
def test_a_job_that_outlived_the_stop_starts_nothing_new(result: Result) -> None:
    """What it enqueues is refused; the process does not drain a second time for it."""
    assert result.status == 0, result.stderr
    assert result.lines() == ["1 refused", "True from outside it starts afresh"]


@pytest.mark.parametrize("free_threaded", [True, False])
@script(
    """
import sys
from counterpunch.core.workers import at_exit
print("ctypes" in sys.modules)
at_exit._FREE_THREADED = <free_threaded>
at_exit.import_for_the_end()
print("ctypes" in sys.modules)
"""
)
def test_what_stops_a_thread_is_imported_before_there_is_one(
    result: Result, free_threaded: bool
) -> None:
    """Where an import is slow beside threads that compute; and never with the package."""
    assert result.stdout.split() == ["False", str(free_threaded)], result


@script(
    PRELUDE
    + """
class Ends(Job):
    def perform(self):
        Line.perform_async()
        threading._shutdown()  # what an interpreter calls first that ends on this thread
        say("through")
        sys.stdout.flush()
        os._exit(0)

class Line(Job):
    def perform(self):
        say("ran")

Ends.perform_async()
rest()
"""
)
def test_an_interpreter_that_ends_on_the_thread_of_a_job_does_not_wait_for_the_main_one(
    result: Result,
) -> None:
    """As under uWSGI, whose signal handler may run on any thread. Nobody tells the main one."""
    assert result.status == 0, result
    assert result.lines() == ["ran", "through"], result
