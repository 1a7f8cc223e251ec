"""Where a simulated thread may be interrupted: before every step that another one could notice.

A step is an operation of a container, a call, or the reading or writing of an attribute that is
ever written after its object was made. Between two of them a thread does nothing that anybody else
can see, so to go on with another one there would show nothing new. Nothing is patched: the code of
the protocol runs as it is, watched by ``sys.monitoring``, or on 3.11 by ``sys.settrace``.
"""

from __future__ import annotations

import dis
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

__all__ = ["PROTOCOL", "Points", "functions"]

#: What is watched, below ``counterpunch.core``.
PROTOCOL = (
    "places.backlog", "places.keys", "places.lane", "places.parking", "places.permits",
    "places.scheduler", "places.tokens", "places.watchers", "workers.attempt", "workers.ceiling",
    "workers.pool", "workers.registry", "workers.whereabouts", "moves.admission",
    "moves.duplicates", "moves.endings", "moves.performing", "moves.queueing", "moves.room",
    "moves.steering", "moves.taking", "moves.waiting", "process.drain", "process.express",
    "process.idleness", "process.installed",
)  # fmt: skip

#: Opcodes that are such a step, whatever they work on, by how their names begin.
STEPS = (
    "CALL", "CONTAINS_OP", "DELETE_SUBSCR", "DICT_UPDATE", "FOR_ITER", "LIST_EXTEND", "SET_UPDATE",
    "STORE_ATTR", "STORE_SUBSCR", "BINARY_SUBSCR", "TO_BOOL",
)  # fmt: skip
#: Up to 3.12 a look whether a container is empty is part of the jump; not after these.
JUMPS = ("POP_JUMP", "JUMP_IF", "UNARY_NOT")
DECIDED = ("COMPARE_OP", "CONTAINS_OP", "IS_OP", "LOAD_CONST", "TO_BOOL")


class Points:
    """The points of the protocol, and what is called at each.

    Args:
        reached: Called with the code and the offset of a step that a watched thread is about to
            take, once ``left`` has been counted down to zero.
    """

    def __init__(self, reached: Callable[[CodeType, int], object]) -> None:
        #: So many steps are taken until it is to be decided who goes on.
        self.left = 0
        codes = [code for function in _protocol() for code in _nested(function.__code__)]
        self._codes = [code for code in codes if code.co_name != "__init__"]
        written = {
            one.argval
            for code in self._codes
            for one in dis.get_instructions(code)
            if one.opname == "STORE_ATTR"
        }
        #: By the ``id`` of a code object, which takes long to hash.
        self._offsets = {id(code): frozenset(_steps(code, written)) for code in self._codes}
        self._reached = reached
        self._tool: int | None = None

    def __len__(self) -> int:
        return sum(map(len, self._offsets.values()))

    def watch(self) -> None:
        """From now on. On 3.11 each thread that is to be watched calls ``trace_this_thread``."""
        if sys.version_info < (3, 12):
            return
        monitoring = sys.monitoring
        self._tool = next(tool for tool in (3, 4) if monitoring.get_tool(tool) is None)
        monitoring.use_tool_id(self._tool, "simulation")
        instruction = monitoring.events.INSTRUCTION
        offsets, reached, disable = self._offsets, self._reached, monitoring.DISABLE

        def at(code: CodeType, offset: int) -> Any:
            if offset not in offsets[id(code)]:
                return disable
            self.left -= 1
            if self.left <= 0:
                reached(code, offset)
            return None

        monitoring.register_callback(self._tool, instruction, at)
        for code in self._codes:
            monitoring.set_local_events(self._tool, code, instruction)

    def unwatch(self) -> None:
        if sys.version_info < (3, 12) or self._tool is None:
            return
        for code in self._codes:
            sys.monitoring.set_local_events(self._tool, code, 0)
        sys.monitoring.free_tool_id(self._tool)
        self._tool = None

    def trace_this_thread(self) -> None:
        """Nothing to be done where ``sys.monitoring`` watches."""
        if sys.version_info >= (3, 12):
            return
        offsets, reached = self._offsets, self._reached

        def step(frame: FrameType, event: str, _: object) -> Any:
            if event == "opcode" and frame.f_lasti in offsets[id(frame.f_code)]:
                self.left -= 1
                if self.left <= 0:
                    reached(frame.f_code, frame.f_lasti)
            return step

        def called(frame: FrameType, event: str, _: object) -> Any:
            if id(frame.f_code) not in offsets:
                return None
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
            return step

        sys.settrace(called)


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """Every function of a module, those of its classes among them."""
    for value in vars(module).values():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        members: Iterable[Any] = vars(value).values() if isinstance(value, type) else (value,)
        for member in members:
            for one in (member, getattr(member, "__func__", None), getattr(member, "fget", None)):
                if isinstance(one, FunctionType):
                    yield one


def _protocol() -> Iterator[FunctionType]:
    for name in PROTOCOL:
        yield from functions(importlib.import_module(f"counterpunch.core.{name}"))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _nested(const)


def _steps(code: CodeType, written: set[str]) -> Iterator[int]:
    """The offsets of the steps in a code object."""
    before = ""
    for one in dis.get_instructions(code):
        name = one.opname
        if (
            (name.startswith(STEPS) and not name.startswith("CALL_INTRINSIC"))
            or (name == "LOAD_ATTR" and one.argval in written)
            or (name == "BINARY_OP" and (one.argrepr.endswith("=") or "[" in one.argrepr))
            or (name.startswith(JUMPS) and before not in DECIDED and "NONE" not in name)
        ):
            yield one.offset
        if name not in ("CACHE", "EXTENDED_ARG", "COPY", "SWAP", "NOT_TAKEN"):
            before = name
