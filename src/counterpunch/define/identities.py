"""The jobs of one identity, in this process."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import chain
from typing import Any

from ..core.port import current
from ..core.values.checks import hashable
from ..core.values.errors import CounterpunchError
from ..core.values.handle import Handle
from ..core.values.hiding import hides
from ..core.values.plan import plan_of

__all__ = ["of_identity"]


def of_identity(
    cls: type, identity: tuple[Hashable, ...], ended: bool = True
) -> Iterator[Handle[Any]]:
    """The jobs of an identity, in no order; with those that are remembered if ``ended``."""
    if plan_of(cls).options.identity is None:
        raise CounterpunchError(
            f"{cls.__qualname__} has no identity to look for: give it a @staticmethod "
            f"identity(...) over perform's arguments"
        )
    hashable(cls.__qualname__, identity, hides(plan_of(cls).options))
    runtime = current()
    runtime.registry.must_be_here(cls, "its identities are not known")
    lane = runtime.registry.lanes.get(cls)
    live = () if lane is None else runtime.whereabouts.each(lane)
    calls = chain(live, runtime.history.each() if ended else ())
    return (c for c in calls if c.lane is lane and c.more is not None and c.more.key == identity)
