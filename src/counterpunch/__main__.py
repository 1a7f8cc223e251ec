"""``python -m counterpunch``: a tour of about four seconds, in the terminal.

Five parts, each with real jobs: immediate, delayed, retried, cancelled, drained. Below the notes
stands a line per pool; a terminal shows it change in place, a file or a pipe gets a new line
whenever it changed. Only the public API is used, so this is also an example to read.

Meanwhile the dashboard is served on loopback, at the address printed first. With ``--stay``
jobs go on after the tour, and the page with them, until Ctrl-C.

``python -m counterpunch top`` is another thing: the processes of this user, see ``dashboard.top``.
"""

import argparse
import itertools
import logging
import math
import os
import shutil
import socketserver
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import shift_path_info

from counterpunch import Job, Retry, Status, dashboard, shutdown, stats, wait_idle
from counterpunch.dashboard import top

REFRESH = 0.05  # seconds between two looks at the pools
FAST = 0.2  # what --fast multiplies every wait by

pace = 1.0  # factor on every wait below; set by main()
notes: deque[str] = deque()  # written by jobs and the log, printed by the main thread


def work(seconds: float) -> None:
    """Stand in for a slow network or disk."""
    time.sleep(seconds * pace)


class ResizeImage(Job):
    workers = 4

    def perform(self, name: str) -> str:
        work(0.2)
        return f"small-{name}"


class SendReminder(Job):
    workers = 1

    def perform(self, user_id: int) -> None:
        notes.append(f"user {user_id} reminded")


class CallWebhook(Job):
    workers = 1

    def perform(self, url: str) -> int:
        work(0.1)
        if self.attempt < 3:
            raise ConnectionError("no answer")
        notes.append(f"attempt {self.attempt} got through to {url}")
        return 200

    def on_error(self, exc: BaseException) -> None:
        notes.append(f"attempt {self.attempt} failed: {exc}")


class BuildReport(Job):
    workers = 1

    def perform(self, name: str) -> None:
        for page in self.track(range(100)):
            self.check_cancelled()
            work(0.02)
            if page == 0:
                notes.append(f"{name} begun")


class SendReceipt(Job):
    workers = 2

    def perform(self, order_id: int) -> None:
        work(0.2)


class Board:
    """Prints notes, and below them a line per pool.

    Args:
        out: where to print. In a terminal the lines are rewritten in place.
        jobs: the classes to show, in this order, once they have had a job.
    """

    def __init__(self, out: TextIO, jobs: Sequence[type[Job]]) -> None:
        self.out = out
        self.jobs = jobs
        self.live = out.isatty() and os.environ.get("TERM") != "dumb"
        self.shown: list[str] = []

    def refresh(self) -> None:
        """Print what was noted since the last time, and the pools as they are now."""
        said = [f"   {notes.popleft()}" for _ in range(len(notes))]
        lines = [self.line(job) for job in self.jobs if job.stats().accepted]
        if self.live:
            # A line that wrapped would count twice when the cursor goes up again.
            width = shutil.get_terminal_size().columns - 1
            up = f"\x1b[{len(self.shown)}A" if self.shown else ""
            self.out.write(up + "".join(f"\x1b[K{text[:width]}\n" for text in said + lines))
        else:
            changed = [line for line in lines if line not in self.shown]
            self.out.write("".join(f"{text}\n" for text in said + changed))
        self.out.flush()
        self.shown = lines

    def line(self, job: type[Job]) -> str:
        count = job.stats()
        states = [f"{n} {status}" for status in Status if (n := getattr(count, status))]
        workers = f"{count.workers.busy}/{count.workers.total} busy"
        return f"   | {job.__name__:<12} {workers}  {', '.join(states)}"

    def part(self, title: str) -> None:
        """Begin a part of the tour."""
        self.refresh()
        if self.live:
            self.shown = []  # the lines above stay as they were, new ones follow the title
        self.out.write(f"\n{title}\n")

    def until(self, done: Callable[[float], bool]) -> None:
        """Refresh until ``done(seconds)``, which may wait that long, is true."""
        while not done(REFRESH):
            self.refresh()
        self.refresh()


def idle(seconds: float) -> bool:
    """Wait for everything, delayed jobs and retries included."""
    return wait_idle(seconds, scheduled=True)


def tour(board: Board) -> None:
    board.part("1. Immediate: the caller goes on, four workers take the jobs in turn")
    before = time.perf_counter()
    ResizeImage.perform_bulk([(f"photo-{number}.jpg",) for number in range(12)])
    notes.append(f"12 jobs enqueued in {(time.perf_counter() - before) * 1000:.1f} ms")
    board.until(idle)

    board.part("2. Delayed: perform_in holds no worker while it waits")
    SendReminder.perform_in(0.6 * pace, 42)
    notes.append(f"user 42 is to be reminded in {0.6 * pace:.1f} s")
    board.until(idle)

    board.part("3. Retried: up to three attempts, the second wait twice the first")
    retry = Retry(max_attempts=3, on=(ConnectionError,), wait=0.2 * pace, jitter=0)
    webhook = CallWebhook.using(retry=retry).perform_async("https://example.com/hook")
    board.until(idle)
    notes.append(f"the handle's result: {webhook.result()}")

    board.part("4. Cancelled: a waiting job never starts, a running one is asked to stop")
    running = BuildReport.perform_async("report A")
    waiting = BuildReport.perform_async("report B")
    deadline = time.monotonic() + 0.4 * pace
    board.until(lambda seconds: wait_idle(seconds) or time.monotonic() > deadline)
    notes.append(f"report B waits, cancel() gives {waiting.cancel()}: it will never start")
    notes.append(f"report A runs, cancel() gives {running.cancel()}: it is asked to stop")
    board.until(idle)

    board.part("5. Drained: the process stops, queued jobs still run, the rest is reported")
    SendReceipt.perform_bulk([(order,) for order in range(8)])
    SendReminder.perform_in(3600, 43)
    # shutdown() waits, and the main thread is to go on drawing.
    with futures.ThreadPoolExecutor(max_workers=1) as executor:
        stopping = executor.submit(shutdown, 5.0)
        board.until(lambda seconds: bool(futures.wait([stopping], seconds).done))
    report = stopping.result()
    notes.append(f"stopped in {report.seconds:.1f} s")
    for handle in report.lost:
        notes.append(f"not run: {handle.job.__name__}({', '.join(map(repr, handle.args))})")
    board.part("Stats")
    total = stats().total
    counts = [(getattr(total, status), status) for status in Status]
    notes.extend(f"{count:>3} {status}" for count, status in counts if count)
    notes.append(f"{total.accepted:>3} accepted, {total.attempts} attempts")
    board.refresh()


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread per request; none of them holds up the end of the process."""

    daemon_threads = True


class Handler(WSGIRequestHandler):
    timeout = 5  # seconds for a browser that opens a connection and says nothing

    def log_message(self, format: str, *args: object) -> None:
        pass


# Without can_view only a browser on this machine may look; whoever may do so may act.
page = dashboard.wsgi(authorize=dashboard.anyone, refresh=1)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The dashboard at /dashboard/, and everything else leads there."""
    if shift_path_info(environ) == "dashboard":
        return page(environ, start_response)
    headers = [("Location", "/dashboard/"), ("Content-Type", "text/plain")]
    start_response("302 Found", headers)
    return [b""]


def stay(board: Board) -> None:
    """Jobs now and then, so that there is something to look at, until Ctrl-C."""
    board.part("Jobs go on for the dashboard; Ctrl-C ends them")
    for second in itertools.count():
        # A tide of a minute and a half: at its height more than four workers can do.
        tide = round(14 - 12 * math.cos(second * 2 * math.pi / 90))
        ResizeImage.perform_bulk([(f"photo-{second}-{part}.jpg",) for part in range(tide)])
        SendReminder.perform_in(5.0, second)
        if second % 3 == 0:  # the third attempt gets through; some are not given it
            attempts = 2 if second % 21 == 0 else 3
            retry = Retry(max_attempts=attempts, wait=1.0, jitter=0)
            CallWebhook.using(retry=retry).perform_async("https://example.com/hook")
        if second % 10 == 0 and not BuildReport.stats().running:
            BuildReport.perform_async(f"report {second}")
        later = time.monotonic() + 1.0
        while time.monotonic() < later:
            board.refresh()
            time.sleep(REFRESH)


class NoteLog(logging.Handler):
    """Notes the first line of each record: printed at once, it would cut through the board."""

    def emit(self, record: logging.LogRecord) -> None:
        notes.append(f"log: {record.getMessage().partition(chr(10))[0]}")


def main() -> int:
    global pace
    if sys.argv[1:2] == ["top"]:
        return top.main(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m counterpunch", description="A short tour of background jobs in threads."
    )
    parser.add_argument("--fast", action="store_true", help=f"multiply every wait by {FAST}")
    parser.add_argument("--port", type=int, default=0, help="of the dashboard; 0 picks one")
    parser.add_argument("--stay", action="store_true", help="go on after the tour, until Ctrl-C")
    parser.epilog = "python -m counterpunch top: the live processes of this user"
    args = parser.parse_args()
    if args.fast:
        pace = FAST
    logging.basicConfig(level=logging.ERROR, handlers=[NoteLog()])  # the tour tells the rest
    board = Board(sys.stdout, (ResizeImage, SendReminder, CallWebhook, BuildReport, SendReceipt))
    with make_server("127.0.0.1", args.port, app, Server, Handler) as server:
        threading.Thread(target=server.serve_forever, name="dashboard", daemon=True).start()
        print(f"dashboard: http://127.0.0.1:{server.server_port}/dashboard/", flush=True)
        try:
            tour(board)
            if args.stay:
                stay(board)
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
