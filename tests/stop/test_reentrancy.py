"""Enqueues from places that interrupt other enqueues: signal handlers and ``__del__``.

Both run on a thread in the midst of anything, its own enqueue included, and a lock taken
there twice would stop the process for good. Each test is a script in a process of its own:
a deadlock is a script that does not end.
"""

from __future__ import annotations

import os

import pytest
from process import Result, run, script

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX timers")

PRELUDE = """
import concurrent.futures, concurrent.futures.thread, gc, signal, sys, threading, time
import counterpunch
from counterpunch import Job

class Counted(Job):
    workers = 2
    max_jobs = None
    def perform(self):
        ran.append(None)

ran, outer, nested = [], [], []
depth = 0

def interrupt(*args):
    "What a signal handler or a __del__ does here: it enqueues, in the midst of anything."
    global depth
    if depth > 20:
        return  # on a slow machine the next signal is there before this one is dealt with
    depth += 1
    nested.append(ENQUEUE())
    depth -= 1

ENQUEUE = Counted.perform_async

def signals(interval):
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, interval, interval)

def quiet_signals():
    signal.setitimer(signal.ITIMER_REAL, 0)

def until(seconds, least):
    "True until the time is up and enough interruptions came, in any case at most 8 s."
    now = time.monotonic()
    return now < start + seconds or (len(nested) < least and now < start + 8)

def settle():
    assert counterpunch.wait_idle(10, scheduled=True)
    counts = counterpunch.stats().total
    print(counts.accepted == counts.succeeded == len(ran) == len(outer) + len(nested))
    print(len({call.id for call in outer + nested}) == len(ran), len(nested) >= LEAST)

start = time.monotonic()
"""


@pytest.mark.parametrize(
    "enqueue",
    [
        pytest.param("Counted.perform_async", id="perform_async"),
        pytest.param("lambda: Counted.perform_in(0.001)", id="perform_in"),
        pytest.param("Counted.using(priority=1).perform_async", id="using"),
    ],
)
def test_enqueues_from_a_signal_handler_over_enqueues(enqueue: str) -> None:
    """The handler interrupts the same call, again and again: no deadlock, every job runs."""
    text = f"""
LEAST = 200
ENQUEUE = {enqueue}
signals(0.0003)
while until(0.4, LEAST):
    outer.append(ENQUEUE())
    if len(outer) % 50 == 0:
        outer[-1].result(10)  # an idle pool too: the hand-over to a sleeping worker
quiet_signals()
settle()
"""
    result = run(PRELUDE + text, within=15.0)
    assert result.status == 0, result
    assert result.lines() == ["True", "True True"], result
    assert result.stderr == ""


def test_enqueues_from_a_signal_handler_over_another_executors_submit() -> None:
    """submit holds a lock of all executors while it starts threads; an enqueue needs it not."""
    text = """
LEAST = 200
while counterpunch.stats().total.workers.total < 2:
    outer.append(Counted.perform_async())  # the next test starts one in the midst of submit
signals(0.0003)
while until(0.4, LEAST):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        for _ in range(20):
            executor.submit(int)
quiet_signals()
settle()
"""
    result = run(PRELUDE + text, within=15.0)
    assert result.status == 0, result
    assert result.lines() == ["True", "True True"], result


@script(
    PRELUDE
    + """
LEAST = 1
lock = concurrent.futures.thread._global_shutdown_lock
with lock:
    began = time.monotonic()
    interrupt()
    waited = time.monotonic() - began
    assert ran == []
assert waited < 1.5, waited
settle()
""",
    within=15.0,
)
def test_a_first_enqueue_inside_another_executors_submit_is_held_up_for_a_second_at_most(
    result: Result,
) -> None:
    """To start a worker takes the lock that the interrupted submit holds: the job runs later."""
    assert result.status == 0, result
    assert result.lines() == ["True", "True True"], result


def test_enqueues_from_a_signal_handler_during_waits_and_readings() -> None:
    """Results, statistics, searches and callbacks can be interrupted by an enqueue as well."""
    text = """
LEAST = 200
signals(0.0003)
while until(0.3, LEAST):
    call = Counted.perform_async()
    outer.append(call)
    call.add_done_callback(lambda call: None)
    call.result(10)
    counterpunch.stats()
    counterpunch.find(call.id)
    counterpunch.wait_idle(0.01)
quiet_signals()
settle()
"""
    result = run(PRELUDE + text, within=15.0)
    assert result.status == 0, result
    assert result.lines() == ["True", "True True"], result


@script(
    PRELUDE
    + """
LEAST = 200

class Rubbish:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        interrupt()

def other_thread():
    while until(0.3, LEAST):
        Rubbish()
        others.append(Counted.perform_async())

others = []
gc.set_threshold(5, 2, 2)
thread = threading.Thread(target=other_thread)
thread.start()
while until(0.3, LEAST):
    Rubbish()
    outer.append(Counted.perform_async())
    if len(outer) % 50 == 0:
        outer[-1].result(10)
thread.join()
gc.collect()
gc.set_threshold(0)
outer += others
settle()
""",
    within=15.0,
)
def test_enqueues_from_del_that_the_collector_runs(result: Result) -> None:
    """Rubbish that enqueues as it goes, collected in the midst of enqueues on two threads."""
    assert result.status == 0, result
    assert result.lines() == ["True", "True True"], result
    assert result.stderr == ""


def test_an_exception_from_a_signal_handler_does_not_lose_what_was_accepted() -> None:
    """A handler may raise out of an enqueue or a wait, as Ctrl-C does: neither the jobs whose
    handles were returned suffer, nor the next wait, nor the exit."""
    text = """
LEAST = 0
RAISES = 300

class Interrupted(Exception): ...

def interrupting(*args):
    global inside
    if inside:
        inside = False
        raise Interrupted

def enqueue_for_ever():  # a function, since 3.13.0 leaves the jump of a loop out of its try
    while True:
        outer.append(Counted.perform_async())
        if len(outer) % 20 == 0:
            outer[-1].result(10)

inside = False
while counterpunch.stats().total.workers.total < 2:
    outer.append(Counted.perform_async())  # Thread.start itself does not bear exceptions
signal.signal(signal.SIGALRM, interrupting)
raised = 0
while raised < RAISES and time.monotonic() < start + 8:
    try:
        inside = True
        # The interval is for the few that the interpreter swallows, in a __del__ for example.
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.02)
        enqueue_for_ever()
    except Interrupted:
        raised += 1
quiet_signals()
for call in outer:
    call.result(10)
print(raised == RAISES, {str(call.status) for call in outer})
"""
    result = run(PRELUDE + text, within=15.0)
    assert result.status == 0, result
    assert result.lines() == ["True {'succeeded'}"], result
    assert result.seconds < 7.0  # and the exit found the pool at rest


def test_an_exception_while_a_thread_is_started_does_not_cost_the_thread() -> None:
    """A handler raises just as a worker or the scheduler is to start: the next enqueue does it."""
    text = """
LEAST = 0

class Single(Counted):
    workers = 4  # some to spare: nothing else has started the scheduler before

def interrupted(self):
    raise KeyboardInterrupt

def enqueue_interrupted(enqueue):
    threading.Thread.start, real = interrupted, threading.Thread.start
    try:
        enqueue()
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        threading.Thread.start = real

enqueue_interrupted(Single.perform_async)
Single.perform_async().result(5)
enqueue_interrupted(lambda: Single.perform_in(0.01))
Single.perform_in(0.01).result(5)
print(counterpunch.wait_idle(5, scheduled=True), len(ran))
"""
    result = run(PRELUDE + text, within=15.0)
    assert result.status == 0, result
    assert result.lines() == ["interrupted", "interrupted", "True 4"], result
    assert result.seconds < 4.0
