"""The web process of the Flask shop: answers one request and prints what came of it as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from engine_flask import Child, Greet, GreetSoon, LeavesSession, Parent, User, create_app, db

key = sys.argv[1]
app, other = create_app(), create_app("other")
said: dict[str, Any] = {}


@app.get("/")
def index() -> str:
    db.create_all()
    db.session.add(User(name="ada"))
    later = Greet.using(after_commit=db.session).perform_async(key, "ada", 1)
    before = str(later.status)
    db.session.commit()
    said["committed"] = [before, later.result(30)]
    db.session.add(User(name="bob"))
    dropped = Greet.using(after_commit=db.session).perform_async(f"{key}-dropped", "bob")
    db.session.rollback()
    said["rolled back"] = str(dropped.status)
    said["async"] = GreetSoon.perform_async().result(30)
    said["sessions"] = [LeavesSession.perform_async(f"{key}-left").result(30) for _ in range(2)]
    Parent.perform_async(f"{key}-parent").result(30)
    Child.perform_async(f"{key}-here").result(30)
    return "ok"


@other.get("/")
def elsewhere() -> str:
    said["from the other app"] = Greet.perform_async(f"{key}-other", "ada").result(30)[0]
    return "ok"


for one in (app, other):
    assert one.test_client().get("/").text == "ok"
print(json.dumps(said))
