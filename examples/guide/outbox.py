"""Jobs that must not be lost: an outbox in your own database, here SQLite.

A row is written in the transaction of what it belongs to, so both are there or neither. After the
commit a job does what the row says and deletes it; a periodic job picks up what a crash has left.
At least once: a crash between doing and deleting does it again.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from counterpunch import Job, Retry

SCHEMA = """CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, what TEXT NOT NULL, arguments TEXT NOT NULL,
    until REAL NOT NULL DEFAULT 0, given_up TEXT)"""
#: Seconds for which a row is its claimer's; longer than all attempts of a job together.
LEASE = 600.0
#: What a row may name.
KNOWN: dict[str, Callable[..., object]] = {}


def connect() -> sqlite3.Connection:
    database = sqlite3.connect(os.environ.get("DATABASE", "shop.sqlite3"), timeout=10)
    database.execute(SCHEMA)
    return database


def note(database: sqlite3.Connection, what: str, *arguments: Any) -> int:
    """In your transaction: write down what is to be done. After the commit call ``Do`` with it."""
    row = "INSERT INTO outbox (what, arguments) VALUES (?, ?)"
    return database.execute(row, (what, json.dumps(arguments))).lastrowid or 0


class Do(Job):
    """Do what one row says, unless another process is at it."""

    retry = Retry(max_attempts=5, max_elapsed=LEASE / 2)
    unique = "active"

    @staticmethod
    def identity(row: int) -> int:
        return row

    def perform(self, row: int) -> None:
        with connect() as database:
            claim = "UPDATE outbox SET until = ? WHERE id = ? AND given_up IS NULL AND until < ?"
            now = time.time() if self.attempt == 1 else float("inf")  # a retry has it already
            if not database.execute(claim, (time.time() + LEASE, row, now)).rowcount:
                return  # done, given up, or somebody else's
            asked = "SELECT what, arguments FROM outbox WHERE id = ?"
            what, arguments = database.execute(asked, (row,)).fetchone()
        KNOWN[what](*json.loads(arguments))
        with connect() as database:
            database.execute("DELETE FROM outbox WHERE id = ?", (row,))

    def on_failure(self, exc: BaseException) -> None:
        """For somebody to look at: the row stays."""
        (row,) = self.handle.args
        with connect() as database:
            database.execute("UPDATE outbox SET given_up = ? WHERE id = ?", (repr(exc), row))


class Sweep(Job):
    """What a crash has left, or a stop; once a minute, in one process per host."""

    every = 60.0

    def perform(self) -> None:
        with connect() as database:
            left = "SELECT id FROM outbox WHERE given_up IS NULL AND until < ?"
            for (row,) in database.execute(left, (time.time(),)).fetchall():
                Do.perform_async(row)
