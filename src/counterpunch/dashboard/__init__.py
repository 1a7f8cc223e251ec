"""A page to look at the jobs of this process and to steer them; nothing to install.

One line mounts it, see ``wsgi`` and ``asgi``; in Django ``counterpunch.integrations.django``::

    jobs = dashboard.wsgi(can_view=is_admin, authorize=is_admin)                   # any WSGI
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/jobs": jobs})             # Flask
    app.mount("/jobs", dashboard.asgi(can_view=is_admin))            # FastAPI, Starlette
    path("jobs/", counterpunch.integrations.django.dashboard.urls(can_view=is_staff))  # Django

It shows classes, arguments and tracebacks, so ``can_view`` says who may look; without one only a
browser on this machine may, and ``can_view=dashboard.anyone`` opens it on purpose. It changes
nothing unless ``authorize`` is given, and each action leaves a record in the log.

It shows the one process that answers, and says which that is. With ``processes=True`` every page
is about all processes of this user on this host, or one of them by choice, and every action reaches
the process that has the job, or all that have the class. Nothing listens unless that is asked for.

How it is made: ``routes`` finds the page, ``reading`` asks a ``Fleet`` a word of ``local`` and puts
the answers together (the ``..._data`` modules), the ``..._page`` modules render them; ``writing``
does the same for what the buttons say, by ``actions`` and ``bulk``. ``beacon`` and ``peers`` are
the two ends of the sockets between processes.
"""

from .asgi_app import asgi
from .guards import Redirect, anyone, redirect
from .message import Request, Response
from .routes import respond
from .settings import Settings
from .wsgi_app import wsgi

__all__ = [
    "Redirect", "Request", "Response", "Settings", "anyone", "asgi", "redirect", "respond", "wsgi",
]  # fmt: skip
