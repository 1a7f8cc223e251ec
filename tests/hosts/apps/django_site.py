"""Django in one file: a WSGI app, two ASGI apps, and ``manage.py``."""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from counterpunch.integrations.asgi import wrap

if not settings.configured:
    settings.configure(
        DEBUG=True,
        SECRET_KEY="tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="django_urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["counterpunch.integrations.django"],
    )

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
else:
    django.setup()
    application = get_wsgi_application()
    bare = get_asgi_application()
    wrapped = wrap(bare)
