"""Where something of Unix or of CPython is missing: simulated, by hiding it before the import.

Windows has no ``fork``, no ``fcntl``, no Unix sockets and other flags of ``mmap``; macOS has no
memory that is wiped on a fork; other interpreters lack the private names that the exit looks up.
All of it works without, and what cannot be had is said where it is asked for.
"""

from __future__ import annotations

import pytest
from process import run

#: Said once, of a periodic class that is to run once per host.
NO_LOCK = "no lock of this host can be kept, so it runs in every process"

#: What is hidden: the lines that do so, and what the process then says of it on standard error.
HIDDEN = {
    "fork": ("for name in ('fork', 'forkpty', 'register_at_fork'): delattr(os, name)", ""),
    "fcntl": ("sys.modules['fcntl'] = None; fcntl_specs()", NO_LOCK),
    "mmap's flags": ("import mmap; del mmap.MAP_PRIVATE, mmap.MAP_ANONYMOUS", ""),
    "memory that is wiped on a fork": (
        "import mmap\ndef refuse(*args, **kwargs): raise OSError(22, 'Invalid argument')\n"
        "mmap.mmap = refuse",
        "",
    ),
    "Unix sockets": (
        "import socket; del socket.AF_UNIX; socket.socketpair = pair",
        "",
    ),
    "users": ("for name in ('geteuid', 'getuid', 'uname'): delattr(os, name)", ""),
    "flags of open()": ("for name in ('O_NOFOLLOW', 'O_DIRECTORY'): delattr(os, name)", ""),
    "SIGKILL and its like": (
        "import signal\nfor name in ('SIGKILL', 'SIGHUP', 'SIGUSR1', 'SIGQUIT', 'pthread_kill', "
        "'pthread_sigmask', 'sigwait', 'SIGALRM', 'setitimer'): delattr(signal, name)",
        "",
    ),
    "ctypes": ("sys.modules['ctypes'] = sys.modules['_ctypes'] = None", ""),
}
HIDDEN["all of them"] = (
    "\n".join(lines for what, (lines, _) in HIDDEN.items() if not what.startswith("mem")),
    NO_LOCK,
)

PRELUDE = """
import importlib.util, os, sys, threading

def fcntl_specs():
    "It is looked for before it is imported."
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "fcntl" else found(name, *rest)

def pair(*_):
    "What Windows has in the place of a pair of Unix sockets."
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]

"""

WORK = """
import asyncio
import counterpunch
from counterpunch import Batch, Job, Retry, configure, dashboard, job

class Adds(Job):
    def perform(self, one, two=1):
        return one + two

class Fails(Job):
    retry = Retry(2, wait=0.01, jitter=0)
    def perform(self):
        if self.attempt == 1:
            raise OSError("once")
        return self.attempt

class Awaits(Job):
    async def perform(self):
        return await asyncio.to_thread(Adds().perform, 1)

class Overruns(Job):
    timeout = 0.01
    def perform(self):
        while not self.cancelled:
            pause(0.005)

class Ticks(Job):
    every = 0.02
    def perform(self):
        ticked.set()

class Late(Job):
    workers = 1
    def perform(self, number):
        pause(0.01)
        print("late", number)

class Stuck(Job):
    def perform(self):
        begun.set()
        while True:
            pause(0.05)

pause, ticked, begun = threading.Event().wait, threading.Event(), threading.Event()
lost = []
configure(shutdown_timeout=0.3, on_lost=lambda handles: print("lost", len(handles)))
counterpunch.start()
assert ticked.wait(10)
print(Adds.perform_async(1).result(10), Adds.perform_in(0.01, 2).result(10))
print(Fails.perform_async().result(10), Awaits.perform_async().result(10))
Overruns.perform_async().result(10)
with Batch() as batch:
    Adds.perform_bulk([(1,), (2,)])
assert batch.wait(10)

said = []
page = dashboard.wsgi(can_view=dashboard.anyone)
for path in ("/", "/waiting", "/finished", "/threads", "/health", "/metrics", "/live", "/periodic"):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": None}
    b"".join(page(environ, lambda status, headers: said.append(status[:3])))
print(*sorted(set(said)))
counterpunch.dump()
assert counterpunch.wait_idle(10)
Stuck.perform_async()
assert begun.wait(10)
for number in range(3):
    Late.perform_async(number)
"""


@pytest.mark.parametrize("missing", HIDDEN)
def test_all_of_it_works_where_something_is_missing(missing: str) -> None:
    hide, says = HIDDEN[missing]
    result = run(PRELUDE + hide + "\n" + WORK)
    assert result.status == 0, result
    # Without the lock of the host a periodic job runs in each process: /health says so, too.
    answers = "200 503" if says else "200"
    lines = ["2 3", "2 2", answers, "late 0", "late 1", "late 2", "lost 1"]
    assert result.lines() == lines, result
    assert result.stderr.count("Traceback") == 1, result  # of the attempt that failed
    assert says in result.stderr


def test_pages_of_several_processes_are_refused_without_unix_sockets() -> None:
    text = "from counterpunch import dashboard, InvalidOption\ntry:\n"
    text += "    dashboard.wsgi(processes=True)\nexcept InvalidOption as exc:\n    print(exc)\n"
    result = run(PRELUDE + HIDDEN["Unix sockets"][0] + "\n" + text)
    assert result.status == 0, result
    assert "False: no Unix sockets here" in result.stdout


def test_the_handler_is_refused_where_none_can_be_set() -> None:
    """As in an interpreter that is embedded, and in any thread but the main one."""
    hide = "import signal\ndef refuse(*args): raise ValueError('no signals here')\n"
    text = "import counterpunch\ntry:\n    counterpunch.configure(signals=True)\n"
    text += "except counterpunch.InvalidOption as exc:\n    print(exc)\n"
    result = run(PRELUDE + hide + "signal.signal = refuse\n" + text)
    assert result.status == 0, result
    assert "signals=True is not valid" in result.stdout
