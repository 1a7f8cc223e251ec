"""The parts of the core with one defect put into them, which the simulation is to find.

A mutant changes a few words of one function; that is compiled anew and its code exchanged, in this
process only. The words must be there, once: who changes the source is told here.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, NamedTuple

__all__ = ["MUTANTS", "Mutant"]


class Mutant(NamedTuple):
    """``scene``: who finds it. ``words``: what is written, and what is to be there instead."""

    kind: str
    scene: str
    module: str
    functions: str
    words: tuple[tuple[str, str], ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the core has this defect."""
        module = importlib.import_module(f"counterpunch.core.{self.module}")
        text = inspect.getsource(module)
        for old, new in self.words:
            if text.count(old) != 1:
                raise LookupError(f"{self.module} has {text.count(old)} times {old!r}, not once")
            text = text.replace(old, new)
        changed = compile(text, module.__file__ or self.module, "exec", dont_inherit=True)
        before: list[tuple[FunctionType, CodeType]] = []
        for name in self.functions.split():
            path = name.split(".")
            function: Any = functools.reduce(getattr, path, module)
            before.append((function, function.__code__))
            function.__code__ = functools.reduce(_inner, path, changed)
        try:
            yield
        finally:
            for function, code in before:
                function.__code__ = code


def _inner(code: CodeType, name: str) -> CodeType:
    codes = (one for one in code.co_consts if isinstance(one, CodeType))
    return next(one for one in codes if one.co_name == name)


RECHECK, GIVE_BACK = "a missing re-check", "a lost give-back"
STATE, ORDER = "a state set too late", "a wrong order"
#: Defects that the simulation has found in the core.
ONCE = "as it once was"

MUTANTS: dict[str, Mutant] = {
    "no-second-look": Mutant(
        RECHECK, "hand-over", "places.parking", "Parking.park",
        (("if ready():", "if not ready:"),),
    ),
    "no-look-after-keep": Mutant(
        RECHECK, "pause", "moves.queueing", "Queueing.keep",
        (("if not lane.paused:  # resumed between", "if not lane:  # resumed between"),),
    ),
    "no-look-after-vacancy": Mutant(
        RECHECK, "retire", "workers.pool", "Pool._retire",
        (("""        if any(self.levels):
            return not self.vacancies.take()""", """        if not self.levels:
            return not self.vacancies.take()"""),),
    ),
    "ticket-kept": Mutant(
        GIVE_BACK, "cancel", "moves.taking", "Taking.out_of_queue",
        (("""            if hand:
                lane.left_queue(call)
""", """            if hand:
"""),),
    ),
    "vacancy-kept": Mutant(
        GIVE_BACK, "retire", "workers.pool", "Pool._retire",
        (("return not self.vacancies.take()", "return False"),),
    ),
    "state-after-queue": Mutant(
        STATE, "resize", "moves.queueing", "Queueing.push",
        (("""        call.state = state
        if turn is None:
            queue += one
""", """        if turn is None:
            queue += one
            call.state = state
"""),),
    ),
    "state-after-token": Mutant(
        STATE, "cancel", "moves.endings", "Endings.end",
        (("        call.context, call.finished, call.state = None, now, status\n", ""),
         ("        self._tokens.drop(call)\n", """        self._tokens.drop(call)
        call.context, call.finished, call.state = None, now, status
"""),),
    ),
    "wake-before-append": Mutant(
        ORDER, "hand-over", "process.express", "express_async",
        (("""                break
            lane.queue.append(call)
            if lane.sleepers:""", """                break
            if lane.sleepers:"""),
         ("""                lane.pool.start_worker()
""", """                lane.pool.start_worker()
            lane.queue.append(call)
"""),),
    ),
    "look-before-vacancy": Mutant(
        ORDER, "retire", "workers.pool", "Pool._retire",
        (("""        self.vacancies.give()
        if any(self.levels):
            return not self.vacancies.take()""", """        if any(self.levels):
            return False
        self.vacancies.give()
        if not self.levels:
            return not self.vacancies.take()"""),),
    ),
    "sweep-before-halt": Mutant(
        ORDER, "drain", "process.drain", "_sweep",
        (("""        lane.halt(paused=False)
    runtime""", """        lane.gate.lane = None
    runtime"""),
         ("    runtime.taking.repair()\n", """    for lane in lanes:
        lane.halt(paused=False)
    runtime.taking.repair()
"""),),
    ),
    "accepted-twice": Mutant(
        ONCE, "hand-over", "moves.admission", "Admission.enqueue",
        (("hand) if new else made", "hand) if made.outcome is NOT_ACCEPTED else made"),),
    ),
    "token-dropped-early": Mutant(
        ONCE, "cancel", "workers.attempt", "execute_plain",
        (("    if tokens.cancels:  # now", "    if not tokens:  # now"),
         ("    pending, ended, number = timings.durations", """    if tokens.cancels:
        tokens.cancels.discard(call)
    pending, ended, number = timings.durations"""),),
    ),
    "told-twice": Mutant(
        ONCE, "drain", "process.drain", "drain _await_other",
        (("        while not stage.told:", "        while stage.report is None:"),
         ("        return stage.told or not", "        return stage.report is not None or not"),),
    ),
}  # fmt: skip
