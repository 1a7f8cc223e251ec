"""What a worker is given: the engine's app, made from the environment, and the job classes."""

from __future__ import annotations

import os

import engine_jobs
from engine_set import SETS

engine_jobs.watch_attempts()
app, backend = SETS[os.environ["ENGINE"]](os.environ["ENGINE_REDIS"])
