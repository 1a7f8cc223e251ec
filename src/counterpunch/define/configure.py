"""``configure(...)``: the options of the whole process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..core.values.backend import check_backend
from ..core.values.checks import (
    MOST_WORKERS,
    Check,
    flag,
    function,
    named_options,
    of_type,
    one_of,
    seconds,
    whole,
)
from ..core.values.config import OnLost, config
from ..core.values.errors import InvalidOption

__all__ = ["configure"]


def _pools(owner: str, option: str, value: Any) -> Mapping[str, int]:
    allowed = f"a dict of pool name to number of threads (1 to {MOST_WORKERS})"
    if not isinstance(value, Mapping):
        raise InvalidOption(owner, option, value, allowed)
    for name, size in value.items():
        number = isinstance(size, int) and not isinstance(size, bool)
        if not (isinstance(name, str) and name and number and 1 <= size <= MOST_WORKERS):
            raise InvalidOption(owner, option, value, allowed)
    return dict(value)


_CHECKS: Mapping[str, Check] = {
    "shutdown_timeout": seconds(0.0, none=False),
    "max_threads": whole(1, none=True),
    "pools": _pools,
    "strict_args": one_of("json", "pickle", "copy", none=True),
    "history": whole(0),
    "history_bytes": whole(0),
    "history_ttl": seconds(0.0),
    "log_args": flag,
    "starved_after": seconds(0.0),
    "on_lost": function("a callable given a list of handles, or None", 1),
    "signals": flag,
    "backend": check_backend,
    "application": of_type(str, "the name of the application, or None"),
}

#: What is not given. It reads well in ``help(configure)``, and is no value of any option.
_UNSET: Any = ...


@named_options
def configure(
    *,
    shutdown_timeout: float | timedelta = _UNSET,
    max_threads: int | None = _UNSET,
    pools: Mapping[str, int] = _UNSET,
    strict_args: str | None = _UNSET,
    history: int = _UNSET,
    history_bytes: int = _UNSET,
    history_ttl: float | timedelta | None = _UNSET,
    log_args: bool = _UNSET,
    starved_after: float | timedelta | None = _UNSET,
    on_lost: OnLost | None = _UNSET,
    signals: bool = _UNSET,
    backend: Any = _UNSET,
    application: str | None = _UNSET,
) -> None:
    """Set options of the process; what is not given stays as it is. Takes effect at once.

    Args:
        shutdown_timeout: Seconds the stop of the process may take. Default 8.0, below the
            10 s that Docker and Cloud Run allow.
        max_threads: A ceiling over the threads of all pools; each pool with work keeps
            at least one, even beyond it. When it is lowered, surplus threads leave: idle
            ones at once, the others after the job they are at. Default None, no ceiling.
        pools: Shared pools by name and number of threads, for the ``pool`` option.
            Pools that are in use may be resized and added to, not taken away.
        strict_args: ``"json"``, ``"pickle"`` or ``"copy"`` sends the arguments of each
            job through that and back at the enqueue. Default None: by reference.
        history: Finished jobs that ``find`` and ``jobs`` remember. Failed ones are counted
            apart, as many again. Default 1000.
        history_bytes: Bytes, by a bounded estimate, that their arguments and results may take
            together. Beyond that the oldest are only described, those that failed last; jobs of
            less than 1 KiB do not count. What a described job no longer has raises ``NotKept``;
            a handle that you keep has everything. Default 8 MiB (8_388_608); 0 describes every
            job of more than 1 KiB.
        history_ttl: Seconds for which they are remembered, also in an idle process. Default 3600.0;
            None has no limit.
        log_args: False keeps arguments out of logs and of the lost report. Default True.
        starved_after: A job queued for more than so many seconds is reported in the log, once,
            with the stacks of the workers that it waits for; others of its class that have
            begun to starve meanwhile, together every ten seconds. Default 60.0; None reports
            none. A paused class waits on purpose.
        on_lost: Called once per stop with the list of handles of the jobs that did not
            run or did not end, on the thread that stops the process.
        signals: True installs the SIGTERM handler that lets a script, ``flask run`` or
            waitress drain, by ``SystemExit(143)`` in the main thread. It ends a running event
            loop as ``asyncio.run`` does, by cancelling its tasks. Main thread only. Default
            False.
        backend: Where jobs go instead of threads: an engine of ``counterpunch.backends``. A
            class with a ``backend`` of its own goes there; a periodic class stays in threads,
            and so does every class inside a test mode. Default None.
        application: Whose periodic classes these are, for ``once_per="host"``. Two applications
            of one user on one host that have a class of the same name and module, such as
            staging beside production, need two names; releases of one need none. Default None.

    Raises:
        InvalidOption: For a value that is not allowed. Nothing is changed then.
    """
    given = {name: value for name, value in locals().items() if value is not _UNSET}
    checked = {name: _CHECKS[name]("configure", name, value) for name, value in given.items()}
    if "pools" in checked:
        for name in config.pools:
            if name not in checked["pools"]:
                checked["pools"][name] = config.pools[name]
    if checked.get("signals"):
        from ..integrations import sigterm  # noqa: F401  (it listens; few processes need it)
    before = {name: getattr(config, name) for name in checked}
    for name, value in checked.items():
        setattr(config, name, value)
    try:
        for changed in config.changed:
            changed(frozenset(checked))
    except BaseException:
        for name, value in before.items():
            setattr(config, name, value)
        raise
