"""A sign-up site in Django: rows and jobs that belong together.

    pip install path/to/counterpunch "django>=6.0"
    python examples/django_app/manage.py migrate
    python examples/django_app/manage.py runserver

    curl -X POST -d email=ada@example.com http://127.0.0.1:8000/signup
    curl http://127.0.0.1:8000/jobs/<id from the answer>

The page is at ``/admin/jobs/``, for staff: ``manage.py createsuperuser``. In production:
``gunicorn project.wsgi`` or ``uvicorn project.asgi:application``. Environment, optional:
``DATABASE``, the SQLite file, and ``SECRET_KEY``.
"""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
