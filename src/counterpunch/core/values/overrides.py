"""``handle.options``: the options of one job, which a middleware may change at the enqueue."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from .errors import CounterpunchError, InvalidOption
from .per_call import PER_CALL
from .record import Record

__all__ = ["Overrides"]


class Overrides(MutableMapping[str, Any]):
    """The options that ``using(...)`` may change, with the values that count for this job.

    Setting one works while the job is being enqueued: in ``around_enqueue`` and
    ``on_enqueue``. ``del`` brings back the value of the class.

    Raises:
        InvalidOption: On setting, for an unknown option or a bad value.
        CounterpunchError: On setting, once the job has its place.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Record) -> None:
        self._call = call

    def __repr__(self) -> str:
        return repr(dict(self))

    def __getitem__(self, name: str) -> Any:
        if name not in PER_CALL:
            raise KeyError(name)
        return self._call.option(name)

    def __iter__(self) -> Iterator[str]:
        return iter(PER_CALL)

    def __len__(self) -> int:
        return len(PER_CALL)

    def __setitem__(self, name: str, value: Any) -> None:
        owner = f"{self._call.job.__qualname__}.options"
        if name not in PER_CALL:
            allowed = f"the options {', '.join(sorted(PER_CALL))}"
            raise InvalidOption(owner, name, value, allowed)
        value = PER_CALL[name](owner, name, value)
        lane = self._unplaced()
        if name == "pool" and value is not None:
            lane.keeper.shared_pool(value, owner, lane.options.workers)
        more = self._call.extra()
        more.options = {**(more.options or {}), name: value}

    def __delitem__(self, name: str) -> None:
        if name not in PER_CALL:
            raise KeyError(name)
        self._unplaced()
        more = self._call.extra()
        more.options = {key: old for key, old in (more.options or {}).items() if key != name}

    def _unplaced(self) -> Any:
        lane = self._call.lane
        if self._call not in lane.announced:
            raise CounterpunchError(
                f"{self._call!r} has its place: its options can be changed in around_enqueue "
                f"and on_enqueue only"
            )
        return lane
