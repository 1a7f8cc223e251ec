"""The end of a process: what runs, what is lost, with which status, and how long it takes.

Each test is a script in a process of its own. Its jobs wait for ``draining``, which is set
once a new job is refused: so what they show happened during the drain, on a slow machine too.
"""

from __future__ import annotations

import signal
import sys

import pytest
from process import Result, Script, run, script

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


@pytest.mark.parametrize(
    ("number", "setup", "status"),
    [
        pytest.param(signal.SIGINT, "", -signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, "configure(signals=True)", 143, id="SIGTERM with handler"),
    ],
)
def test_a_signal_ends_the_process_through_the_drain(number: int, setup: str, status: int) -> None:
    """Ctrl-C always, SIGTERM with the opt-in handler: queued jobs run, the status says why."""
    with Script(QUEUED + setup + "\nprint('ready', flush=True)\nrest()\n") as script:
        script.until("ready")
        script.signal(number)
        result = script.finish()
    assert result.status == status, result
    assert result.lines() == ["ready", *EIGHT, "user atexit"], result


def test_sigterm_without_the_handler_is_instant_death() -> None:
    """The default action of SIGTERM runs nothing; it is never replaced unasked."""
    text = QUEUED + "print('ready', signal.getsignal(signal.SIGTERM).name, flush=True)\nrest()\n"
    with Script(text) as script:
        script.until("ready")
        script.signal(signal.SIGTERM)
        result = script.finish()
    assert result.status == -signal.SIGTERM, result
    assert result.lines() == ["ready SIG_DFL"], result


def test_a_handler_that_was_there_before_is_chained() -> None:
    """With somebody else's SIGTERM handler in place, that one decides how the process ends."""
    text = """
def theirs(number, frame):
    say("theirs", number)
    sys.exit(9)

signal.signal(signal.SIGTERM, theirs)
configure(signals=True)
print("ready", flush=True)
rest()
"""
    with Script(QUEUED + text) as script:
        script.until("ready")
        script.signal(signal.SIGTERM)
        result = script.finish()
    assert result.status == 9, result
    assert result.lines() == ["ready", "theirs 15", *EIGHT, "user atexit"], result


def test_repeated_sigterm_is_ignored_while_the_process_drains() -> None:
    """Heroku and systemd send it to everybody, more than once: the drain goes on."""
    text = """
configure(signals=True)

class Slow(Job):
    def perform(self):
        assert draining.wait(10)
        print("draining", flush=True)
        while not os.path.exists("go"):
            pause(0.01)
        say("slow job done")

Slow.perform_async()
watch_for_the_drain()
print("ready", flush=True)
rest()
"""
    with Script(PRELUDE + text) as script:
        script.until("ready")
        script.signal(signal.SIGTERM)
        script.until("draining")
        for _ in range(3):
            script.signal(signal.SIGTERM)
        (script.directory / "go").touch()
        result = script.finish()
    assert result.status == 143, result
    assert result.lines() == ["ready", "draining", "slow job done", "user atexit"], result
    assert result.stderr == ""


@script(
    QUEUED
    + """
from counterpunch import _lifecycle

now = 1000.0
_lifecycle.monotonic = lambda: now
configure(signals=True)

def swallow():
    try:
        signal.raise_signal(signal.SIGTERM)
        say(f"{now:.1f} ignored")
    except BaseException as exc:
        say(f"{now:.1f} {exc!r}")

for now in (1000.0, 1000.0, 1000.9, 1001.1, 1002.0):
    swallow()
now = 1010.0
signal.raise_signal(signal.SIGTERM)
say("not reached")
"""
)
def test_a_swallowed_sigterm_can_be_repeated_after_a_second(result: Result) -> None:
    """wsgiref catches whatever is raised while it handles a request, this SystemExit too."""
    assert result.status == 143, result
    assert result.lines() == [
        "1000.0 SystemExit(143)",
        "1000.0 ignored",
        "1000.9 ignored",
        "1001.1 SystemExit(143)",
        "1002.0 ignored",
        *EIGHT,
        "user atexit",
    ], result


@script(
    PRELUDE
    + """
from counterpunch import _lifecycle

now = 1000.0
_lifecycle.monotonic = lambda: now
_lifecycle.installed.drain = (900.0, 901.0)  # of an earlier lifespan
configure(signals=True)

def signalled(at, drain=None):
    global now
    now = at
    if drain is not None:
        _lifecycle.installed.drain = drain
    try:
        signal.raise_signal(signal.SIGTERM)
        say(f"{now:.1f} ignored")
    except BaseException as exc:
        say(f"{now:.1f} {exc!r}")

signalled(1000.0)
signalled(1005.0, drain=(1000.1, 1008.1))
signalled(1008.9, drain=(1000.1, 1008.0))
signalled(1009.1)
"""
)
def test_a_sigterm_during_the_drain_that_another_led_to_is_the_same(result: Result) -> None:
    """The drain of a lifespan comes before the interpreter ends, and hypercorn signals again.

    One that began before the first signal is no answer to it.
    """
    assert result.status == 0, result
    assert result.lines()[:-1] == [
        "1000.0 SystemExit(143)",
        "1005.0 ignored",
        "1008.9 ignored",
        "1009.1 SystemExit(143)",
    ]


@script(
    PRELUDE
    + """
import asyncio
from counterpunch.integrations.asgi import lifespan

configure(signals=True)

class Slow(Job):
    def perform(self):
        draining.wait(10)
        say("the job ended")

async def interrupted():
    signal.raise_signal(signal.SIGTERM)  # while this very task runs
    await asyncio.sleep(600)

async def bystander():
    try:
        await asyncio.sleep(600)
    finally:
        for _ in range(5):
            await asyncio.sleep(0)
        say("the bystander cleaned up")

async def main():
    watch_for_the_drain()
    asyncio.create_task(bystander(), name="bystander")
    try:
        async with lifespan():
            Slow.perform_async()
            async with asyncio.TaskGroup() as group:
                group.create_task(interrupted())
    finally:
        say("the lifespan is over")

asyncio.run(main())
"""
)
def test_sigterm_ends_an_asyncio_program_in_order(result: Result) -> None:
    """Every task is cancelled and comes to its end, and the lifespan drains meanwhile."""
    assert result.status == 143, result
    assert sorted(result.lines()[:-1]) == [
        "the bystander cleaned up",
        "the job ended",
        "the lifespan is over",
    ]
    assert result.lines()[-1] == "user atexit"
    assert "Traceback" not in result.stderr


@script(
    PRELUDE
    + """
import asyncio
from counterpunch import _lifecycle

now = 1000.0
_lifecycle.monotonic = lambda: now
configure(signals=True)

async def main():
    global now
    signal.raise_signal(signal.SIGTERM)
    now += 1.5  # and the loop does not come round
    try:
        signal.raise_signal(signal.SIGTERM)
    except SystemExit as exc:
        say(f"{exc!r}")
        raise

asyncio.run(main())
"""
)
def test_a_second_sigterm_interrupts_a_loop_that_is_blocked(result: Result) -> None:
    assert result.status == 143, result
    assert result.lines() == ["SystemExit(143)", "user atexit"]


def test_a_second_ctrl_c_cuts_the_drain_short() -> None:
    """It means: now. The rest is reported as lost, and everything else ends in order."""
    text = """
configure(shutdown_timeout=60, on_lost=lambda calls: say("lost", len(calls)))

class Stuck(Job):
    workers = 1
    def perform(self):
        if draining.wait(10):
            print("draining", flush=True)
        pause(600)

Stuck.perform_bulk([()] * 3)
watch_for_the_drain()
print("ready", flush=True)
rest()
"""
    with Script(PRELUDE + text) as script:
        script.until("ready")
        script.signal(signal.SIGINT)
        script.until("draining")
        script.signal(signal.SIGINT)
        result = script.finish(10.0)
    assert result.status == -signal.SIGINT, result
    assert result.lines() == ["ready", "draining", "lost 3", "user atexit"], result
    assert "cut short by KeyboardInterrupt" in result.stderr


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
    assert 0.3 <= result.since("end") < 2.0
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


# What runs during the drain


@script(
    PRELUDE
    + """
class Child(Job):
    def perform(self, depth):
        say("depth", depth)
        if depth < 3:
            Child.perform_async(depth + 1)

class Parent(Job):
    def perform(self):
        assert draining.wait(10)
        Child.perform_async(1)

Child.perform_async(0).result(10)  # it has a worker, which 3.12.0-3.12.2 could not give it
counterpunch.wait_idle()
Parent.perform_async()
watch_for_the_drain()
say("end")
"""
)
def test_children_of_draining_jobs_run(result: Result) -> None:
    """A job that drains may enqueue; its child, and the child's child, run as well."""
    assert result.status == 0, result
    depths = [f"depth {depth}" for depth in (0, 1, 2, 3)]
    assert result.lines() == [*depths, "end", "depth 1", "depth 2", "depth 3", "user atexit"]


@threads_at_exit
@script(
    PRELUDE
    + """
class Child(Job):
    def perform(self):
        say("child ran")

class Parent(Job):
    def perform(self):
        assert draining.wait(10)
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(2) as executor:
            say(sum(executor.map(abs, [-1, -2, -3])))
        say(asyncio.run(asyncio.to_thread(abs, -7)))
        Child.perform_async().result(5)

parent = Parent.perform_async()
atexit.register(lambda: say(parent.status))
watch_for_the_drain()
"""
)
def test_threads_can_still_be_had_during_the_drain(result: Result) -> None:
    """A job uses an executor of its own and asyncio; a class gets its first worker."""
    assert result.status == 0, result
    assert result.lines() == ["6", "7", "child ran", "succeeded", "user atexit"], result


NO_WORKER = {
    "a child of another class": "Other.perform_async()",
    "a delayed one that is to run now": "Other.using(delayed_on_shutdown='run').perform_in(60)",
    "a delayed one that is to be dropped": "Other.perform_in(60)",
    "a delayed one that is to be waited for":
        "Other.using(delayed_on_shutdown='wait').perform_in(0.05)",
}  # fmt: skip


@pytest.mark.parametrize("what", NO_WORKER.values(), ids=NO_WORKER)
@script(
    PRELUDE
    + """
configure(on_lost=lambda calls: say("lost", *[call.job.__name__ for call in calls]))

class Other(Job):
    def perform(self):
        say("never")

class Parent(Job):
    def perform(self):
        assert draining.wait(10)
        <what>
        say("parent done")

Parent.perform_async()
watch_for_the_drain()
no_more_threads()
mark("end")
"""
)
def test_a_job_for_which_no_thread_can_be_started_is_lost_at_once(
    result: Result, what: str
) -> None:
    """As on 3.12.0-3.12.2 at exit: it is reported, and the drain does not wait for it."""
    assert result.status == 0, result
    assert result.lines() == ["parent done", "lost Other", "user atexit"], result
    assert result.since("end") < 2.0
    assert result.stderr.count("jobs lost: 1") == 1


@script(
    PRELUDE
    + """
configure(on_lost=lambda calls: say("lost", *[call.job.__name__ for call in calls]))

class Failing(Job):
    retry = Retry(wait=0.05)
    def perform(self):
        assert draining.wait(10)
        say("attempt", self.attempt)
        raise OSError("always")

Failing.perform_async()
watch_for_the_drain()
no_more_threads()
mark("end")
"""
)
def test_a_retry_without_a_scheduler_is_lost_at_once_when_no_thread_can_be_started(
    result: Result,
) -> None:
    """The first retry of the process comes during the drain, where nobody can wait for it."""
    assert result.status == 0, result
    assert result.lines() == ["attempt 1", "lost Failing", "user atexit"], result
    assert result.since("end") < 2.0


@pytest.mark.skipif(not NO_THREADS_AT_EXIT, reason="only 3.12.0-3.12.2 start no thread at exit")
@script(
    PRELUDE
    + """
configure(on_lost=lambda calls: say("lost", *[call.job.__name__ for call in calls]))

class Other(Job):
    def perform(self):
        say("never")

class Parent(Job):
    def perform(self):
        assert draining.wait(10)
        Other.perform_async()

Parent.perform_async()
watch_for_the_drain()
mark("end")
"""
)
def test_the_real_interpreter_without_threads_at_exit_loses_at_once(result: Result) -> None:
    """The same with nothing pretended."""
    assert result.lines() == ["lost Other", "user atexit"], result
    assert result.since("end") < 2.0


# What is lost, and who hears of it


@script(
    PRELUDE
    + """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
configure(shutdown_timeout=0.2)
started = threading.Event()

class Stuck(Job):
    workers = 1
    def perform(self, name):
        started.set()
        while True: pause(60)

calls = [Stuck.perform_async("running"), Stuck.perform_async("queued one"),
         Stuck.perform_async("queued two"), Stuck.perform_in(60, "delayed")]
Probe.perform_async().result(10)
Stuck.perform_async("cancelled").cancel()

def lost(handles):
    say("lost", sorted(handle.args[0] for handle in handles))
    say(set(handles) == set(calls), all(handle.status == "lost" for handle in handles))
    raise ValueError("broken on_lost")

configure(on_lost=lost)
atexit.register(lambda: say(counterpunch.stats().total.lost, counterpunch.shutdown().clean))
started.wait(10)
"""
)
def test_what_is_lost_is_logged_once_and_given_to_on_lost_once(result: Result) -> None:
    """Exactly the jobs that did not run or did not end, with their arguments in the log."""
    assert result.status == 0, result
    names = ["delayed", "queued one", "queued two", "running"]
    assert result.lines() == [f"lost {names}", "True True", "4 False", "user atexit"], result
    records = [line for line in result.stderr.splitlines() if "counterpunch" in line]
    assert sum("jobs lost: 4" in line for line in records) == 1, result.stderr
    for name in names:
        assert result.stderr.count(f"'{name}'") == 1, result.stderr
    assert "on_lost raised ValueError" in result.stderr


@script(QUEUED + "configure(on_lost=lambda calls: say('lost', calls))\n")
def test_nothing_is_logged_and_on_lost_is_not_called_when_nothing_was_lost(result: Result) -> None:
    """A drain that finished everything is silent."""
    assert result.lines() == [*EIGHT, "user atexit"], result
    assert result.stderr == ""


DELAYED = (
    PRELUDE
    + """
configure(shutdown_timeout=3.0)
configure(on_lost=lambda calls: say("lost", *[call.args[0] for call in calls]))

class Later(Job):
    workers = 1
    def perform(self, name):
        say("ran", name)

class Flaky(Job):
    retry = Retry(wait=<delay>, jitter=0)
    def perform(self, name):
        if self.attempt == 1:
            raise OSError("once")
        say("ran", name, self.attempt)

Later.perform_async("now").result(10)
Later.delayed_on_shutdown = Flaky.delayed_on_shutdown = "<policy>"
flaky = Flaky.perform_async("retry")
while flaky.status != "retrying": pause(0.005)
Later.perform_in(<delay>, 'later')
mark('end')
"""
)


@pytest.mark.parametrize(
    ("policy", "delay", "lines", "least", "most"),
    [
        pytest.param("drop", 60, ["lost later retry"], 0.0, 1.5, id="drop"),
        pytest.param("run", 60, ["ran later", "ran retry 2"], 0.0, 1.5, id="run"),
        pytest.param("wait", 0.4, ["ran later", "ran retry 2"], 0.3, 2.5, id="wait, in time"),
        pytest.param("wait", 60, ["lost later retry"], 0.0, 1.5, id="wait, too late"),
    ],
)
@script(DELAYED)
def test_delayed_jobs_end_as_their_class_says(
    result: Result, policy: str, delay: float, lines: list[str], least: float, most: float
) -> None:
    """Scheduled and retry-waiting jobs: dropped, run now, or waited for if they are in time."""
    assert result.status == 0, result
    first, *rest, last = result.lines()
    assert (first, last) == ("ran now", "user atexit"), result
    assert sorted(rest) == sorted(lines), result
    assert least <= result.since("end") < most


@script(
    PRELUDE
    + """
configure(on_lost=lambda calls: say("lost", *[call.args[0] for call in calls]))
started = threading.Event()

class Dropped(Job):
    workers = 1
    on_shutdown = "drop"
    def perform(self, number):
        started.set()
        assert draining.wait(10)
        say("job", number)

Dropped.perform_bulk([(1,), (2,), (3,)])
started.wait(10)
watch_for_the_drain()
"""
)
def test_on_shutdown_drop_gives_queued_jobs_up_and_ends_the_running_one(result: Result) -> None:
    """The running job ends in its own time, the queued ones are lost without being run."""
    assert result.status == 0, result
    assert result.lines() == ["job 1", "lost 2 3", "user atexit"], result


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
