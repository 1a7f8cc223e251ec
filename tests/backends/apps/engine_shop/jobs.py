"""Jobs that use the ORM. The integration imports this module in the web process and the worker."""

from __future__ import annotations

import os
import threading
from typing import Any

from django.db import connection
from django.tasks import task
from engine_jobs import note
from engine_set import SETS

import counterpunch
from counterpunch import Job

from .models import Buyer

broker, backend = SETS[os.environ["ENGINE"]](os.environ["ENGINE_REDIS"])
counterpunch.configure(backend=backend)


class Welcome(Job):
    """Leaves a connection open. Says whether it found one, and where it ran."""

    def perform(self, key: str, name: str) -> Any:
        found = connection.connection is not None
        note(key, "ran")
        known = Buyer.objects.filter(name=name).exists()
        assert connection.connection is not None
        return [known, found, os.getpid(), threading.get_ident()]

    def on_success(self, result: object) -> None:
        found = connection.connection is not None
        note(self.handle.args[0], f"on_success-{found}-{Buyer.objects.count() > 0}")


class WelcomeSoon(Job):
    async def perform(self, name: str) -> bool:
        return await Buyer.objects.filter(name=name).aexists()


@task
def where() -> int:
    return os.getpid()
