"""Django: ``INSTALLED_APPS += ["counterpunch.integrations.django"]``.

Connections are closed around each job as they are around a request, periodic jobs are armed
in server processes only, and ``using(after_commit=...)`` knows the databases; see ``apps``
and ``transactions``. With Django 6.0 or later there is a ``TASKS`` backend too::

    TASKS = {"default": {"BACKEND": "counterpunch.integrations.django.TaskBackend"}}

The page over the jobs is one line of a URLconf, see ``dashboard``::

    path("jobs/", counterpunch.integrations.django.dashboard.urls())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import dashboard
    from .tasks import TaskBackend

__all__ = ["TaskBackend", "dashboard"]


def __getattr__(name: str) -> Any:
    # Late: Django imports this package while it sets up, when tasks cannot be imported yet; and
    # a site without the page need not have it in memory.
    if name == "TaskBackend":
        from .tasks import TaskBackend

        return TaskBackend
    if name == "dashboard":
        return import_module(f"{__name__}.dashboard")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
