"""What both sides know a job by: the import path of its class, and of its exceptions.

A path comes from whoever can write to the broker. So its module is the only thing that is
imported; from there it leads from class to class by what each has defined, with no attribute
that is computed; and no text shows the value of what is found on the way.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ..core.values.errors import CounterpunchError
from ..core.values.short import from_a_signal, shorten
from ..define.job_class import Job
from ..define.job_function import JobFunction

__all__ = ["find_class", "find_exception", "path_of"]


def path_of(job: type) -> str:
    """The import path of a job class, ``module:qualified.name``.

    Raises:
        CounterpunchError: If a worker could not import it.
    """
    path = f"{job.__module__}:{job.__qualname__}"
    problem = None
    if job.__module__ == "__main__":
        problem = "it is defined in __main__, which is another module in a worker"
    elif "<locals>" in job.__qualname__:
        problem = "it is defined inside a function"
    elif job.__module__ not in sys.modules:
        problem = f"there is no module {job.__module__!r}"
    else:
        try:
            found = _job_at(path, sys.modules[job.__module__])
        except (AttributeError, TypeError):
            found = None
        if found is not job:
            problem = "its name leads to something else there"
    if problem is not None:
        raise CounterpunchError(
            f"{job.__qualname__} was not enqueued: a worker cannot import {path}: {problem}. "
            f"Define it at the top level of a module"
        )
    return path


def find_class(path: str) -> type[Any]:
    """The job class of an import path, its module imported if need be.

    Raises:
        ImportError, AttributeError: If there is none; ``ImportError`` also if the module ends
            its import with ``sys.exit()``. An error of the module's own comes through.
        TypeError: If it is no job class.
    """
    module, _ = _parts(path)
    try:
        found = import_module(module)
    except Exception:
        raise
    except BaseException as exc:
        if isinstance(exc, KeyboardInterrupt) and from_a_signal(exc):
            raise
        raise ImportError(
            f"{module} cannot be imported: it raised {type(exc).__name__}({shorten(str(exc))})"
        ) from exc
    return _job_at(path, found)


def find_exception(path: str) -> type[BaseException] | None:
    """The exception class of a path; None if it cannot be had here. Nothing is imported: what a
    job raises, or is retried for, was imported with the job."""
    try:
        found = _class_at(path, sys.modules[_parts(path)[0]])
    except (KeyError, AttributeError, TypeError):
        return None
    return found if issubclass(type(found), type) and issubclass(found, BaseException) else None


def _parts(path: object) -> tuple[str, list[str]]:
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    names = name.split(".")
    if not all(part.isidentifier() for part in (*module.split("."), *names)):
        raise TypeError(f"{shorten(path)} is no import path, module:Class")
    return module, names


def _class_at(path: str, module: Any) -> Any:
    found = module
    for name in _parts(path)[1]:
        if found is not module and not issubclass(type(found), type):
            raise TypeError(f"{path} leads through {type(found).__qualname__}, which is no class")
        if name not in vars(found):
            raise AttributeError(f"{path}: there is no {name}")
        found = vars(found)[name]
    return found


def _job_at(path: str, module: Any) -> type[Any]:
    found = _class_at(path, module)
    kind = type(found)
    if issubclass(kind, JobFunction):
        return found.job  # type: ignore[no-any-return]
    if issubclass(kind, type) and issubclass(found, Job):
        return found  # type: ignore[no-any-return]
    what = f"the class {found.__qualname__}" if issubclass(kind, type) else kind.__qualname__
    raise TypeError(f"{path} is neither a Job class nor a function decorated with @job, but {what}")
