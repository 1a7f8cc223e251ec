"""The shop's users, in SQLite."""

import os
import sqlite3
import time

SCHEMA = """CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, created REAL NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0)"""


def connect() -> sqlite3.Connection:
    # Web threads and job threads write the same file: wait for the lock, do not fail.
    database = sqlite3.connect(os.environ.get("DATABASE", "shop.sqlite3"), timeout=20)
    database.execute(SCHEMA)
    return database


def add(email: str) -> int:
    """The number of a new user.

    Raises:
        sqlite3.IntegrityError: If the address is taken.
    """
    with connect() as database:
        row = "INSERT INTO users (email, created) VALUES (?, ?)"
        return database.execute(row, (email, time.time())).lastrowid or 0


def email_of(user: int) -> str:
    with connect() as database:
        found = database.execute("SELECT email FROM users WHERE id = ?", (user,)).fetchone()
    if found is None:
        raise LookupError(f"no user {user}")
    return str(found[0])


def forget_unconfirmed(older_than: float) -> int:
    """How many were deleted; ``older_than`` is in seconds."""
    with connect() as database:
        old = "DELETE FROM users WHERE NOT confirmed AND created < ?"
        return database.execute(old, (time.time() - older_than,)).rowcount
