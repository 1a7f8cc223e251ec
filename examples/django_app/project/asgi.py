import os

from django.core.asgi import get_asgi_application

from counterpunch.integrations.asgi import wrap

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

# Django answers no lifespan, and uvicorn ends with the signal that stopped it: without
# wrap() the accepted jobs would go with the process.
application = wrap(get_asgi_application())
