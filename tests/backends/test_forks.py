"""A backend that was used before a fork: parent and children share no connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine_places import ENGINES, Place
from engine_processes import APPS, LONG, require

import counterpunch

pytestmark = pytest.mark.timeout(90)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    source = Path(counterpunch.__file__).parents[1]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{APPS}", **environ},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


@pytest.mark.parametrize("place", ENGINES, indirect=True)
def test_a_preloading_master(place: Place, redis: object) -> None:
    """It has enqueued, and threads of it are at it, when it forks its workers: every process
    gets the results that it asked for."""
    url: str = redis.url  # type: ignore[attr-defined]
    done = run("-m", "engine_forks", ENGINE=place.name, ENGINE_REDIS=url)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_forked_child_has_connections_of_its_own() -> None:
    """Also with a client that does not look to it itself, as that of RabbitMQ does not."""
    require("celery")
    done = run(
        "-c",
        "import os, celery, counterpunch\n"
        "from engine_jobs import Add\n"
        "from counterpunch.backends.celery import CeleryBackend\n"
        "app = celery.Celery('site', broker='memory://')\n"
        "counterpunch.configure(backend=CeleryBackend(app))\n"
        "def connection():\n"
        "    Add.perform_async(1)\n"
        "    with app.producer_pool.acquire() as producer:\n"
        "        return producer.connection\n"
        "parents = connection()\n"
        "assert connection() is parents\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    own = connection()\n"
        "    os._exit(3 if own is parents or connection() is not own else 0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert connection() is parents and parents.connected\n",
    )
    assert done.returncode == 0, done.stderr
