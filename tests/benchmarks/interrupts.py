"""Ctrl-C everywhere: does every call keep what is promised, wherever an exception comes out of it?

``python tests/benchmarks/interrupts.py [--quick] [--calls TEXT] [--second] [--signals [SECONDS]]``

The sweep: for each call of the public API it raises at every place where CPython delivers a
signal inside our code, checks everything that is promised, and prints a table: call, places,
broken. Each place is tried in a process of its own, forked before the library has done
anything; ``interrupt_instrument`` says what a place is, ``interrupt_scenes`` which calls there
are, and ``interrupt_checks`` what is checked and what the words in the table mean.

``--second`` raises once more, at every place of what the first exception set off. ``--signals``
is the same at random: real SIGALRMs, a thousand in a second, whose handler raises in one of ten
cases, over a mix of all calls. ``--control`` takes one guard out (what an interruption has left is
not carried out): then rows must be broken, or the sweep sees nothing.

``--kind MemoryError`` and ``RecursionError`` are raised at the same places. They are errors like
those of a hook or a callback, so it counts as reaching somebody that they are logged.

Exit status 0 if nothing is broken. POSIX only.
"""

from __future__ import annotations

import argparse
import atexit
import faulthandler
import importlib
import importlib.util
import json
import logging
import os
import platform
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if os.environ.get("PYTHONHASHSEED") != "0" and __name__ == "__main__":
    os.environ["PYTHONHASHSEED"] = "0"  # sets in the same order in every run
    os.execv(sys.executable, [sys.executable, *sys.argv])

if importlib.util.find_spec("counterpunch") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

#: What the child that leaves through the exit does last, after every callback of the library.
_last: list[Callable[[], object]] = []
atexit.register(lambda: [act() for act in _last])

import interrupt_checks  # noqa: E402
import interrupt_stops  # noqa: E402, F401  (it adds its scenes to the others)
import interrupt_storm  # noqa: E402
from interrupt_instrument import Instrument, at_rest  # noqa: E402
from interrupt_scenes import SCENES, Scene  # noqa: E402
from interrupt_stage import Stage  # noqa: E402

import counterpunch  # noqa: E402
from counterpunch.core.moves.taking import Taking  # noqa: E402

OURS = str(Path(counterpunch.__file__).parent) + os.sep
#: Seconds after which a child is killed.
PATIENCE = 30.0
#: A number of a place that is never reached.
NEVER = 1 << 40

KINDS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (KeyboardInterrupt, SystemExit, RecursionError, MemoryError)
}

Numbers = tuple[int, ...]


class Outcome(NamedTuple):
    """What a child found. ``total``: places until the call ended; ``raised``: how often it was
    interrupted, ``places``: where; ``modules``: what was imported on demand."""

    total: int = 0
    raised: int = 0
    places: Sequence[str] = ()
    words: Sequence[str] = ()
    seen: Sequence[str] = ()
    modules: Sequence[str] = ()


def main() -> int:
    given = _arguments()
    faulthandler.enable()
    print(OURS, flush=True)
    if given.signals is not None:
        return interrupt_storm.run(OURS, given.signals, given.seed, KINDS[given.kind], given.deep)
    wanted = [one.lower() for one in given.calls.split("|")] if given.calls else [""]
    scenes = [one for one in SCENES if any(text in f"={one.name}=".lower() for text in wanted)]
    if given.second and not given.calls:
        scenes = [one for one in scenes if one.stop or one.name.startswith("Batch: exit")]
    title = f"{platform.python_implementation()} {platform.python_version()}, {given.kind}"
    print(f"{title:49} places  tried  broken  what", flush=True)
    rows = {one.name: _row(one, given) for one in scenes}
    tried = [outcome for found in rows.values() for outcome in found]
    broken = sum(1 for outcome in tried if outcome.words)
    print(f"{'in all':49} {'':6} {len(tried):6} {broken:7}")
    if given.json:
        dump = {name: [outcome._asdict() for outcome in found] for name, found in rows.items()}
        Path(given.json).write_text(json.dumps(dump, indent=1))
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--calls", metavar="TEXT", help="with it in their name; =NAME= for one; a|b"
    )
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="every N-th place")
    parser.add_argument(
        "--most", type=int, default=400, metavar="N", help="places of a call, spread; 400"
    )
    parser.add_argument("--quick", action="store_true", help="25 places of a call at most")
    parser.add_argument("--place", type=int, metavar="N", help="this place only, in full")
    parser.add_argument("--kind", choices=KINDS, default="KeyboardInterrupt")
    parser.add_argument("--deep", action="store_true", help="the standard library below us too")
    parser.add_argument(
        "--second", action="store_true", help="the stops and batches, interrupted twice"
    )
    parser.add_argument("--signals", type=float, nargs="?", const=60.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of --signals")
    parser.add_argument("--parallel", type=int, default=6, metavar="N", help="processes; 6")
    parser.add_argument("--json", metavar="FILE", help="write what was found")
    parser.add_argument("-v", "--verbose", action="store_true", help="each broken place")
    parser.add_argument("--control", action="store_true", help="without a guard: must be broken")
    given = parser.parse_args()
    if given.control:
        Taking.repair = lambda self: None  # type: ignore[method-assign]
    if given.quick:
        given.most = min(given.most, 25)
    return given


def _row(scene: Scene, given: argparse.Namespace) -> list[Outcome]:
    """Try the places of one call, and print its row."""
    if not scene.cold:
        _import(next(_outcomes(scene, [()], given)).modules)
    whole = next(_outcomes(scene, [()], given))
    chosen = [given.place] if given.place else _spread(whole.total, given.stride, given.most)
    numbers: list[Numbers] = [(number,) for number in chosen]
    if given.second:
        firsts = [(number, NEVER) for number in _spread(whole.total, given.stride, 20)]
        ends = list(_outcomes(scene, firsts, given))
        numbers = [
            (first, first + more)
            for (first, _), end in zip(firsts, ends, strict=True)
            for more in _spread(end.total - first, given.stride, max(1, given.most // 20))
        ]
    tries = list(zip(numbers, _outcomes(scene, numbers, given), strict=True))
    # A call that waits for threads has a few places more in one run than in the next.
    missed = [one for _, one in tries if one.raised < len(numbers[0]) and not one.words]
    found = [one for _, one in tries if one not in missed]
    broken = [(at, one) for at, one in tries if one.words]
    words = Counter(word for _, one in broken for word in one.words)
    what = [f"{word} {times}" for word, times in words.most_common()]
    what += [f"({len(missed)} not reached)"] if missed else []
    what += [f"(uninterrupted: {', '.join(whole.words)})"] if whole.words else []
    print(
        f"{scene.name:49} {whole.total:6} {len(found):6} {len(broken):7}  {', '.join(what)}",
        flush=True,
    )
    for at, one in broken if given.verbose or given.place else ():
        places = ", then ".join(one.places)
        print(f"    {'+'.join(map(str, at)):>9}  {places}: {', '.join(one.words)}", flush=True)
    return found


def _spread(count: int, stride: int, most: int) -> list[int]:
    """Numbers from 1 to ``count``: every ``stride``-th, and evenly fewer if that is too many."""
    numbers = range(1, count + 1, stride)
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[at * len(numbers) // most] for at in range(most)]


def _import(names: Sequence[str]) -> None:
    """What a call imports on demand is there already, so that the places are those of a call
    in a process that has run for a while."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            pass


# Child processes


def _outcomes(
    scene: Scene, tries: Sequence[Numbers], given: argparse.Namespace
) -> Iterator[Outcome]:
    """The outcome of each try, in their order; several run side by side."""
    running: dict[int, tuple[int, int, float, list[bytes]]] = {}  # by descriptor
    found: dict[int, Outcome] = {}
    begun = given_out = 0
    poll = select.poll()
    while given_out < len(tries):
        while begun < len(tries) and len(running) < given.parallel:
            pid, descriptor = _begin(scene, tries[begun], given)
            running[descriptor] = (begun, pid, time.monotonic() + PATIENCE, [])
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
            begun += 1
        for descriptor, _ in poll.poll(200):
            at, pid, _, parts = running[descriptor]
            part = os.read(descriptor, 1 << 16)
            if part:
                parts.append(part)
                continue
            poll.unregister(descriptor)
            del running[descriptor]
            os.close(descriptor)
            _, status = os.waitpid(pid, 0)
            found[at] = _outcome(b"".join(parts), os.waitstatus_to_exitcode(status))
        for at, pid, deadline, _ in running.values():
            if time.monotonic() > deadline and at not in found:
                os.kill(pid, signal.SIGKILL)
        while given_out in found:
            yield found.pop(given_out)
            given_out += 1


def _outcome(text: bytes, status: int) -> Outcome:
    if not text:
        return Outcome(words=["hang" if status == -signal.SIGKILL else f"died {status}"])
    return Outcome(**json.loads(text))


def _begin(scene: Scene, numbers: Numbers, given: argparse.Namespace) -> tuple[int, int]:
    """Fork a child that tries this; its process id, and what it writes its outcome to."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    if not given.place:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        logging.disable(logging.CRITICAL)
    faulthandler.dump_traceback_later(PATIENCE * 0.8)
    _try(scene, numbers, given, writer)
    os._exit(0)


def _try(scene: Scene, numbers: Numbers, given: argparse.Namespace, writer: int) -> None:
    """In the child. Comes back only if the scene is not the exit of the interpreter."""
    stage = Stage()
    call = scene.prepare(stage)
    at_rest()
    before = set(sys.modules)
    instrument = Instrument(OURS, numbers, KINDS[given.kind], waits=scene.waits, deep=given.deep)
    unraisable: list[Any] = []
    kept: list[Any] = []  # by the interpreter, out of the callback of a weak reference

    def hook(hint: Any) -> None:
        unraisable.append(hint.exc_value)
        if getattr(hint.object, "__module__", None) in ("_weakrefset", "weakref"):
            kept.append(hint.exc_value)

    sys.unraisablehook = hook

    def finish(words: list[str]) -> None:
        outcome = Outcome(
            instrument.count,
            len(instrument.raised),
            instrument.places,
            list(dict.fromkeys(words)),
            instrument.seen,
            sorted({*sys.modules} - before),
        )
        text = json.dumps(outcome._asdict()).encode()
        while text:
            text = text[os.write(writer, text) :]
        os._exit(0)

    start = time.monotonic()
    if scene.stop == "exit":

        def at_last() -> None:
            instrument.stop()
            took = time.monotonic() - start
            got_out = any(exc in unraisable and exc not in kept for exc in instrument.raised)
            words = ["raised"] if got_out and not instrument.entry else []
            checks = interrupt_checks.checked_stop
            finish(words + interrupt_checks.safely(lambda: checks(stage, took, leaving=True)))

        _last.append(at_last)
        instrument.__enter__()
        call()
        raise SystemExit  # through the loop of the parent, whose copy this is
    caught: BaseException | None = None
    try:
        with instrument:
            call()
    except BaseException as exc:
        caught = exc
    took = time.monotonic() - start
    if issubclass(KINDS[given.kind], Exception):
        words = []
    elif any(exc in unraisable for exc in instrument.raised):
        words = []  # in a __del__ or so: the interpreter itself kept it
    else:
        words = list(interrupt_checks.reached(instrument, caught, stage))
    if instrument.entry and stage.again is not None:
        stage.again()

    def checks() -> Iterator[str]:
        if scene.stop:
            return interrupt_checks.checked_stop(stage, took, leaving=False)
        return interrupt_checks.checked(stage)

    finish(words + interrupt_checks.safely(checks))


if __name__ == "__main__":
    sys.exit(main())
