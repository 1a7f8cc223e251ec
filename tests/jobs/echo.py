"""A job that gives back what it was given."""

from __future__ import annotations

from typing import Any

from counterpunch import Job

LONG = 10.0  # seconds; a bound that turns a hang into a failure, never reached otherwise


class Echo(Job):
    def perform(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs
