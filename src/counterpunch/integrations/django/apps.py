"""The app: connections around jobs, and periodic jobs where requests are served."""

from __future__ import annotations

import sys

from django.apps import AppConfig
from django.core import mail
from django.core.signals import request_finished, request_started
from django.utils.module_loading import autodiscover_modules

from .._serving import serving
from .connections import install

__all__ = ["CounterpunchConfig"]


class CounterpunchConfig(AppConfig):  # type: ignore[misc]  # Any where Django is missing
    """``INSTALLED_APPS += ["counterpunch.integrations.django"]``. Has no models."""

    name = "counterpunch.integrations.django"
    label = "counterpunch"
    verbose_name = "counterpunch"

    def ready(self) -> None:
        """Install the hooks of the process; once, though tests may load apps again.

        And import the module ``jobs`` of each app that has one, as the admin site does with
        ``admin``: periodic jobs, which nothing else may ever import, are to be known.
        """
        install()
        autodiscover_modules("jobs")
        for signal in (request_started, request_finished):
            signal.connect(_serve, dispatch_uid="counterpunch")


def _serve(**kwargs: object) -> None:
    """With each request, which no command but a server's ever gets.

    At its end too: the first request imports the views, and with them the jobs. Not under
    the test runner, whose client sends the signals as well.
    """
    under_test = "django.test" in sys.modules and hasattr(mail, "outbox")
    if not under_test:
        serving()
