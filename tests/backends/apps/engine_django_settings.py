"""The settings of the Django shop; its database and its engine come from the environment."""

import os

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["ENGINE_DATABASE"]}
}
INSTALLED_APPS = ["counterpunch.integrations.django", "engine_shop"]
TASKS = {"default": {"BACKEND": "counterpunch.integrations.django.TaskBackend"}}
