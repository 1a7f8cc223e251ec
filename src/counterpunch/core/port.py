"""The port: what the rings around the core may ask of it.

``define``, ``observe``, ``recurring``, ``testing``, ``batch``, ``dashboard``, ``integrations`` and
``backends`` import this module and the words of ``values``, no other of the core, and touch no
private name. Whoever needs more adds a line here.

``accepting()`` gives the runtime to who enqueues, ``current()`` to who looks. Of it: ``enqueue``,
``perform_now``; ``registry`` (lanes and pools), ``whereabouts`` (live, find, workers), ``history``
(remembered), ``steering`` (cancel, pause), ``endings`` (end, lose), ``stage``, ``scheduler``,
``idle``. A lane has the containers of a class, and ``counts``;
``entries(container)`` reads one whole while others change it.

An engine's worker: ``admitted``, ``runtime.here.attempt``, ``broken``, ``runtime.settle``. What
looks after the queues is told to ``installed.watch``; ``start`` calls what is in ``on_start``;
``redefined`` is called after a class was changed; ``leave`` by an application that stops before
others do.
"""

from __future__ import annotations

from .moves.admission import INTERRUPTED
from .moves.duplicates import REPLACED
from .places.backlog import Worker
from .places.lane import Gate, Lane
from .places.parking import Parking, Sleeper
from .places.permits import Permits
from .places.scheduler import Timer
from .places.site import Site
from .places.steps import entries
from .places.timings import DAY_SECONDS, DAY_SLOTS, SLOT_SECONDS, SLOTS, Timings
from .places.watchers import again
from .process.app_stop import leave
from .process.changes import redefined
from .process.express import express_async, express_in
from .process.in_force import accepting, current
from .process.installed import installed
from .process.lifecycle import on_start, quiet, shutdown, start, wait_idle
from .process.runtime import Clockwork, Runtime
from .workers.attempt import admitted
from .workers.outcome import broken
from .workers.registry import Registry
from .workers.stacks import Stacks

__all__ = [
    "Clockwork", "DAY_SECONDS", "DAY_SLOTS", "Gate", "INTERRUPTED", "Lane", "Parking",
    "Permits", "REPLACED", "Registry", "Runtime", "SLOTS", "SLOT_SECONDS", "Site", "Sleeper",
    "Stacks", "Timer", "Timings", "Worker", "accepting", "admitted", "again", "broken", "current",
    "entries", "express_async", "express_in", "installed", "leave", "on_start", "quiet",
    "redefined", "shutdown", "start", "wait_idle",
]  # fmt: skip
