"""A class whose jobs are unique, made with the choice that a test is about."""

from __future__ import annotations

from counterpunch import Job

WAIT = 10.0


def unique_class(choice: str, scope: str = "queued") -> type[Job]:
    class UniqueJob(Job):
        unique = scope
        on_duplicate = choice

        @staticmethod
        def identity(key: str, *rest: object) -> str:
            return key

        def perform(self, key: str, *rest: object) -> None: ...

    return UniqueJob
