"""Which ``perform`` runs: the one that a look at a fresh instance would find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from held import LONG

from counterpunch import Job
from counterpunch.core.values.plan import plan_of


def gives(word: str) -> Callable[..., str]:
    return lambda self, *args, **kwargs: word


class Behind:
    """No job itself: nobody hears of a change of it."""

    perform = gives("behind")


class Before:
    pass


class Own(Job):
    perform = gives("own")


class Below(Own):
    pass


class Mixed(Behind, Job):
    pass


class Covered(Before, Own):
    pass


class Hides(Job):
    def __init__(self) -> None:
        self.perform = gives("hidden").__get__(self)

    def perform(self) -> str:  # type: ignore[no-redef]
        return "shown"


class Asked(Job):
    def __getattribute__(self, name: str) -> Any:
        return gives("asked").__get__(self) if name == "perform" else super().__getattribute__(name)

    def perform(self) -> str:
        return "shown"


class Makes(type(Job)):  # type: ignore[misc]
    def __call__(cls) -> Any:
        made = super().__call__()
        made.perform = gives("made").__get__(made)
        return made


class Made(Job, metaclass=Makes):
    def perform(self) -> str:
        return "shown"


class Static(Job):
    perform = staticmethod(lambda *args: "static")


class OfTheClass(Job):
    perform = classmethod(lambda cls, *args: "class")


def run(job: Any) -> list[object]:
    calls = job.perform_async(), job.perform_async(1), job.perform_async(1, 2)
    named = job.perform_async(k=1) if job in (Own, Below, Mixed, Covered) else calls[0]
    return [*{handle.result(LONG) for handle in (*calls, named)}]


@pytest.mark.parametrize("job", [Own, Below, Mixed, Covered, Static, OfTheClass])
def test_with_any_number_of_arguments(job: Any) -> None:
    words = {Below: "own", Mixed: "behind", Covered: "own", OfTheClass: "class"}
    assert run(job) == [words.get(job, job.__name__.lower())]


@pytest.mark.parametrize("job", [Hides, Asked, Made])
def test_an_instance_may_have_its_own(job: Any) -> None:
    word = {Hides: "hidden", Asked: "asked", Made: "made"}[job]
    assert job.perform_async().result(LONG) == word


@pytest.mark.parametrize(
    ("job", "changed"), [(Own, Own), (Below, Own), (Mixed, Behind), (Covered, Before)]
)
def test_one_that_is_changed_in_between_is_the_next_to_run(
    job: Any, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job)
    monkeypatch.setattr(changed, "perform", gives("changed"), raising=False)
    assert run(job) == ["changed"]


def test_only_what_cannot_change_unseen_is_not_looked_up() -> None:
    jobs = (Own, Below, Mixed, Covered, Hides, Asked, Made, Static, OfTheClass)
    assert [job for job in jobs if plan_of(job).direct is not None] == [Own, Below]
