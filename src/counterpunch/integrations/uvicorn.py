"""A server that ends without a word to Python, and nobody to drain: said while there is time."""

from __future__ import annotations

import logging
import sys
import threading

from ..core.port import installed
from ..core.values.config import config
from ..core.values.hooks import report

__all__ = ["unsaved_under_uvicorn"]


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
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
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
        frame = frame.f_back
    return False


installed.hints.append(unsaved_under_uvicorn)
