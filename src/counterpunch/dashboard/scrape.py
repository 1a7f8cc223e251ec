"""The metrics of several processes as one text: each sample says of which process it is."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["together"]


def together(texts: Iterable[tuple[str, str]]) -> str:
    """One text for Prometheus; each of its families once, with the samples of all.

    Args:
        texts: What each process is called in the label ``process``, and its own text.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    for process, text in texts:
        heads: list[str] = []
        samples: list[str] = []
        for line in text.split("\n"):  # a class's name may have what else ends a line
            if line.startswith("# HELP "):
                heads, samples = families.setdefault(line.split(" ", 3)[2], ([], []))
                if not heads:
                    heads.append(line)
            elif line.startswith("# TYPE "):
                if len(heads) < 2:
                    heads.append(line)
            elif line:
                samples.append(_labelled(line, process))
    return "".join("\n".join([*heads, *samples]) + "\n" for heads, samples in families.values())


def _labelled(sample: str, process: str) -> str:
    name, space, rest = sample.partition("{")
    if space and " " not in name:
        return f'{name}{{process="{process}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{process="{process}"}} {value}'
