"""Measure 7: a web process under load: requests per second and latency, per way to run jobs."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Measure, Target, percentile

__all__ = ["MEASURES"]

#: More than the 40 threads that Starlette runs background tasks in. With eight, as many
#: requests as threads at any time, the tails of all contenders are near each other.
CONNECTIONS = 64
WORKS = ("sleep", "cpu", "many")


def _flask(contender: str, quick: bool) -> dict[str, float]:
    if importlib.util.find_spec("flask") is None or importlib.util.find_spec("gunicorn") is None:
        return {}
    command = ["gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "8"]
    command += ["--keep-alive", "30", "--log-level", "error"]
    return _serve([*command, "web_apps:flask()"], contender, quick)


def _fastapi(contender: str, quick: bool) -> dict[str, float]:
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        return {}
    command = ["uvicorn", "--factory", "--port", "{port}", "--no-access-log"]
    return _serve([*command, "--log-level", "error", "web_apps:fast"], contender, quick)


def _serve(command: list[str], contender: str, quick: bool) -> dict[str, float]:
    """A fresh server for each kind of work: a backlog of one must not slow the next.

    Each on a port of its own, for the last one's may still be bound for a moment.
    """
    figures: dict[str, float] = {}
    for work in WORKS:
        port = _free_port()
        said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        server = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port=port) for word in command)],
            cwd=Path(__file__).parent,
            stdout=said,
            stderr=said,
        )
        try:
            _await_port(port, server)
            way = {"executor": "pool"}.get(contender, contender)
            seconds = 1.0 if quick else 3.0
            asyncio.run(_load(port, f"/none/{work}", 0.3))
            latencies = asyncio.run(_load(port, f"/{way}/{work}", seconds))
        except OSError as exc:
            said.seek(0)
            words = said.read()[-300:].decode(errors="replace")
            raise RuntimeError(f"{exc}; server {server.poll()}, {work}: {words}") from exc
        finally:
            # SIGKILL: the backlog of jobs is of no interest, and a bare pool would run it all.
            _kill(server)
        figures[f"{work} requests /s"] = len(latencies) / seconds
        figures[f"{work} p50 ms"] = percentile(latencies, 50) * 1e3
        figures[f"{work} p99 ms"] = percentile(latencies, 99) * 1e3
    return figures


async def _load(port: int, path: str, seconds: float) -> list[float]:
    """So many connections, each asking again as soon as it has its answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (before := time.perf_counter()) < end:
            try:
                closing = await _ask(reader, writer, request)
            except (ConnectionError, asyncio.IncompleteReadError):
                closing = True  # a server may drop an idle connection at any time
            else:
                latencies.append(time.perf_counter() - before)
            if closing:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return latencies


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bool:
    """One request; True if the server closes the connection after its answer."""
    writer.write(request)
    fields = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    if b" 200 " not in fields[0]:
        raise RuntimeError(fields[0].decode())
    length = next(field for field in fields if field.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return b"connection: close" in fields


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(0.05)


def _kill(server: subprocess.Popen[bytes]) -> None:
    try:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    except OSError:
        children = []
    for pid in (server.pid, *map(int, children)):  # the parent first: it would start others
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    server.wait(10)


MEASURES = (
    Measure(
        name="flask",
        contenders=("none", "executor", "counterpunch"),
        child=_flask,
        targets=(
            Target("Flask requests/s, 1 ms jobs", "sleep requests /s", "executor", 0.9, 1.0, True),
            Target("Flask, short CPU jobs: median", "many p50 ms", "executor", 0.7, 0.4),
        ),
        rounds=(1, 5),
    ),
    Measure(
        name="fastapi",
        contenders=("none", "executor", "counterpunch", "background"),
        child=_fastapi,
        targets=(
            Target("FastAPI requests/s", "sleep requests /s", "background", 1.4, 1.7, True),
            Target("FastAPI p99", "sleep p99 ms", "background", 0.5, 0.15),
            Target("FastAPI, short CPU jobs: median", "many p50 ms", "executor", 0.7, 0.4),
        ),
        rounds=(1, 5),
    ),
)
