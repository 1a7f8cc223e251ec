"""The house stays as it is drawn: floors, circles, who writes what, sizes, and the port.

A test that fails here says where the code belongs. Below them each rule is proved on a small
made-up house that breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import architecture as rules
import pytest

import counterpunch

Rule = Callable[..., list[str]]

HOME = Path(counterpunch.__file__).parent
SOURCES = {
    path.relative_to(HOME).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(HOME.rglob("*.py"))
}

#: Write a job's state outside of ``core/moves``, and why.
WRITE_STATE = {
    "core/process/express.py": "the hot enqueue: 0.6 against 3.7 microseconds",
    "core/workers/attempt.py": "the hot attempt: 1.3 against 2.4 microseconds; and its start",
    "core/values/record.py": "fills a record that nobody has yet",
    "backends/_remote.py": "another thing: what an engine says of a job elsewhere",
}

#: Files that may be over the limit, with their lines: none.
KNOWN_LONG: dict[str, int] = {}

#: Nobody: what the rings need of the places and the workers is in the port.
PAST_THE_PORT: set[tuple[str, str]] = set()

#: Private names of other projects for which they have no public one, each behind a look whether
#: it is there.
OTHERS_PRIVATE = {
    ("backends/celery.py", "_pool"),  # is a connection to the broker open at all?
    ("backends/celery.py", "_producer_pool"),  # the same
    ("integrations/sigterm.py", "_get_running_loop"),  # of asyncio, from a signal handler
    ("integrations/sqlalchemy.py", "_close_state"),  # is the session closed for good?
}

#: Private names of other objects inside the core; the aim was under 40.
PRIVATE_IN_CORE = 12


def test_each_floor_imports_only_from_those_below() -> None:
    """values, places, workers, moves, process: and the core imports no ring."""
    assert rules.arrows_up(SOURCES) == []


def test_no_module_waits_for_itself() -> None:
    """In the whole package, whatever kind of import."""
    assert rules.circles(SOURCES) == []


def test_only_moves_write_the_state_of_a_job() -> None:
    """And the named exceptions."""
    assert rules.writers_of_state(SOURCES, WRITE_STATE) == []


def test_only_stage_enter_changes_the_phase() -> None:
    """Of a process."""
    assert rules.writers_of_phase(SOURCES) == []


def test_no_file_is_too_long() -> None:
    """Three hundred lines."""
    assert rules.long_files(SOURCES, KNOWN_LONG) == []


def test_rings_import_only_the_port_and_the_words() -> None:
    """And what ``PAST_THE_PORT`` names."""
    assert rules.past_the_port(SOURCES, PAST_THE_PORT) == []


def test_only_places_go_through_what_others_change() -> None:
    """One step on one build is none on the other: ``core/places/steps.py`` has both."""
    assert rules.steps_outside(SOURCES) == []


def test_rings_touch_nothing_private_of_others() -> None:
    """Nor of other projects, but for what ``OTHERS_PRIVATE`` names."""
    assert rules.private_in_rings(SOURCES, OTHERS_PRIVATE) == []


def test_the_core_touches_little_that_is_private() -> None:
    """Records and lanes have public slots."""
    assert rules.private_in_core(SOURCES, PRIVATE_IN_CORE) == []


def test_the_runtime_is_composed_and_decides_nothing() -> None:
    """No base class, no branch but for the default of an argument."""
    assert rules.decisions(SOURCES) == []


def test_the_exceptions_are_still_needed() -> None:
    """Each names a file that is there and does what it is excused for."""
    writers = {message.partition(":")[0] for message in rules.writers_of_state(SOURCES)}
    assert writers == WRITE_STATE.keys()
    looks = {
        (path, target)
        for path in {path for path, _ in PAST_THE_PORT} & SOURCES.keys()
        for target, _ in rules.imports(SOURCES, path)
    }
    assert looks >= PAST_THE_PORT


# Each rule, proved: what it is handed is a house with one fault.


def one(messages: list[str]) -> str:
    """The only message."""
    assert len(messages) == 1, messages
    return messages[0]


UP = {"core/values/job.py": "", "core/moves/end.py": ""}


@pytest.mark.parametrize(
    "text",
    [
        "from ..moves.end import end\n",
        "from ..moves import end\n",
        "from counterpunch.core.moves.end import end\n",
        "import counterpunch.core.moves.end\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..moves.end import End\n",
        "def late():\n    from ..moves.end import end\n",
        "from importlib import import_module\nimport_module('counterpunch.core.moves.end')\n",
    ],
    ids=["name", "module", "absolute", "import", "type", "late", "import_module"],
)
def test_an_arrow_up_is_found(text: str) -> None:
    """However it is written."""
    message = one(rules.arrows_up({**UP, "core/values/job.py": text}))
    assert message.startswith(f"core/values/job.py:{text.count(chr(10))} imports core/moves/end.py")
    assert "Protocol" in message


def test_an_arrow_down_is_none() -> None:
    """From a floor to itself and to those below."""
    text = "from ..values.job import Job\nfrom .other import more\n"
    assert rules.arrows_up({**UP, "core/moves/end.py": text, "core/moves/other.py": ""}) == []


def test_the_core_that_imports_a_ring_is_found() -> None:
    """The message says how a ring hands something in."""
    house = {"core/process/stop.py": "from ...observe import dump\n", "observe/dump.py": ""}
    message = one(rules.arrows_up(house))
    assert "core/process/stop.py:1 imports observe/dump.py" in message
    assert "core/values" in message


def test_a_floor_that_asks_the_port_is_found() -> None:
    """The port is for the rings, and would close a circle."""
    house = {"core/moves/end.py": "from ..port import Handle\n", "core/port.py": ""}
    assert "for those outside" in one(rules.arrows_up(house))


def test_a_sixth_floor_is_found() -> None:
    """A folder that the map does not have."""
    house = {"core/tools/a.py": "from ..values.b import c\n", "core/values/b.py": ""}
    assert "core/tools is no floor" in one(rules.arrows_up(house))


def test_a_circle_is_found_and_its_way_told() -> None:
    """One import of it is late, one for types only."""
    house = {
        "a.py": "from .b import x\n",
        "b.py": "def f():\n    from . import c\n",
        "c.py": "if TYPE_CHECKING:\n    from .a import y\n",
        "d.py": "from .a import y\n",
    }
    message = one(rules.circles(house))
    assert message.startswith("a.py -> b.py -> c.py -> a.py")
    assert "below both" in message


def test_a_module_beside_another_is_no_import_of_the_package() -> None:
    """``from . import b`` asks for b; ``from . import name`` for what the package itself has."""
    package = {"p/__init__.py": "from .a import x\n", "p/b.py": ""}
    assert rules.circles({**package, "p/a.py": "from . import b\n"}) == []
    assert "p/__init__.py -> p/a.py" in one(
        rules.circles({**package, "p/a.py": "from . import version\n"})
    )


@pytest.mark.parametrize(
    "text",
    [
        "call.state = QUEUED",
        "call._state = QUEUED",
        "self.call.state: object = QUEUED",
        "call.state, other = QUEUED, None",
        "del call.state",
        "setattr(call, 'state', QUEUED)",
        "object.__setattr__(call, 'state', QUEUED)",
    ],
)
def test_who_else_writes_a_state_is_found(text: str) -> None:
    """However it is written, in a ring or in the core."""
    for path in ("core/workers/pool.py", "observe/dump.py"):
        message = one(rules.writers_of_state({path: text}))
        assert f"{path}:1 writes" in message
        assert "a part in core/moves" in message


def test_moves_and_the_excused_may_write_a_state() -> None:
    """And everybody may read one."""
    house = {
        "core/moves/end.py": "call.state = FAILED",
        "core/process/express.py": "call.state = QUEUED",
        "observe/dump.py": "print(call.state)",
    }
    assert rules.writers_of_state(house, {"core/process/express.py"}) == []


def test_who_else_writes_the_phase_is_found() -> None:
    """Elsewhere, and elsewhere in its own class."""
    text = "class Stage:\n    def enter(self): self.phase = 1\n    def back(self): self.phase = 0\n"
    house = {"core/values/stage.py": text}
    assert "core/values/stage.py:3" in one(rules.writers_of_phase(house))
    message = one(rules.writers_of_phase({"core/process/drain.py": "stage.phase = DRAINING"}))
    assert "stage.enter" in message


def test_a_long_file_is_found() -> None:
    """One of the known ones once it grows."""
    lines = "x = 1\n" * 301
    message = one(rules.long_files({"a.py": lines, "b.py": "x = 1\n" * 300}, {}))
    assert message.startswith("a.py has 301 lines, 300 are allowed")
    assert rules.long_files({"a.py": lines}, {"a.py": 301}) == []
    assert "a file of its own" in one(rules.long_files({"a.py": lines + lines}, {"a.py": 301}))


def test_who_goes_past_the_port_is_found() -> None:
    """Words and port are free, the rest is not."""
    house = {
        "observe/dump.py": "from ..core.port import a\nfrom ..core.values.status import b\n"
        "from ..core.moves.end import c\n",
        "core/port.py": "",
        "core/values/status.py": "",
        "core/moves/end.py": "",
    }
    message = one(rules.past_the_port(house))
    assert message.startswith("observe/dump.py:3 imports core/moves/end.py")
    assert "Export from core/port.py" in message
    assert rules.past_the_port(house, {("observe/dump.py", "core/moves/end.py")}) == []


@pytest.mark.parametrize(
    "text",
    ["lane._queue", "self.lane._queue", "lane._queue = 1", "getattr(lane, '_queue', None)"],
)
def test_a_ring_that_touches_something_private_is_found(text: str) -> None:
    """Its own names, and what only looks private, are free."""
    message = one(rules.private_in_rings({"observe/dump.py": text}))
    assert "observe/dump.py:1 touches" in message
    assert "public name" in message


def test_what_a_ring_has_made_itself_it_may_touch() -> None:
    """In the file that made it; and what a named tuple documents."""
    text = (
        "class Batch:\n"
        "    def __init__(self): self._members = []\n"
        "    def _add(self): super()._add(); self._members.append(1)\n"
        "def join(one, two): one._members += two._members; one._add(); counts._replace(a=1)\n"
    )
    assert rules.private_in_rings({"batch.py": text}) == []


def test_too_much_that_is_private_in_the_core_is_counted() -> None:
    """All of it is listed, so that one finds the new one."""
    house = {"core/moves/end.py": "call._state\nself._mine\ncall._due\n", "observe/a.py": "b._c"}
    assert rules.private_in_core(house, 2) == []
    message = one(rules.private_in_core(house, 1))
    assert re.search(r"2 private .* 1 .*end.py:1 call._state; .*end.py:3 call._due", message)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class Runtime(Base): pass", "not inherited"),
        ("class Runtime(metaclass=Meta): pass", "not inherited"),
        ("class Runtime:\n def end(self, call):\n  if call.state: pass", "core/moves"),
        ("class Runtime:\n def end(self, call): return 1 if call.state else 2", "core/moves"),
        ("class Runtime:\n def end(self):\n  for call in self.calls: pass", "core/moves"),
        ("class Other: pass", "0 classes named Runtime"),
    ],
)
def test_a_runtime_that_inherits_or_decides_is_found(text: str, says: str) -> None:
    """A default for an argument is no decision."""
    assert says in one(rules.decisions({"core/process/runtime.py": text}))
    plain = "class Runtime:\n def __init__(self, a=None): self.a = Clock() if a is None else a"
    assert rules.decisions({"core/process/runtime.py": plain}) == []


@pytest.mark.parametrize(
    ("path", "line", "rule"),
    [
        ("core/values/status.py", "from ..moves.endings import Endings", rules.arrows_up),
        ("core/values/times.py", "from .handle import Handle", rules.circles),
        ("core/workers/pool.py", "call.state = None", rules.writers_of_state),
        ("core/process/drain.py", "runtime.stage.phase = None", rules.writers_of_phase),
        ("core/port.py", "#\n" * 300, rules.long_files),
        ("batch.py", "from .core.places.lane import Lane", rules.past_the_port),
        ("batch.py", "lane._pools", rules.private_in_rings),
        ("core/places/site.py", "lane._pools\n" * 20, rules.private_in_core),
    ],
)
def test_the_rule_holds_the_real_house(path: str, line: str, rule: Rule) -> None:
    """A line that breaks it, added to a file that is there, is what it finds."""
    given = {
        rules.writers_of_state: WRITE_STATE,
        rules.long_files: KNOWN_LONG,
        rules.past_the_port: PAST_THE_PORT,
        rules.private_in_rings: OTHERS_PRIVATE,
        rules.private_in_core: PRIVATE_IN_CORE,
    }
    more = [given[rule]] if rule in given else []
    broken = {**SOURCES, path: f"{SOURCES[path]}\n{line}\n"}
    assert path in one([each for each in rule(broken, *more) if each not in rule(SOURCES, *more)])


@pytest.mark.parametrize(
    "text",
    [
        "for call in lane.running: pass",
        "found = [call for call in lane.running]",
        "found = [*lane.running, 1]",
        "found = list(lane.running)",
        "found = lane.running.copy()",
        "found = any(map(str, lane.running))",
        "for call in lane.running.values(): pass",
        "def each(): yield from lane.running",
    ],
)
def test_going_through_what_others_change_is_found(text: str) -> None:
    """Outside of the places, however it is written."""
    message = one(rules.steps_outside({"core/moves/end.py": text}))
    assert message.startswith("core/moves/end.py:1 goes through lane.running")
    assert rules.steps_outside({"core/places/end.py": text}) == []
    assert rules.steps_outside({"observe/a.py": text.replace("lane.running", "entries(x)")}) == []
