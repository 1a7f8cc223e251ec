"""A preloading master: enqueues, forks, and goes on while its children enqueue as well.

Prints what each process found to be wrong, and nothing else.
"""

from __future__ import annotations

import os
import threading
import traceback
import warnings

from engine_jobs import Echo
from engine_site import backend

import counterpunch

warnings.simplefilter("ignore", DeprecationWarning)  # to fork with threads is the point
counterpunch.configure(backend=backend)
CHILDREN, ROUNDS = 2, 3


def rounds(who: str) -> None:
    """Each result is the one that was asked for, and no other process's."""
    for number in range(ROUNDS):
        result = Echo.perform_async(who, number).result(30)
        assert result == [[who, number], {}], (who, number, result)


def child(who: str) -> None:
    status = 1
    try:
        rounds(who)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    rounds("master")
    thread = threading.Thread(target=rounds, args=("thread",))
    thread.start()
    pids = []
    for n in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            child(f"child-{n}")
        pids.append(pid)
    rounds("master")
    thread.join()
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert statuses == [0] * CHILDREN, statuses
