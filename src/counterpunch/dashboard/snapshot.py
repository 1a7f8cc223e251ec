"""This process in short, as the others get it; and all of them together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..observe.health import Health
from .beacon import Beacon, register
from .overview_data import delayed, overview
from .peers import gather
from .plain import clip
from .process import birth, process
from .sockets import Unsafe, directory

__all__ = ["beacon_for", "processes", "snapshot"]

#: One socket per directory, however many mounts ask for it.
beacons: dict[str | None, Beacon] = {}

_SUMS = ("running", "queued", "delayed", "failed_recently", "per_minute")


def beacon_for(where: str | None, health: Callable[[], Health]) -> Beacon:
    """The beacon of a directory, made and registered with the first mount that asks for it."""
    beacon = beacons.get(where)
    if beacon is None:
        beacon = beacons.setdefault(where, Beacon(where, lambda: snapshot(health())))
        register(beacon)
    return beacon


def snapshot(health: Health) -> dict[str, Any]:
    """What ``peers`` expects of a process: numbers only, no argument and no error of a job."""
    found = overview(health)
    total = found["total"]
    return {
        "process": found["process"],
        "health": found["health"],
        "total": {
            **_short(total),
            "failed": total["status"]["failed"] + total["status"]["lost"],
            "succeeded": total["status"]["succeeded"],
            "failed_recently": total["failed_recently"],
            "workers": total["workers"],
        },
        "classes": [
            {
                "job": clip(row["job"], 200),
                **_short(row),
                "failed_recently": row["recent"]["failed"],
                "workers": row["size"],
            }
            for row in found["classes"]
        ],
    }


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    status = row["status"]
    return {
        "running": status["running"],
        "queued": status["queued"],
        "delayed": delayed(status),
        "per_minute": row["per_minute"],
        "oldest_wait": row["oldest_wait"],
    }


def processes(where: str | None, health: Health, problem: str | None) -> dict[str, Any]:
    """Every process of this user on this host that serves its snapshot, and their sums."""
    own = snapshot(health)
    found, silent = [own], []
    path = None
    try:
        path = directory(where)
        gathered = gather(path, (os.getpid(), birth()))
    except (OSError, Unsafe) as exc:
        problem = f"the others cannot be seen: {exc}"
    else:
        found += gathered.snapshots
        silent = gathered.silent
    found.sort(key=lambda one: (one["process"]["started_at"], one["process"]["pid"]))
    classes: dict[str, dict[str, Any]] = {}
    for one in found:
        for row in one["classes"]:
            _add(classes.setdefault(row["job"], _nothing(row["job"])), row)
    return {
        "process": process(),
        "directory": path,
        "problem": problem,
        "processes": [
            {"process": one["process"], "health": one["health"], "total": one["total"]}
            for one in found
        ],
        "silent": sorted(silent, key=lambda one: int(one["pid"])),
        "classes": sorted(classes.values(), key=lambda row: str(row["job"])),
    }


def _nothing(name: str) -> dict[str, Any]:
    zeros = dict.fromkeys((*_SUMS, "workers", "processes"), 0)
    return {"job": name, **zeros, "oldest_wait": 0.0}


def _add(sums: dict[str, Any], row: Mapping[str, Any]) -> None:
    for name in (*_SUMS, "workers"):
        sums[name] += row[name]
    sums["processes"] += 1
    sums["oldest_wait"] = max(sums["oldest_wait"], row["oldest_wait"])
