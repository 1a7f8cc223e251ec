"""The end of a process by a signal: what it leads to, once and again, chained and in a loop."""

from __future__ import annotations

import signal

import pytest
from exit_scripts import EIGHT, PRELUDE, QUEUED, threads_at_exit
from process import Result, Script, script


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
from counterpunch.integrations import sigterm as _lifecycle

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
from counterpunch.integrations import sigterm as _lifecycle

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
from counterpunch.integrations import sigterm as _lifecycle

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


@threads_at_exit  # nor is there a fork
@script(
    PRELUDE
    + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
configure(signals=True)
readable, writable = os.pipe()

class Fork(Job):
    def perform(self):
        assert draining.wait(10)
        pid = os.fork()
        if not pid:
            try:
                os.write(writable, b".")
                while True:
                    pause(0.01)
                    # A look for signals: 3.13.0 forgets one in a child that a thread has forked.
                    signal.pthread_kill(threading.get_ident(), 0)
            except SystemExit as exc:
                os._exit(exc.code)
        os.read(readable, 1)
        os.kill(pid, signal.SIGTERM)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

Fork.perform_async()
watch_for_the_drain()
signal.raise_signal(signal.SIGTERM)
"""
)
def test_a_child_that_is_forked_during_the_drain_is_not_deaf(result: Result) -> None:
    """As ``multiprocessing.Pool`` ends its workers: the end that has begun is the parent's."""
    assert result.lines() == ["143", "user atexit"], result


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
