"""The lock of each class that runs in one process per host, and what that is called everywhere."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from ..core.values.hooks import report
from ..core.values.plan import plan_of
from .host_lock import HostLock

__all__ = ["HostLocks", "lock_name"]


class HostLocks:
    """Those of one runtime, by name: of two classes of one name, from an app factory that ran
    twice, each is this process's own."""

    def __init__(self, threads: bool) -> None:
        self._threads = threads
        self.table: dict[str, HostLock] = {}
        self._said: set[str] = set()

    def of(self, job: type[Any]) -> HostLock | None:
        """None for a class that runs in each process, as every one does in a test mode."""
        if not self._threads:
            return None
        name = lock_name(job)
        lock = self.table.get(name)
        if plan_of(job).options.once_per == "process":
            if lock is not None:  # the option was changed
                self.table.pop(name, None)
                lock.release()
            return None
        return self.table.setdefault(name, HostLock(name)) if lock is None else lock

    def say_who(self, job: type[Any], lock: HostLock) -> None:
        """Once, if the process that has it may be another application's."""
        record = lock.read()
        if record is None or lock.name in self._said:
            return
        try:
            here = os.getcwd()
        except OSError:  # it has been removed
            return
        if record.directory and record.directory != here:
            self._said.add(lock.name)
            message = (
                "%s runs in process %d, in %s, and not in this one, in %s: if that is another "
                "application, tell them apart by configure(application=...)"
            )
            report(logging.WARNING, message, job.__qualname__, record.pid, record.directory, here)


def lock_name(job: type[Any]) -> str:
    """What a class is called in every process of its application: its module and its name. A
    script that was started by its path stands for a module of that name."""
    name = plan_of(job).name
    module, dot, rest = name.partition(".")
    if module != "__main__":
        return name
    main = sys.modules.get(module)
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m
        module = str(spec.name)
    elif file:
        module = os.path.splitext(os.path.basename(str(file)))[0]
    return module + dot + rest
