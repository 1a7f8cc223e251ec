"""The rules of the house, read from the syntax trees of its source: nothing is imported or run.

Each rule takes the source of a package as ``{path: text}``, paths from the package's own folder,
so that a test can hand in a small house that breaks it. It returns one message for each breach:
where it is, and where that code belongs.

The map that the rules hold is the docstring of ``core/__init__.py``.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator, Mapping

Sources = Mapping[str, str]

PACKAGE = "counterpunch"
#: Of the core, the lowest first: each imports only from itself and those before it.
FLOORS = ("values", "places", "workers", "moves", "process")
#: A file has at most so many lines.
LONGEST = 300


# Imports


@functools.cache
def _nodes(text: str) -> tuple[tuple[str, ast.AST], ...]:
    """Every node of a file, each with the class and function that it is in."""
    return tuple(_within(ast.parse(text)))


def _within(node: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        yield inside, child
        name = inside
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{inside}.{child.name}" if inside else child.name
        yield from _within(child, name)


@functools.cache
def _importing(text: str) -> tuple[ast.AST, ...]:
    kinds = (ast.Import, ast.ImportFrom)
    return tuple(
        node
        for _, node in _nodes(text)
        if isinstance(node, kinds) or _called(node) == "import_module"
    )


def imports(sources: Sources, path: str) -> Iterator[tuple[str, int]]:
    """The package's own modules that one of them imports, each with the line: at its top, in a
    function, for a type checker only, or by ``import_module("a literal name")``."""
    for node in _importing(sources[path]):
        for target in _targets(sources, path, node):
            if target != path:
                yield target, getattr(node, "lineno", 0)


def _targets(sources: Sources, path: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        if node.level:
            here = path.split("/")[:-1]
            base = here[: len(here) - node.level + 1]
        elif (node.module or "").partition(".")[0] == PACKAGE:
            base = []
        else:
            return
        module = (node.module or "").split(".")[0 if node.level else 1 :]
        base = [*base, *(part for part in module if part)]
        for alias in node.names:  # a module of the package, or a name in the package itself
            yield from _file(sources, [*base, alias.name]) or _file(sources, base)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield from _absolute(sources, alias.name)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        yield from _absolute(sources, str(node.args[0].value))


def _absolute(sources: Sources, name: str) -> list[str]:
    package, *parts = name.split(".")
    return _file(sources, parts) if package == PACKAGE else []


def _file(sources: Sources, parts: list[str]) -> list[str]:
    stem = "/".join(parts)
    names = (f"{stem}.py", f"{stem}/__init__.py") if stem else ("__init__.py",)
    return [name for name in names if name in sources]


def _called(node: ast.AST) -> str:
    """The name of what is called here, without what it is an attribute of."""
    function = getattr(node, "func", None)
    return getattr(function, "id", None) or getattr(function, "attr", "")


# Where a file stands


def in_core(path: str) -> bool:
    return path.startswith("core/")


def floor_of(path: str) -> str | None:
    """The floor of the core that a file is on; None for a ring, the port and the map."""
    parts = path.split("/")
    return parts[1] if parts[0] == "core" and len(parts) > 2 else None


# The rules


def arrows_up(sources: Sources) -> list[str]:
    """Each floor imports only from itself and those before it; the core imports no ring."""
    found = []
    for path in sorted(filter(in_core, sources)):
        floor = floor_of(path)
        for target, line in imports(sources, path):
            where = f"{path}:{line} imports {target}"
            if not in_core(target):
                found.append(
                    f"{where}, but the core imports no ring. What both need belongs in "
                    f"core/values; else the ring hands it in (as values.commit.finders, "
                    f"process.lifecycle.on_start and installed.watch are filled)."
                )
            elif floor is not None and floor_of(target) is None:
                found.append(
                    f"{where}: the port and the map are for those outside of the core. Import "
                    f"from the module of the floor that has it."
                )
            elif floor is not None and floor not in FLOORS:
                found.append(f"{where}: core/{floor} is no floor; they are {', '.join(FLOORS)}.")
            elif floor is not None and _height(target) > _height(path):
                below = ", ".join(FLOORS[: _height(path)]) or "nothing else of the core"
                found.append(
                    f"{where}: {floor} may import {below}. What decides a move belongs in "
                    f"core/moves; what only describes a job, in core/values. If {path} has to "
                    f"call back, declare the few functions that it needs as a Protocol there "
                    f"(as places.lane.Moves and workers.crew.Crew) and have them handed in."
                )
    return found


def _height(path: str) -> int:
    floor = floor_of(path)
    return FLOORS.index(floor) if floor in FLOORS else len(FLOORS)


def circles(sources: Sources) -> list[str]:
    """No module waits for itself, whatever kind of import leads there."""
    left = {path: {target for target, _ in imports(sources, path)} for path in sources}
    while leaves := [path for path, targets in left.items() if not targets & left.keys()]:
        for path in leaves:
            del left[path]
    if not left:
        return []
    way = [min(left)]
    while way.count(way[-1]) == 1:  # each that is left imports another one that is
        way.append(min(left[way[-1]] & left.keys()))
    circle = " -> ".join(way[way.index(way[-1]) :])
    return [
        f"{circle}: a circle of imports (late and TYPE_CHECKING ones count). What both sides need "
        f"belongs in a module below both; who is asked back is declared as a Protocol in the "
        f"lower file, or hands a function down."
    ]


def writers_of_state(sources: Sources, elsewhere: Collection[str] = ()) -> list[str]:
    """A job's state is written in ``core/moves``, and in the files of ``elsewhere``."""
    return [
        f"{path}:{line} writes {what}: only core/moves changes a job's state. Have that move made "
        f"by a part in core/moves (endings ends a job, queueing queues it, waiting lets it wait) "
        f"and call it; core/__init__.py names the two hot places that may."
        for path in sorted(sources)
        if not path.startswith("core/moves/") and path not in elsewhere
        for line, what, _ in _writes(sources, path, ("state", "_state"))
    ]


def writers_of_phase(sources: Sources) -> list[str]:
    """The phase of a process is set by ``Stage.enter``; by its constructor for the first time."""
    home = "core/values/stage.py"
    may = {(home, "Stage.enter"), (home, "Stage.__init__")}
    return [
        f"{path}:{line} writes {what}: only Stage.enter in {home} changes the phase of a process, "
        f"by its table. Call stage.enter(...) and look at what it returns."
        for path in sorted(sources)
        for line, what, function in _writes(sources, path, ("phase", "_phase"))
        if (path, function) not in may
    ]


@functools.cache
def _written(text: str) -> tuple[tuple[str, ast.Attribute | ast.Call, object], ...]:
    """Every attribute that a file sets or deletes, or seems to: function, node, and name."""
    found: list[tuple[str, ast.Attribute | ast.Call, object]] = []
    for function, node in _nodes(text):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            found.append((function, node, node.attr))
        elif isinstance(node, ast.Call) and _called(node).strip("_") in ("setattr", "delattr"):
            found += [(function, node, _constant(arg)) for arg in node.args[:2]]
    return tuple(found)


def _writes(sources: Sources, path: str, names: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
    """Where an attribute of one of the names is set or deleted: line, text, and function."""
    for function, node, name in _written(sources[path]):
        if name in names:
            yield node.lineno, ast.unparse(node), function


def _constant(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def long_files(sources: Sources, known: Mapping[str, int]) -> list[str]:
    """No file is longer than ``LONGEST``; those that are ``known`` to be grow no longer."""
    found = []
    for path, text in sorted(sources.items()):
        lines, most = len(text.splitlines()), max(LONGEST, known.get(path, 0))
        if lines > most:
            found.append(
                f"{path} has {lines} lines, {most} are allowed: one noun per file. Take the second "
                f"noun out of it into a file of its own beside it, or what it shares with others "
                f"into the floor below."
            )
    return found


def past_the_port(sources: Sources, known: Collection[tuple[str, str]] = ()) -> list[str]:
    """Rings import of the core only its port and its words; ``known`` has pairs that also do."""
    return [
        f"{path}:{line} imports {target}: around the core, only core.port and the words in "
        f"core.values are imported. Export from core/port.py what is needed, with a line in its "
        f"docstring, and import it from there."
        for path in sorted(sources)
        if not in_core(path)
        for target, line in imports(sources, path)
        if in_core(target)
        and target != "core/port.py"
        and floor_of(target) != "values"
        and (path, target) not in known
    ]


#: Containers that other threads change while somebody looks.
SHARED = {
    "announced", "away", "blocked", "cancels", "deferred", "drains", "failed", "fresh",
    "handles", "hold", "inbox", "kept", "lanes", "left", "lost", "overdue", "overruns", "owed",
    "pools", "recent", "retrying", "running", "runs", "scheduled", "sleepers", "table", "tickets",
    "workers", "_asleep", "_followers", "_inner", "_loops", "_pools",
}  # fmt: skip
#: What they have is replaced, never changed.
REPLACED = {"config", "report", "result"}
_ITERATE = {
    "all", "any", "chain", "deque", "dict", "enumerate", "extend", "filter", "from_iterable",
    "fromkeys", "frozenset", "iter", "list", "map", "max", "min", "set", "sorted", "sum", "tuple",
    "update", "zip",
}  # fmt: skip


def steps_outside(sources: Sources) -> list[str]:
    """Only ``places`` iterates or copies what other threads change; the others ask ``entries``."""
    return [
        f"{path}:{line} goes through {text}, which other threads change meanwhile: ask "
        f"entries({text}) of core/places/steps.py, which says what is one step and what is not; "
        f"rings have it from core/port.py."
        for path in sorted(sources)
        if floor_of(path) != "places"
        for _, node in _nodes(sources[path])
        for line, text in _gone_through(node)
    ]


def _gone_through(node: ast.AST) -> Iterator[tuple[int, str]]:
    """What a statement or an expression takes the entries out of, one after the other."""
    whats: list[ast.expr] = []
    if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        whats = [node.iter]
    elif isinstance(node, (ast.Starred, ast.YieldFrom)):
        whats = [node.value]
    elif isinstance(node, ast.Call) and _called(node) == "copy":
        whats = [node.func.value] if isinstance(node.func, ast.Attribute) else []
    elif isinstance(node, ast.Call) and _called(node) in _ITERATE:
        whats = node.args
    for what in whats:
        whose = what
        if isinstance(what, ast.Call) and _called(what) in ("values", "items", "keys"):
            whose = what.func.value if isinstance(what.func, ast.Attribute) else what
        if (
            isinstance(whose, ast.Attribute)
            and whose.attr in SHARED
            and getattr(whose.value, "id", None) not in REPLACED
        ):
            yield what.lineno, ast.unparse(what)


#: Private by their look only: documented by whoever made them.
DOCUMENTED = (
    "_asdict",
    "_current_frames",
    "_exit",
    "_fields",
    "_get_current_object",
    "_is_gil_enabled",
    "_replace",
)


def private_in_rings(sources: Sources, known: Collection[tuple[str, str]] = ()) -> list[str]:
    """Rings touch no private name that another file made; ``known`` has pairs that do."""
    found = []
    for path in sorted(sources):
        if in_core(path):
            continue
        own = _made_here(sources[path])
        for line, name, text in _private(sources[path]):
            if name not in own and (path, name) not in known:
                found.append(
                    f"{path}:{line} touches {text}: private to whoever made it. If it is the "
                    f"core's, give it a public name there and let core/port.py hand it out."
                )
    return found


def private_in_core(sources: Sources, most: int) -> list[str]:
    """Inside the core at most so many private names of other objects are touched."""
    found = [
        f"{path}:{line} {text}"
        for path in sorted(filter(in_core, sources))
        for line, _, text in _private(sources[path])
    ]
    if len(found) <= most:
        return []
    return [
        f"{len(found)} private names of other objects are touched in the core, {most} are allowed. "
        f"What two files use has a public name, in a slot of its class (a job's are in "
        f"core/values/record.py): {'; '.join(found)}"
    ]


def _private(text: str) -> Iterator[tuple[int, str, str]]:
    """Where a private attribute of something other than ``self`` is used: line, name, text."""
    for _, node in _nodes(text):
        if isinstance(node, ast.Attribute):
            whose, name = node.value, node.attr
        elif isinstance(node, ast.Call) and _called(node) in ("getattr", "setattr", "delattr"):
            if len(node.args) < 2 or not isinstance(node.args[1], ast.Constant):
                continue
            whose, name = node.args[0], str(node.args[1].value)
        else:
            continue
        own = isinstance(whose, ast.Name) and whose.id in ("self", "cls")
        above = isinstance(whose, ast.Call) and _called(whose) == "super"
        private = name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED
        if private and not own and not above:
            yield node.lineno, name, ast.unparse(node)


def _made_here(text: str) -> set[str]:
    """The private names that the classes and functions of a file make themselves."""
    made = set()
    for _, node in _nodes(text):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            made.add(node.name)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and getattr(node.value, "id", None) in ("self", "cls")
        ):
            made.add(node.attr)
    return made


def decisions(sources: Sources, path: str = "core/process/runtime.py") -> list[str]:
    """``Runtime`` has no base class and no branch: it makes parts and hands them on."""
    classes = [
        node
        for _, node in _nodes(sources[path])
        if isinstance(node, ast.ClassDef) and node.name == "Runtime"
    ]
    if len(classes) != 1:
        return [f"{path} has {len(classes)} classes named Runtime: the composition root is one."]
    runtime = classes[0]
    found = []
    if runtime.bases or runtime.keywords:
        found.append(
            f"{path}:{runtime.lineno} Runtime has a base class: it is composed, not inherited. "
            f"Make the other a part of its own and hand it what it needs in __init__."
        )
    for node in ast.walk(runtime):
        if isinstance(node, _BRANCHES) and not _asks_for_none(node):
            found.append(
                f"{path}:{node.lineno} Runtime decides: {ast.unparse(node).splitlines()[0]} It "
                f"makes the parts and decides nothing: what depends on a job belongs in "
                f"core/moves, on the phase of the process in core/process/drain.py or lifecycle.py."
            )
    return found


_BRANCHES = (ast.If, ast.IfExp, ast.While, ast.For, ast.AsyncFor, ast.Match, ast.Try, ast.BoolOp)


def _asks_for_none(node: ast.AST) -> bool:
    """A default in place of an argument that is None."""
    test = node.test if isinstance(node, ast.IfExp) else None
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value is None
    )
