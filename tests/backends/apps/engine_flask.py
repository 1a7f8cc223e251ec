"""A Flask shop with an app factory: jobs that use ``current_app`` and Flask-SQLAlchemy.

The web process (``engine_flask_web``) and the worker (``engine_flask_worker``) both import it.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from engine_jobs import note
from engine_set import SETS
from flask import Flask, current_app, g, has_request_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import scoped_session, sessionmaker

import counterpunch
from counterpunch import Job, Retry
from counterpunch.integrations.flask import Counterpunch
from counterpunch.integrations.sqlalchemy import remove_around_jobs

broker, backend = SETS[os.environ["ENGINE"]](os.environ["ENGINE_REDIS"])
counterpunch.configure(backend=backend)

#: A session by thread, as an app without Flask-SQLAlchemy has it.
sessions = scoped_session(sessionmaker())
remove_around_jobs(sessions)

db = SQLAlchemy()
extension = Counterpunch()


class User(db.Model):  # type: ignore[misc,name-defined,unused-ignore]
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String, unique=True)


def create_app(name: str = "shop") -> Flask:
    app = Flask(name)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['ENGINE_DATABASE']}"
    db.init_app(app)
    extension.init_app(app)

    @app.teardown_appcontext
    def left(exc: BaseException | None) -> None:
        key = g.get("key")
        if key is not None:
            note(key, f"teardown-{type(exc).__name__}")

    return app


def seen(name: str) -> Any:
    return db.session.scalar(db.select(User.id).where(User.name == name))


class Greet(Job):
    """Says where it runs and what it finds; fails the first time if it is told to."""

    retry = Retry(2, wait=0.0, jitter=0)

    def before(self) -> None:
        assert "key" not in g
        g.key = self.handle.args[0]

    def perform(self, key: str, name: str, failures: int = 0) -> Any:
        if self.attempt <= failures:
            db.session.add(User(name=f"{name}, half written"))
            db.session.flush()
            raise OSError("the first time")
        half = seen(f"{name}, half written")
        return [current_app.name, has_request_context(), seen(name) is not None, half]

    def on_error(self, exc: BaseException) -> None:
        note(self.handle.args[0], f"on_error-{current_app.name}-{seen('nobody')}")

    def on_success(self, result: object) -> None:
        note(self.handle.args[0], f"on_success-{current_app.name}-{seen('nobody')}")


class GreetSoon(Job):
    async def perform(self) -> str:
        return current_app.name


class LeavesSession(Job):
    """Says whether it finds the session of another job, and leaves its own."""

    def perform(self, key: str) -> Any:
        found = "left" in sessions().info
        sessions().info["left"] = True
        return [found, os.getpid(), threading.get_ident()]

    def on_success(self, result: object) -> None:
        note(self.handle.args[0], f"on_success-{'left' in sessions().info}")


class Child(Job):
    """In threads of whatever process it is enqueued in, the worker's too."""

    backend = "threads"

    def perform(self, key: str) -> None:
        note(key, f"child-{current_app.name}")


class Parent(Job):
    def perform(self, key: str) -> None:
        Child.perform_async(key).result(20)
