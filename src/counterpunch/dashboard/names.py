"""The job classes of this process, by the names that addresses and buttons use.

Those are the long ones, with the module: the same in every process, whatever was used first.
What a page shows is short, where that is clear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..core.port import current
from ..core.values.errors import InvalidOption
from ..core.values.plan import plan_of
from ..define.job_class import Job
from ..observe.queries import long_names
from ..recurring.periodic import periodic

__all__ = ["Pair", "class_of", "defined", "known", "shown"]

#: The long name of a class, and its short one.
Pair = list[str]


def known() -> dict[str, Any]:
    """Every class that was used here, or is armed, by its long name."""
    used: list[Any] = [lane.job for lane in current().registry.all()]
    armed: list[Any] = [entry.job for entry in periodic()]
    return long_names(dict.fromkeys([*used, *armed]))


def class_of(name: str) -> Any | None:
    """The class that was used here, or is armed, by its long name, or by its short one if no
    other has that."""
    classes = known()
    if name in classes:
        return classes[name]
    found = [cls for cls in classes.values() if cls.__qualname__ == name]
    return found[0] if len(found) == 1 else None


def defined(name: str) -> Any | None:
    """The same, of all classes there are: one that is not used yet can be paused."""
    found = class_of(name)
    if found is not None:
        return found
    there: list[Any] = [cls for cls in _below(Job) if _usable(cls)]
    same = [cls for cls in there if name in long_names([cls])]
    same += [cls for cls in there if cls.__qualname__ == name] if not same else []
    return same[-1] if len({cls.__module__ for cls in same}) == 1 else None


def _usable(cls: Any) -> bool:
    """False for a class whose definition was refused, and that somebody still holds."""
    try:
        plan_of(cls)
    except InvalidOption:
        return False
    return True


def _below(cls: type) -> list[type]:
    found: list[type] = []
    below: list[type] = type.__subclasses__(cls)
    for one in below:
        found += [one, *_below(one)]
    return found


def shown(told: Iterable[Pair]) -> dict[str, str]:
    """What a page calls each class, by its long name: of those that share a short name, all
    have the long one, and so have those with a number."""
    short = {pair[0]: pair[1] for pair in told}
    often = Counter(short.values())
    return {long: brief if often[brief] == 1 else long for long, brief in short.items()}
