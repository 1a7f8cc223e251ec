"""Servers that end without a word to Python, and nobody to drain: said while there is time."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from ..core.port import installed
from ..core.values.config import config
from ..core.values.hooks import report
from ..core.values.interpreter import frames

__all__ = ["unsaved_at_sigterm"]

_UVICORN = (
    "uvicorn ends without any exit hook at SIGTERM, and takes the queued jobs along: "
    "pass lifespan=counterpunch.integrations.asgi.lifespan to FastAPI or Starlette, "
    "or wrap the app with counterpunch.integrations.asgi.wrap"
)
_DEAF = (
    "this server knows nothing of SIGTERM: it ends the process at once (process 1 of a "
    "container is killed some seconds later), and the queued jobs with it: call "
    "counterpunch.configure(signals=True), or use a server for production"
)
#: What is said of a server, by module and function of the loop that the main thread runs. ``flask
#: run``, ``app.run()``, ``manage.py runserver --noreload`` and wsgiref share one.
_LOOPS = {
    ("uvicorn.server", "run"): _UVICORN,
    ("socketserver", "serve_forever"): _DEAF,
    ("waitress.server", "run"): _DEAF,
}


def unsaved_at_sigterm() -> bool:
    """Warn, and answer True, if the server that runs here ends at SIGTERM in the midst of it all,
    and nobody has called ``start()``.

    uvicorn ends by that very signal, after the lifespan: no exit hook runs. Others know nothing of
    it. An app works without the line that prevents it, so this is the only sign before the first
    loss. False, too, while uvicorn is still starting: the app may enqueue as it is imported, before
    its lifespan begins.
    """
    if config.signals:
        return False  # our handler is the one that uvicorn gives the signal back to
    loops = {
        (getattr(sys.modules.get(name), "__file__", None), run): text
        for (name, run), text in _LOOPS.items()
    }
    frame = frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        text = loops.get((frame.f_code.co_filename, frame.f_code.co_name))
        if text is _UVICORN and not getattr(frame.f_locals.get("self"), "started", False):
            return False
        if text is _DEAF and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return False
        if text is not None:
            report(logging.WARNING, text)
            return True
        frame = frame.f_back
    return False


installed.hints.append(unsaved_at_sigterm)
