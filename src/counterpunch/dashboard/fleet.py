"""Whom a page is about: this process alone, one of its peers, or all of them together.

What can be asked is in ``local``. This process answers itself without a socket; a peer answers
on its own, whose other end is known to be of the same user. Who may look and who may act was
decided before, by the process that a browser has asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from . import local
from .names import Pair, shown
from .peers import PATIENCE, gather
from .process import birth
from .settings import Settings
from .sockets import Address, Unsafe, addresses, directory, name_of

__all__ = ["ACTING", "Fleet", "Nobody", "Told"]

#: Seconds that an action may take elsewhere.
ACTING = 3.0


class Nobody(Exception):
    """None of those whom a request is about has answered; says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Told(NamedTuple):
    """What one process has answered."""

    name: str  # of its socket: no other process has it
    process: Mapping[str, Any]
    badges: Mapping[str, int]
    names: list[Pair]  # of the classes that it knows
    answer: Any


def _said(name: str, told: Mapping[str, Any]) -> Told:
    return Told(name, told["process"], told["badges"], told["names"], told["answer"])


class Fleet:
    """The processes of one request.

    Args:
        settings: Of the mount.
        chosen: The pid of one process, or "" for all; a mount that was not told of others
            knows this one only.

    Attributes:
        silent: Who has not answered the latest question, and why: pid and reason.
        problem: Why the others cannot be seen at all.
        names: The sockets of the others that this request is about.
        pids: Of all processes, those that it isn't about included.
    """

    def __init__(self, settings: Settings, chosen: str = "") -> None:
        self._settings = settings
        self._ground = local.Ground(settings.health, settings.arguments)
        self.together = settings.beacon is not None
        self.path: str | None = None
        self.problem = settings.beacon.problem if settings.beacon is not None else None
        self.silent: list[dict[str, Any]] = []
        self._told: list[Told] = []
        own = name_of(os.getpid(), birth())
        self._own = own
        others: list[Address] = []
        if self.together:
            try:
                self.path = directory(settings.directory)
                others = [o for o in addresses(self.path) if os.path.basename(o.path) != own]
            except (OSError, Unsafe) as exc:
                self.problem = f"the others cannot be seen: {exc}"
        self.pids = sorted({os.getpid(), *(one.pid for one in others)})
        self.chosen = chosen if self.together else ""
        self._others = [o for o in others if self.chosen in ("", str(o.pid))]
        self.here = self.chosen in ("", str(os.getpid()))
        #: No more than one process can answer.
        self.single = len(self._others) + self.here < 2

    def ask(self, word: str, /, *, patience: float | None = None, **arguments: Any) -> list[Told]:
        """Ask all whom this is about the same, oldest first; ``silent`` has the others.

        Raises:
            Nobody: If there is no answer.
        """
        told = [self._self(word, arguments)] if self.here else []
        told += self._gather(self._others, lambda name: self._question(word, arguments), patience)
        told.sort(key=lambda one: (one.process["started_at"], one.process["pid"]))
        self._told = told
        if told:
            return told
        if not self.silent:
            raise Nobody(404, f"There is no process {self.chosen} of this user on this host.")
        reasons = "; ".join(f"pid {one['pid']}: {one['reason']}" for one in self.silent)
        raise Nobody(503, f"The process {self.chosen} does not answer. {reasons}")

    def alone(self, problem: str) -> Fleet:
        """This process without the others, and why.

        Raises:
            Nobody: If the request is about another.
        """
        if not self.here:
            raise Nobody(503, problem)
        fleet = Fleet(self._settings, self.chosen)
        fleet._others, fleet.single, fleet.problem = [], True, problem
        return fleet

    def ask_each(self, word: str, wanted: Mapping[str, Mapping[str, Any]]) -> list[Told]:
        """Ask each of those named something of its own."""
        told = [self._self(word, wanted[self._own])] if self._own in wanted else []
        others = [one for one in self._others if os.path.basename(one.path) in wanted]
        return told + self._gather(
            others, lambda name: self._question(word, wanted[name]), PATIENCE
        )

    def find(
        self, word: str, /, *, patience: float | None = None, alone: bool = True, **arguments: Any
    ) -> Told | None:
        """The one who has an answer.

        Args:
            word: Of ``local.QUESTIONS``; its answer is None in every other process.
            patience: Seconds for the others.
            alone: The others need not be asked if this process has the answer.
            arguments: Of the question.
        """
        own = self._self(word, arguments)
        self._told = [own]
        if own.answer is None or not alone:
            ask = partial(self._question, word, arguments)
            self._told += self._gather(self._others, lambda name: ask(), patience)
        return next((one for one in self._told if one.answer is not None), None)

    def first(self, word: str, /, **arguments: Any) -> Told | None:
        """Ask one after the other until one has an answer: for what is to be done once."""
        own = self._self(word, arguments)
        if own.answer is not None:
            return own
        for one in self._others:
            told = self._gather([one], lambda name: self._question(word, arguments), ACTING)
            if told and told[0].answer is not None:
                return told[0]
        return None

    def _self(self, word: str, arguments: Mapping[str, Any]) -> Told:
        told = local.told(self._ground, word, arguments)
        return _said(self._own, told)

    def _gather(
        self,
        others: list[Address],
        question: Callable[[str], bytes],
        patience: float | None = None,
    ) -> list[Told]:
        self.silent = []
        if not others:
            return []

        def ask(address: Address) -> bytes:
            return question(os.path.basename(address.path))

        found = gather(others, ask, PATIENCE if patience is None else patience)
        self.silent = list(found.silent)
        told = []
        for address, answer in found.answers:
            if local.fits(answer, address.pid):
                told.append(_said(os.path.basename(address.path), answer))
            else:
                why = "it runs another version, or its answer is none"
                self.silent.append({"pid": address.pid, "reason": why})
        self.silent.sort(key=lambda one: int(one["pid"]))
        known = {one["pid"] for one in self.silent} | {one.process["pid"] for one in told}
        gone = {one.pid for one in others} - known
        self.pids = [pid for pid in self.pids if pid not in gone]
        return told

    @property
    def titles(self) -> dict[str, str]:
        """What a page calls each class, by its long name."""
        return shown(pair for one in self._told for pair in one.names)

    def is_own(self, one: Told) -> bool:
        """Whether this process has said it."""
        return one.name == self._own

    @property
    def only(self) -> Mapping[str, Any] | None:
        """The process that a page is about, if that is one."""
        return self._told[0].process if len(self._told) == 1 else None

    @property
    def scope(self) -> dict[str, Any]:
        """Whom a page is about, and who has not answered."""
        return {
            "together": self.together,
            "chosen": self.chosen,
            "pids": self.pids,
            "processes": [one.process["pid"] for one in self._told],
            "silent": self.silent,
            "problem": self.problem,
        }

    @property
    def badges(self) -> dict[str, int]:
        """How many jobs each list of the menu holds, with those who have answered."""
        sums: dict[str, int] = {}
        for one in self._told:
            for name, number in one.badges.items():
                sums[name] = sums.get(name, 0) + number
        return sums

    def _question(self, word: str, arguments: Mapping[str, Any]) -> bytes:
        asked = {
            "version": local.VERSION,
            "ask": word,
            "with": dict(arguments),
            "arguments": self._ground.arguments,
        }
        return json.dumps(asked, allow_nan=False).encode() + b"\n"
