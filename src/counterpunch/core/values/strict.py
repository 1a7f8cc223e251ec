"""``strict_args``: arguments sent through an encoding and back at the enqueue.

By default a job gets the very objects that the caller passed. That is the point of running
in the same process, and a trap for who means to move to a broker later, or who changes a
list after enqueueing it. Switched on, the mistake shows where it is made.
"""

from __future__ import annotations

from typing import Any

from .config import config
from .hiding import hides
from .options import Options

__all__ = ["round_trip"]


def round_trip(
    owner: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Options,
    given: dict[str, Any] | None = None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as they come back from what ``configure(strict_args=...)`` says: ``"json"``,
    ``"pickle"`` or ``"copy"``.

    Args:
        owner: The class, for the error.
        args, kwargs: What goes in.
        options, given: Of the class and of ``using(...)``: they may want no value to be shown.

    Raises:
        TypeError: If they do not survive it; names the class and the mode.
    """
    mode, hidden = config.strict_args, hides(options, given)
    try:
        if mode == "json":
            import json

            args_back, kwargs_back = json.loads(json.dumps([args, kwargs], allow_nan=False))
            return tuple(args_back), kwargs_back
        if mode == "pickle":
            import pickle

            back: tuple[tuple[Any, ...], dict[str, Any]] = pickle.loads(
                pickle.dumps((args, kwargs))
            )
            return back
        import copy

        return copy.deepcopy((args, kwargs))
    except Exception as exc:
        what = type(exc).__name__ if hidden else f"{type(exc).__name__}: {exc}"
        raise TypeError(
            f"{owner}: the arguments do not survive strict_args={mode!r} "
            f"({what}); pass ids and plain values"
        ) from (None if hidden else exc)
