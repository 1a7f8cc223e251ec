"""A small shop in Flask: sign up, and everything slow happens afterwards.

pip install path/to/counterpunch -r requirements.txt
flask --app shop run                  # for development
gunicorn                              # as gunicorn.conf.py says

curl -X POST -d email=ada@example.com http://127.0.0.1:8000/signup
"""

import hmac
import logging
import os
import sqlite3

import jobs
import store
from flask import Flask, redirect, request, session
from flask.typing import ResponseReturnValue
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import counterpunch
from counterpunch import dashboard
from counterpunch.integrations.flask import Counterpunch

LOGIN = "<form method=post><input type=password name=password autofocus><button>Log in</button>"


def create_app() -> Flask:
    logging.basicConfig(level=logging.INFO)
    app = Flask(__name__)
    app.secret_key = os.environ.get("SECRET_KEY", "for development only")
    Counterpunch(app)  # a fresh app context for each job; arms CleanUp in the serving processes

    @app.post("/signup")
    def signup() -> ResponseReturnValue:
        try:
            user = store.add(request.form["email"])
        except sqlite3.IntegrityError:
            return {"error": "this address is taken"}, 409
        # The number, not the row: what a job reads is as fresh as the moment it runs.
        mail = jobs.WelcomeMail.perform_async(user)
        jobs.TellPartner.perform_async(user)
        session["mail"] = mail.id
        return {"user": user}, 202

    @app.get("/mail")
    def mail() -> ResponseReturnValue:
        """How far the visitor's own mail is: ids are no secret, so nobody may ask by id."""
        handle = counterpunch.find(session.get("mail", ""))
        if handle is None:  # another process has it, or it was forgotten
            return {"status": "unknown"}
        return {"status": handle.status, "attempt": handle.attempt}

    @app.get("/login")
    def login_form() -> ResponseReturnValue:
        return LOGIN

    @app.post("/login")
    def login() -> ResponseReturnValue:
        password = os.environ.get("ADMIN_PASSWORD", "")
        given = request.form.get("password", "")
        if not password or not hmac.compare_digest(given.encode(), password.encode()):
            return LOGIN, 403
        session["admin"] = True
        return redirect("/jobs/")

    def is_admin(seen: dashboard.Request) -> bool:
        with app.request_context(seen.raw):  # the mount lies outside of the app
            return bool(session.get("admin", False))

    def can_view(seen: dashboard.Request) -> bool | dashboard.Redirect:
        return True if is_admin(seen) else dashboard.redirect("/login")

    page = dashboard.wsgi(can_view=can_view, authorize=is_admin, processes=True)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/jobs": page})  # type: ignore[method-assign]
    return app
