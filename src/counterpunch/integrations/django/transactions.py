"""The transaction of a Django database: what ``using(after_commit=alias)`` waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.connection import ConnectionDoesNotExist

from ...core.values.errors import InvalidOption
from .connections import install

__all__ = ["Database", "database"]

#: Django drops the callbacks that follow one that raised as it drops those of a rollback.
_DROPPED = "its transaction was rolled back, or an on_commit callback before it raised"

#: What Django puts in the place of a database that the settings leave out.
_NONE = "django.db.backends.dummy"


def database(owner: str, value: bool | str) -> Database:
    """The database of an alias, or the default one for True.

    Raises:
        InvalidOption: If the settings have none of that name, or are not set up.
    """
    alias = value if isinstance(value, str) else DEFAULT_DB_ALIAS
    try:
        connection = connections[alias]
        if connection.settings_dict["ENGINE"] == _NONE:  # complains only once it is used
            raise ImproperlyConfigured(f"DATABASES[{alias!r}] names no ENGINE")
        install()  # a job that waits for a database uses one, INSTALLED_APPS or not
        return Database(connection)
    except ConnectionDoesNotExist:
        known = ", ".join(map(repr, connections))
        allowed = f"True or an alias of DATABASES: {known}"
    except ImproperlyConfigured as exc:
        allowed = f"databases of Django, once its settings are set up ({exc})"
    raise InvalidOption(owner, "after_commit", value, allowed)


class Database:
    """The current thread's connection to one database."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def defer(self, commit: Callable[[], object], rollback: Callable[[str], object]) -> bool:
        """See ``commit.Transaction``. Inside ``atomic`` only: elsewhere each statement
        commits by itself.

        Raises:
            TransactionManagementError: With autocommit switched off by hand, where Django
                does not know when a transaction ends.
        """
        connection = self._connection
        if not connection.in_atomic_block and connection.get_autocommit():
            return False
        connection.on_commit(_Hook(commit, rollback))
        return True

    def within(self) -> tuple[Any, ...]:
        """See ``commit.Transaction``."""
        savepoints = self._connection.savepoint_ids  # None: an atomic(savepoint=False)
        return ref(self._connection), *(one for one in savepoints if one is not None)


class _Hook:
    """An ``on_commit`` callback that notices when Django drops it uncalled.

    Django forgets the callbacks of what is rolled back, a savepoint or the whole, and tells
    nobody; its list is the one place that holds this object. It also forgets those that come
    after a callback that raised, which cannot be told apart here.
    """

    __slots__ = ("_commit", "_rollback")

    def __init__(self, commit: Callable[[], object], rollback: Callable[[str], object]) -> None:
        self._commit = commit
        self._rollback: Callable[[str], object] | None = rollback

    def __call__(self) -> None:
        self._rollback = None
        self._commit()

    def __del__(self) -> None:
        if self._rollback is not None:
            self._rollback(_DROPPED)
