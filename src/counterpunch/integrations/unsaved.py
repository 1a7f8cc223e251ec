"""Servers that end without a word to Python, and nobody to drain: said while there is time."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from ..core.port import installed
from ..core.values.config import config
from ..core.values.hooks import report
from ..core.values.interpreter import frames

__all__ = ["unsaved_at_sigterm", "unsaved_under_uvicorn"]

#: Servers that leave SIGTERM as it is, by module and function of the loop that the main thread
#: runs: ``flask run``, ``app.run()``, ``manage.py runserver --noreload`` and wsgiref share one.
_DEAF = {("socketserver", "serve_forever"), ("waitress.server", "run")}


def unsaved_under_uvicorn() -> bool:
    """Warn, and answer True, if uvicorn serves here and nobody has called ``start()``.

    At SIGTERM it ends by that very signal, after the lifespan: no exit hook runs, and what is
    queued is gone at every deploy. An app works without the line that prevents it, so this is
    the only sign before the first loss. False, too, while it is still starting: the app may
    enqueue as it is imported, before its lifespan begins.
    """
    if "uvicorn.server" not in sys.modules or config.signals:
        return False  # our handler is the one that it gives the signal back to
    file = getattr(sys.modules.get("uvicorn.server"), "__file__", None)
    for frame in _main_thread():
        if frame.f_code.co_name == "run" and frame.f_code.co_filename == file:
            if not getattr(frame.f_locals.get("self"), "started", False):
                return False
            report(
                logging.WARNING,
                "uvicorn ends without any exit hook at SIGTERM, and takes the queued jobs along: "
                "pass lifespan=counterpunch.integrations.asgi.lifespan to FastAPI or Starlette, "
                "or wrap the app with counterpunch.integrations.asgi.wrap",
            )
            return True
    return False


def unsaved_at_sigterm() -> bool:
    """Warn, and answer True, if a server runs here that knows nothing of SIGTERM.

    The process then ends in the midst of what it does: that is how a supervisor stops it, and the
    log would be empty.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    loops = {(getattr(sys.modules.get(name), "__file__", None), run) for name, run in _DEAF}
    for frame in _main_thread():
        if (frame.f_code.co_filename, frame.f_code.co_name) in loops:
            report(
                logging.WARNING,
                "this server knows nothing of SIGTERM: it ends the process at once (process 1 of a "
                "container is killed some seconds later), and the queued jobs with it: call "
                "counterpunch.configure(signals=True), or use a server for production",
            )
            return True
    return False


def _main_thread() -> Iterator[FrameType]:
    """Its frames, innermost first."""
    frame = frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back


installed.hints += [unsaved_under_uvicorn, unsaved_at_sigterm]
