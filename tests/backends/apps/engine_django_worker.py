"""What a worker of the Django shop is given, as the README says: Django is set up first."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine_django_settings")
django.setup()

from engine_shop.jobs import broker  # noqa: E402

app = broker
