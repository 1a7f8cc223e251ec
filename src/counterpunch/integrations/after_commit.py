"""What ``using(after_commit=...)`` may be, and which integration knows it.

Looked at without importing anything; the integration is imported with the first such enqueue.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..core.values import commit
from ..core.values.errors import InvalidOption

__all__ = ["ALLOWED", "check"]

ALLOWED = (
    "True or the alias of a Django database, a Session, AsyncSession or scoped_session of "
    "SQLAlchemy, an object with defer(commit, rollback) -> bool, or None for at once"
)


def check(owner: str, value: Any) -> Any:
    """The value of ``after_commit``, looked at without importing anything.

    Raises:
        InvalidOption: If no integration could know it.
    """
    if value is None or value is False or value is True or (isinstance(value, str) and value):
        return value
    if _is_sqlalchemy(value) or _takes_both(getattr(value, "defer", None)):
        return value
    raise InvalidOption(owner, "after_commit", value, ALLOWED)


def _takes_both(defer: Any) -> bool:
    """Whether it can be called as ``defer(commit, rollback)``: Flask-SQLAlchemy's ``db``, passed
    instead of ``db.session``, has a ``defer`` too, SQLAlchemy's option for a column."""
    if not callable(defer):
        return False
    from inspect import signature  # rarely asked for, and long to import

    try:
        signature(defer).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        pass  # made in C: it says nothing about its arguments
    return True


def _is_sqlalchemy(value: Any) -> bool:
    """By module name, and without an import: a session exists only where it was imported."""
    return any(kind.__module__.partition(".")[0] == "sqlalchemy" for kind in type(value).__mro__)


def _transaction(owner: str, value: Any) -> commit.Transaction | None:
    found: commit.Transaction | None = None
    if value is True or isinstance(value, str):
        try:
            django = import_module("counterpunch.integrations.django.transactions")
        except ImportError as exc:
            raise InvalidOption(owner, "after_commit", value, f"{ALLOWED} ({exc})") from exc
        found = django.database(owner, value)
    elif _is_sqlalchemy(value):
        found = import_module("counterpunch.integrations.sqlalchemy").session(owner, value)
    return found


commit.finders.append(_transaction)
