"""The settings of the Django example, with jobs that take their time and leave a line each."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from project.settings import *  # noqa: F403

from counterpunch import Handle, around_perform


@contextmanager
def slow_and_noted(handle: Handle[Any]) -> Iterator[None]:
    time.sleep(float(os.environ.get("JOB_SECONDS", "0")))
    yield
    if handle.job.__name__ == "HelloEmailJob":
        from signups.models import Signup

        line = f"hi, {Signup.objects.get(pk=handle.args[0]).email}\n"
        with open(os.environ["JOB_LEDGER"], "a", encoding="utf-8") as file:
            file.write(line)


around_perform(slow_and_noted)
