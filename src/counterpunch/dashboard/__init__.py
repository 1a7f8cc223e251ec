"""A page to look at the jobs of this process and to steer them; nothing to install.

One line mounts it, see ``wsgi`` and ``asgi``; in Django ``counterpunch.integrations.django``::

    make_server("127.0.0.1", 8000, counterpunch.dashboard.wsgi())                  # any WSGI
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/jobs": dashboard.wsgi()})     # Flask
    app.mount("/jobs", dashboard.asgi())                                  # FastAPI, Starlette
    path("jobs/", counterpunch.integrations.django.dashboard.urls())                    # Django

It shows whoever reaches it classes, arguments and tracebacks: mount it where only the right
people come, or pass ``can_view``. It changes nothing unless ``authorize`` is given.

It shows the one process that answers, and says which that is; ``processes=True`` adds a page
over all processes of this user on this host. Nothing listens unless that is asked for.
"""

from .asgi_app import asgi
from .message import Request, Response
from .routes import respond
from .settings import Settings
from .wsgi_app import wsgi

__all__ = ["Request", "Response", "Settings", "asgi", "respond", "wsgi"]
