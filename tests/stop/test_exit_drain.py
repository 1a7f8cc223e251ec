"""The drain at the end of a process: what still runs, what is lost, and who hears of it."""

from __future__ import annotations

import pytest
from exit_scripts import EIGHT, NO_THREADS_AT_EXIT, PRELUDE, QUEUED, threads_at_exit
from process import Result, run, script

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


POOLED = (
    PRELUDE
    + """
import multiprocessing, operator

class Pooled(Job):
    workers = 1
    def perform(self, number):
        if number:
            assert draining.wait(10)
            from concurrent.futures import ProcessPoolExecutor
            with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
                say(executor.submit(operator.neg, number).result(10))

class Awaiting(Job):
    async def perform(self, number):
        import asyncio
        if number:
            await asyncio.to_thread(Pooled().perform, number)

class Importing(Job):
    workers = 1
    def perform(self):
        import concurrent.futures.process
"""
)
KNOWN = "Pooled.perform_async(0).result(10); "  # its class and its worker have been there before
IMPORTED = {
    "by the application": "import concurrent.futures.process",
    "by a job": KNOWN + "Importing.perform_async().result(10)",
    "while workers sleep": KNOWN + "Importing.perform_now(); Pooled.perform_async(0)",
}


@threads_at_exit
@pytest.mark.parametrize("job", ["Pooled", "Awaiting"])
@pytest.mark.parametrize("imported", IMPORTED.values(), ids=IMPORTED)
@script(
    POOLED
    + """
<imported>
counterpunch.wait_idle(10)
for number in (1, 2):
    <job>.perform_async(number)
watch_for_the_drain()
"""
)
def test_jobs_of_the_drain_may_use_a_process_pool(result: Result, imported: str, job: str) -> None:
    """``concurrent.futures.process`` is imported after this package, and its hook comes later."""
    assert result.status == 0, result
    assert sorted(result.lines()) == ["-1", "-2", "user atexit"], result


WAYS = {
    "a multiprocessing.Pool": "with forks.Pool(1) as pool: found = pool.map(operator.neg, [1])[0]",
    "a multiprocessing.Process":
        "one = forks.Process(target=neg); one.start(); one.join(9); found = one.exitcode - 1",
    "an executor of threads":
        "with ThreadPoolExecutor(1) as pool: found = pool.submit(operator.neg, 1).result(9)",
    "a subprocess": "found = subprocess.run([sys.executable, '-c', '1/0'], **quiet).returncode - 2",
    "asyncio.run": "found = asyncio.run(asyncio.to_thread(operator.neg, 1))",
}  # fmt: skip


@threads_at_exit
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@script(
    PRELUDE
    + """
import asyncio, multiprocessing, operator, subprocess
from concurrent.futures import ThreadPoolExecutor

forks, quiet = multiprocessing.get_context("fork"), {"stderr": subprocess.DEVNULL, "timeout": 9}

def neg(): ...

class Uses(Job):
    def perform(self):
        assert draining.wait(10)
        <way>
        say(found)

Uses.perform_async()
watch_for_the_drain()
"""
)
def test_jobs_of_the_drain_may_have_others_work_for_them(result: Result, way: str) -> None:
    """Threads, forks and programs: the interpreter has begun to end, and refuses none of them."""
    assert result.status == 0, result
    assert result.lines() == ["-1", "user atexit"], result


@threads_at_exit
@script(
    PRELUDE
    + """
import asyncio, operator

class Awaits(Job):
    async def perform(self):
        while not draining.is_set():
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        say(await asyncio.to_thread(operator.neg, 1), await loop.run_in_executor(None, abs, -2))
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        say(await program.wait())

Awaits.perform_async()
watch_for_the_drain()
"""
)
def test_a_coroutine_of_the_drain_may_have_others_work_for_it(result: Result) -> None:
    """In the executor of its loop, whose threads it may be the first to need."""
    assert result.status == 0, result
    assert result.lines() == ["-1 2", "0", "user atexit"], result


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


FULL = """
import logging
from counterpunch.core.process import last_words
last_words.LOG_SECONDS, last_words.MOMENT = 0.5, 0.1
configure(shutdown_timeout=0.05)
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True: os.write(writer, bytes(4096))
except BlockingIOError:
    os.set_blocking(writer, True)
os.dup2(writer, 2)

class Blocking(logging.Handler):
    def emit(self, record): pause()

class Shy:
    def __repr__(self): pause()

class Stuck(Job):
    workers = 1
    def perform(self, *args):
        pause()

class Done(Job):
    def perform(self, event): event.wait(9)

def call_back_with_a_failure():
    logging.getLogger().addHandler(Blocking())
    job, called = Done.perform_async(event := threading.Event()), threading.Event()
    job.add_done_callback(lambda _: called.set() or 1 / 0)
    event.set()
    called.wait(9)

mark("end")
"""


@threads_at_exit
@pytest.mark.parametrize(
    "what",
    [
        "Stuck.perform_async()",
        "logging.getLogger().addHandler(Blocking()); Stuck.perform_async(Shy())",
        "call_back_with_a_failure()",
    ],
)
def test_nobody_waits_for_a_log_that_takes_nothing(what: str) -> None:
    """The process leaves with its own status, and what it runs at its end is run."""
    result = run(PRELUDE + FULL + what + "\nsys.exit(3)\n")
    assert result.status == 3, result
    assert result.lines() == ["user atexit"], result
    assert result.since("end") < 5.0, result
