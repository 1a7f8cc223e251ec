"""The web process of the Django shop: does what its views would, and prints it as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine_django_settings")
django.setup()

from django.db import connection, transaction  # noqa: E402
from engine_shop.jobs import Welcome, WelcomeSoon, where  # noqa: E402
from engine_shop.models import Buyer  # noqa: E402

key = sys.argv[1]
said: dict[str, Any] = {}

with connection.schema_editor() as editor:
    editor.create_model(Buyer)

with transaction.atomic():
    Buyer.objects.create(name="ada")
    handle = Welcome.using(after_commit=True).perform_async(key, "ada")
    before = str(handle.status)
said["committed"] = [before, handle.result(30)]
said["again"] = Welcome.perform_async(f"{key}-again", "bob").result(30)
try:
    with transaction.atomic():
        Buyer.objects.create(name="bob")
        handle = Welcome.using(after_commit=True).perform_async(f"{key}-dropped", "bob")
        raise InterruptedError
except InterruptedError:
    said["rolled back"] = str(handle.status)
said["async"] = WelcomeSoon.perform_async("ada").result(30)
result = where.enqueue()
deadline = time.monotonic() + 20
while not result.is_finished and time.monotonic() < deadline:
    time.sleep(0.01)
    result.refresh()
said["a task of Django's"] = result.return_value == os.getpid()
said["own"] = os.getpid()
print(json.dumps(said))
