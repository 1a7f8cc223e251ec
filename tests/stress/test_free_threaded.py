"""Whether the interpreter has its lock or not, or gets it back on the way: the same behaviour.

Each in a process of its own. What only a free-threaded build can do is skipped on an ordinary one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import counterpunch

FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
only_free = pytest.mark.skipif(not FREE, reason="the lock of this build is always on")

#: Four producers, jobs that fail, wait, retry and are looked at meanwhile; and the counters agree.
WORK = """
import logging, sys, threading
import counterpunch
from counterpunch import Job, Retry

logging.getLogger("counterpunch").setLevel(logging.CRITICAL)

class Some(Job):
    workers, max_jobs = 3, None

    def perform(self, n):
        if n % 10 == 0:
            raise OSError(n)
        return n

class Again(Some):
    retry = Retry(max_attempts=2, wait=0.001, on=(OSError,))

def produce(jobs):
    handles = [job.perform_async(n) for n in range(jobs) for job in (Some, Again)]
    handles += [Some.perform_in(0.001, n) for n in range(1, 10)]
    for handle in handles:
        handle.exception(30)

def look(stop):
    while not stop.wait(0.002):
        assert counterpunch.stats().total.accepted >= 0
        counterpunch.jobs(Some, status="queued")
        counterpunch.health()

def work(jobs=50):
    stop = threading.Event()
    looking = threading.Thread(target=look, args=(stop,))
    looking.start()
    threads = [threading.Thread(target=produce, args=(jobs,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stop.set()
    looking.join(60)
    assert counterpunch.wait_idle(30, scheduled=True)

def told():
    total = counterpunch.stats().total
    print(total.accepted, total.succeeded, total.failed, total.retries)

def lock():
    return getattr(sys, "_is_gil_enabled", lambda: True)()
"""
#: Of one round of ``work()``.
TOLD = f"{4 * 109} {4 * 99} {4 * 10} {4 * 5}"

#: Of an extension module that does not say that it can do without the lock.
OLD = """
#include <Python.h>
static struct PyModuleDef old = {PyModuleDef_HEAD_INIT, "old", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_old(void) { return PyModule_Create(&old); }
"""


def run(text: str, *options: str, folder: Path | None = None, **variables: str) -> list[str]:
    """The lines that a script prints, with nothing on standard error."""
    environ = {**os.environ, **variables}
    package = str(Path(counterpunch.__file__).parents[1])
    environ["PYTHONPATH"] = package if folder is None else f"{package}{os.pathsep}{folder}"
    command = [sys.executable, *options, "-c", WORK + text]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("gil", [pytest.param(gil, marks=only_free) for gil in "01"])
def test_with_the_lock_and_without(gil: str) -> None:
    """On the same build, as ``PYTHON_GIL`` says."""
    assert run("work(); told(); print(lock())", PYTHON_GIL=gil) == [TOLD, str(gil == "1")]


@only_free
def test_an_extension_brings_the_lock_back_on_the_way(tmp_path: Path) -> None:
    """While four threads enqueue, and jobs run: nothing is lost, neither before nor afterwards."""
    compiler, include = shutil.which("cc"), sysconfig.get_config_var("INCLUDEPY")
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("no compiler, or no headers")
    (tmp_path / "old.c").write_text(OLD)
    library = tmp_path / f"old{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = [compiler, "-shared", "-fPIC", f"-I{include}", "old.c", "-o", str(library)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=100)
    text = """
print(lock())
meanwhile = threading.Timer(0.01, lambda: __import__("old"))
meanwhile.start()
work()
meanwhile.join(60)
print(lock())
told()
work()
told()
"""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHON_GIL"}
    assert "PYTHON_GIL" not in environ
    twice = " ".join(str(2 * int(number)) for number in TOLD.split())
    found = run(text, "-W", "ignore", folder=tmp_path, PYTHON_GIL="")
    assert found == ["False", "True", TOLD, twice]


@pytest.mark.parametrize("name", ["_threads_queues", "_register_atexit"])
def test_an_interpreter_that_has_other_private_names(name: str) -> None:
    """Another build, or a later version: the jobs run, and those that wait run at the end."""
    text = f"""
import concurrent.futures.thread
for module in (threading, concurrent.futures.thread):
    if hasattr(module, "{name}"):
        delattr(module, "{name}")
work()
told()
Some.perform_async(1).add_done_callback(lambda handle: print(handle.result(0)))
"""
    # ``concurrent.futures.thread`` itself has been imported by then, and misses neither.
    assert run(text) == [TOLD, "1"]


def test_a_worker_keeps_no_variables_of_whoever_started_it() -> None:
    """Where threads inherit the context of their starter, as 3.14 lets them without the lock."""
    text = """
import contextvars, gc, weakref

if not getattr(sys.flags, "thread_inherit_context", False):
    real = threading.Thread.run

    def start(self, begin=threading.Thread.start):
        context = contextvars.copy_context()
        self.run = lambda: context.run(real, self)
        begin(self)

    threading.Thread.start = start

class Request:
    pass

request, found = contextvars.ContextVar("request"), []

class Looks(Job):
    def perform(self):
        found.append(request.get(None) is not None)

class Later(Looks):
    pass

def caller():
    mine = Request()
    request.set(mine)
    Looks.perform_async().result(30)
    Later.perform_in(0.001).result(30)
    return weakref.ref(mine)

inherits = []
def probe():
    inherits.append(request.get(None) is not None)

def called():
    ref = caller()
    thread = threading.Thread(target=probe)
    thread.start()
    thread.join(30)
    return ref

ref = contextvars.Context().run(called)
counterpunch.wait_idle(30)
for _ in range(6):
    gc.collect()
print(inherits, found, ref())
"""
    assert run(text, *_inheriting()) == ["[True] [True, True] None"]


def _inheriting() -> list[str]:
    return ["-X", "thread_inherit_context=1"] if sys.version_info >= (3, 14) else []
