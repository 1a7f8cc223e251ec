"""A WSGI app learns that it serves from its requests: no server tells it otherwise.

Setting it up is no sign, nor is ``get_wsgi_application()``: a preloading master does both, and
must have no thread when it forks; so do reloaders' parents, shells and commands. Whoever knows
better, as gunicorn's ``post_worker_init`` does, calls ``start()``.
"""

from __future__ import annotations

import os

from ..core.port import accepting, start
from ..recurring.classes import armed_by_requests, periodic_classes

__all__ = ["serving"]

#: The process, and how many periodic classes there were, when ``start()`` was last called.
_seen = (0, 0)

armed_by_requests.add(__name__)


def serving() -> None:
    """For each request: call ``start()`` in a process that has not, which is cheap to find out.
    That the process serves says nothing of who will know when the server stops.

    By process, because a preloaded app is set up before its workers are forked. Again when
    there are more periodic classes: Django imports its views, and so jobs, with a request.
    """
    global _seen
    now = (os.getpid(), len(periodic_classes))
    if now != _seen:
        _seen = now
        whose = accepting().serving
        known = whose.known
        start()
        whose.known = known
