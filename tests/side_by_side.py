"""The files of a run side by side: in as many processes as there are cores, four at most.

They are forked once all is collected and before the first test. Each draws a file, runs its tests
and sends the reports to the first process, which counts, prints and decides (``-x``) as if it had
run them itself. One process that runs all is what ``TESTS_AT_A_TIME=1`` gives, and a run of one
file, ``--pdb``, or a system without fork.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from contextlib import suppress
from itertools import groupby, pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import pytest
from _pytest import runner

#: Seconds that the processes have to tidy up after a run that ends early.
PATIENCE = 10.0

#: Where a forked process sends its reports; None in the first one.
to_first: Connection | None = None


def at_a_time() -> int:
    """How many processes, on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("TESTS_AT_A_TIME") or min(cores or 1, 4))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """None: pytest's own, one test after another."""
    option = session.config.option
    files = [list(items) for _, items in groupby(session.items, lambda item: item.path)]
    count = min(at_a_time(), len(files))
    alone = option.collectonly or option.usepdb or session.testsfailed
    if count < 2 or alone or not hasattr(os, "fork") or threading.active_count() > 1:
        return None
    session.config.get_terminal_writer().flush()  # or each process had it to write
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one of all
    numbers, more = os.pipe()
    os.write(more, b"".join(number.to_bytes(4, "big") for number in range(len(files))))
    os.close(more)  # so that whoever finds it empty has no more to draw
    others = Others(session)
    try:
        for _ in range(count):
            others.fork(files, numbers)
        others.read()
    finally:
        os.close(numbers)
        others.end()
    return True


class Others:
    """The forked processes, as the first one sees them."""

    def __init__(self, session: pytest.Session) -> None:
        self.session, self.hook = session, session.config.hook
        self.pids: list[int] = []
        #: Those that still have something to say, and what they run.
        self.running: dict[Connection, tuple[int, tuple[str, Any]]] = {}

    def fork(self, files: list[list[pytest.Item]], numbers: int) -> None:
        reports, sending = Pipe(duplex=False)
        if not (pid := os.fork()):
            for one in (reports, *self.running):
                one.close()
            work(self.session, sending, files, numbers)
        sending.close()
        self.pids.append(pid)
        self.running[reports] = pid, ("nothing yet", ("", None, "the first test"))

    def read(self) -> None:
        while self.running:
            for reports in wait(list(self.running)):
                assert isinstance(reports, Connection)
                try:
                    self.told(reports, *reports.recv())
                except EOFError:
                    self.told(reports, "broken", "it ended")
                if self.session.shouldfail:
                    raise self.session.Failed(self.session.shouldfail)
                if self.session.shouldstop:
                    raise self.session.Interrupted(self.session.shouldstop)

    def told(self, reports: Connection, word: str, what: Any) -> None:
        pid, (nodeid, location) = self.running[reports]
        if word == "runs":
            self.running[reports] = pid, what
        elif word == "ran":
            self.log(
                [
                    self.hook.pytest_report_from_serializable(config=self.session.config, data=data)
                    for data in what
                ]
            )
        elif word == "warned":
            text, kind, *rest, when = what
            message = warnings.WarningMessage(text, type(kind, (Warning,), {}), *rest)
            self.hook.pytest_warning_recorded.call_historic(
                kwargs={
                    "warning_message": message,
                    "nodeid": nodeid,
                    "when": when,
                    "location": None,
                }
            )
        else:
            del self.running[reports]
            if word == "broken":
                text = (
                    f"The process that ran this test is gone, and with it what it had drawn "
                    f"of this file: {what}"
                )
                self.log([pytest.TestReport(nodeid, location, {}, "failed", text, "call")])

    def log(self, reports: list[pytest.TestReport]) -> None:
        nodeid, location = reports[0].nodeid, reports[0].location
        self.hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        for report in reports:
            self.hook.pytest_runtest_logreport(report=report)
        self.hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    def end(self) -> None:
        """None is left; those that have not come to their end tidy up, as after Ctrl-C."""
        for reports, (pid, _) in self.running.items():
            reports.close()
            os.kill(pid, signal.SIGINT)
        until = time.monotonic() + PATIENCE
        for pid in self.pids:
            while not os.waitpid(pid, os.WNOHANG)[0]:
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.005)


# In a forked process


def work(
    session: pytest.Session, sending: Connection, files: list[list[pytest.Item]], numbers: int
) -> NoReturn:
    global to_first
    to_first = sending
    capture = session.config.pluginmanager.get_plugin("capturemanager")
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the run
        capture.stop_global_capturing()  # its file is the first one's
        capture.start_global_capturing()
        capture.suspend_global_capture()
        while number := os.read(numbers, 4):
            file = files[int.from_bytes(number, "big")]
            # What comes after a file is not known yet: only that the session goes on.
            for item, following in pairwise([*file, session]):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        runner.pytest_sessionfinish(session)
        sending.send(("done", None))
    except BaseException:
        with suppress(OSError):
            sending.send(("broken", traceback.format_exc()))
        with suppress(BaseException):
            runner.pytest_sessionfinish(session)
    finally:
        os._exit(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if to_first is None:
        return None
    to_first.send(("runs", (item.nodeid, item.location)))
    serialize = item.config.hook.pytest_report_to_serializable
    reports = runner.runtestprotocol(item, log=False, nextitem=nextitem)
    to_first.send(("ran", [serialize(config=item.config, report=report) for report in reports]))
    return True


def pytest_warning_recorded(warning_message: warnings.WarningMessage, when: str) -> None:
    if to_first is not None:
        kind, line = warning_message.category.__name__, warning_message.lineno
        told = str(warning_message.message), kind, warning_message.filename, line, when
        to_first.send(("warned", told))
