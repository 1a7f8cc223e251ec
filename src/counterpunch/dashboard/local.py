"""What one process says of itself and does to itself, by a word for each.

Its own pages ask it so, and through its socket the pages of its peers. Every answer is plain
JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..observe.dump import dump
from ..observe.health import Health
from ..observe.metrics import metrics
from . import actions, bulk
from .class_data import one_class
from .failures import failures
from .job_data import job
from .list_data import badges, listing
from .names import known
from .overview_data import overview
from .periodic_data import periodic
from .process import process
from .summary import summary

__all__ = ["VERSION", "Ground", "answer_to", "fits", "told"]

#: Of questions and answers: one of another is not understood. It changes with them.
VERSION = "counterpunch 1"


class Ground(NamedTuple):
    """What the answers of a mount stand on: its thresholds, and what it hides."""

    health: Callable[[], Health]
    arguments: bool


#: Each takes the ground, and its arguments by name.
QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "summary": lambda ground: summary(ground.health()),
    "overview": lambda ground: {**overview(ground.health()), "process": process()},
    "listing": lambda ground, **asked: listing(arguments=ground.arguments, **asked),
    "failures": lambda ground, **asked: failures(ground.arguments, **asked),
    "job": lambda ground, id: job(id, ground.arguments),
    "class": lambda ground, name: one_class(name, ground.arguments),
    "periodic": lambda ground: periodic(),
    "threads": lambda ground: dump(),
    "metrics": lambda ground: metrics(),
    "counted": lambda ground, **asked: bulk.counted(ground.arguments, **asked),
    "on_job": lambda ground, **asked: actions.on_job(**asked),
    "on_class": lambda ground, **asked: actions.on_class(**asked),
    "on_list": lambda ground, **asked: bulk.on_list(ground.arguments, **asked),
    "on_process": lambda ground, **asked: actions.on_process(**asked),
    "run": lambda ground, **asked: actions.run_periodic(**asked),
}


def told(ground: Ground, word: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, and who gives it."""
    answer = QUESTIONS[word](ground, **arguments)
    return {
        "version": VERSION,
        "process": process(),
        "badges": badges(),
        "names": [[name, cls.__qualname__] for name, cls in known().items()],
        "answer": answer,
    }


def answer_to(ground: Ground, question: bytes) -> bytes | None:
    """What a peer is told; None if it asks what there is not."""
    try:
        asked = json.loads(question)
    except (ValueError, RecursionError):
        return None
    known = isinstance(asked, dict) and asked.get("version") == VERSION
    if not known or asked.get("ask") not in QUESTIONS or not isinstance(asked.get("with"), dict):
        return None
    if asked.get("arguments") is not True:
        ground = ground._replace(arguments=False)
    return json.dumps(told(ground, asked["ask"], asked["with"]), allow_nan=False).encode()


_PROCESS: Mapping[str, type] = {
    "host": str, "pid": int, "started_at": str, "program": str, "python": str, "phase": str,
    "threads": int, "role": str, "memory": int,
}  # fmt: skip


def fits(answer: Any, pid: int) -> bool:
    """Whether what a peer has said is an answer of this version, and of that process."""
    try:
        process, badges = answer["process"], answer["badges"]
        datetime.fromisoformat(process["started_at"])
        return (
            answer["version"] == VERSION
            and "answer" in answer
            and process["pid"] == pid
            and all(type(process[name]) is kind for name, kind in _PROCESS.items())
            and all(type(number) is int for number in badges.values())
            and all(type(long) is type(short) is str for long, short in answer["names"])
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
