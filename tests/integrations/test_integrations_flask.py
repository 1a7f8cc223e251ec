"""Flask: which app a job runs in, that no request comes along, and that contexts end."""

from __future__ import annotations

import gc
import os
import textwrap
import threading
import weakref
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("flask")

from flask import Flask, current_app, g, has_app_context, has_request_context, request
from process import run

import counterpunch
from counterpunch import InvalidOption, Job, Retry, testing
from counterpunch.core.values.hooks import process
from counterpunch.integrations import _serving
from counterpunch.integrations import flask as integration
from counterpunch.integrations.flask import Counterpunch

LONG = 10.0

trace: ContextVar[str] = ContextVar("flask_trace")


class AppNameJob(Job):
    """Says which app it runs in; None without one."""

    def perform(self) -> str | None:
        return current_app.name if has_app_context() else None


class GateJob(Job):
    workers = 1

    def perform(self, gate: threading.Event) -> None:
        assert gate.wait(LONG)


@pytest.fixture(autouse=True)
def only_the_apps_of_this_test() -> Any:
    """Apps of other tests may wait for the collector; here each test starts with none."""
    integration.apps.clear()
    yield
    integration.apps.clear()


def make_app(name: str) -> Flask:
    app = Flask(name)
    Counterpunch(app)
    return app


def test_a_job_runs_in_a_fresh_app_context_without_the_request() -> None:
    app, seen = make_app("shop"), []

    class LookJob(Job):
        def perform(self) -> None:
            seen.append((current_app.name, has_request_context(), vars(g), trace.get()))
            with pytest.raises(RuntimeError, match="Working outside of request context"):
                _ = request.path

    @app.get("/")
    def index() -> str:
        trace.set("t-1")
        g.user = "ada"
        LookJob.perform_async().result(LONG)
        assert g.user == "ada"
        return "ok"

    assert app.test_client().get("/").text == "ok"
    assert seen == [("shop", False, {}, "t-1")]


def test_each_app_gets_its_own_jobs() -> None:
    """Two apps in one process, and a job's own jobs follow it."""
    one, two = make_app("one"), make_app("two")

    class ParentJob(Job):
        def perform(self) -> str | None:
            return AppNameJob.perform_async().result(LONG)

    for app in (one, two, one):
        with app.app_context():
            assert AppNameJob.perform_async().result(LONG) == app.name
            assert AppNameJob.perform_in(0.01).result(LONG) == app.name
            assert ParentJob.perform_async().result(LONG) == app.name
            assert AppNameJob.perform_now() == app.name


def test_without_a_context_the_only_app_is_taken() -> None:
    """At start-up, in a thread, from the command line."""
    assert AppNameJob.perform_async().result(LONG) is None
    app = make_app("only")
    assert AppNameJob.perform_async().result(LONG) == "only"
    second = make_app("second")
    assert AppNameJob.perform_async().result(LONG) is None, "which one is not guessed"
    assert (app.name, second.name) == ("only", "second")


def test_a_periodic_job_runs_in_the_app_in_whose_context_it_was_armed() -> None:
    """Of several; where no app armed it, none is guessed."""
    one, two = make_app("one"), make_app("two")
    seen: list[str | None] = []

    class TickJob(Job):
        every = 60

        def on_enqueue(self) -> None:
            hooked.append(current_app.name if has_app_context() else None)

        def perform(self) -> None:
            seen.append(current_app.name if has_app_context() else None)

    hooked: list[str | None] = []
    for context in (one.app_context(), two.app_context(), nullcontext()):
        with testing.fake() as recorder:
            with context:
                counterpunch.start()
            recorder.advance(120)
    assert seen == hooked == ["one", "one", "two", "two", None, None]
    TickJob.every = None


class FirstTimeFailsJob(Job):
    """Fails, and once it is retried says which app it runs in."""

    seen: ClassVar[list[object]] = []

    def perform(self, key: object) -> tuple[str, str | None]:
        child = AppNameJob.perform_async().result(LONG)
        if key not in self.seen:
            self.seen.append(key)
            raise OSError("the first time")
        return current_app.name, child


class FreshFailsJob(FirstTimeFailsJob):
    context = "fresh"


@pytest.mark.parametrize("cls", [FirstTimeFailsJob, FreshFailsJob])
def test_a_retried_job_runs_in_the_app_that_first_enqueued_it(
    cls: type[FirstTimeFailsJob],
) -> None:
    """Outside of any app, where nothing else would say which of them, and inside another's."""
    one, two = make_app("one"), make_app("two")
    with one.app_context():
        failed = cls.perform_async(object())
        assert isinstance(failed.exception(LONG), OSError)
    expected = ("one", "one")
    again = failed.retry()
    assert again.result(LONG) == expected
    with two.app_context():
        assert failed.retry().result(LONG) == expected
        assert again.retry().result(LONG) == expected, "and so does the retry of a retry"
        assert AppNameJob.perform_async().result(LONG) == "two", "what follows is not touched"
    with two.test_request_context("/"):
        assert failed.retry().result(LONG) == expected


def test_a_retry_finds_the_app_of_a_job_that_never_ran() -> None:
    """Cancelled before its time; and the history does not keep an app alive."""
    one, two = make_app("one"), make_app("two")
    with one.app_context():
        handle, other = AppNameJob.perform_in(3600), AppNameJob.perform_in(3600)
    assert handle.cancel()
    assert other.cancel()
    with two.app_context():
        assert handle.retry().result(LONG) == "one"
    forgotten = weakref.ref(one)
    assert counterpunch.wait_idle(LONG), "the worker has left the job's context"
    del one
    gc.collect()
    assert forgotten() is None
    with two.app_context():
        assert other.retry().result(LONG) == "two"


def test_the_callbacks_of_a_batch_run_in_the_app_that_opened_it() -> None:
    app, _ = make_app("a"), make_app("b")
    names: list[str | None] = []

    class FollowJob(Job):
        def perform(self, batch_id: str) -> None:
            names.append(current_app.name if has_app_context() else None)

    gate = threading.Event()
    with app.test_request_context("/"), counterpunch.Batch(on_complete=FollowJob) as batch:
        GateJob.perform_async(gate)
    gate.set()
    assert batch.wait(LONG)
    batch.callbacks[0].result(LONG)
    assert names == ["a"]


def test_the_current_app_counts_not_the_one_of_the_request() -> None:
    """A request of one app that enters the context of another."""
    outer, inner = make_app("outer"), make_app("inner")
    with outer.test_request_context("/"):
        assert AppNameJob.perform_async().result(LONG) == "outer"
        with inner.app_context():
            assert AppNameJob.perform_async().result(LONG) == "inner"
        assert AppNameJob.perform_in(0.001).result(LONG) == "outer"


def test_a_job_of_an_app_that_was_not_set_up_runs_in_that_app() -> None:
    """Where another app of the process is set up: it is not run in the wrong one."""
    make_app("set up")
    with Flask("forgotten").test_request_context("/"):
        assert AppNameJob.perform_async().result(LONG) == "forgotten"


def test_a_forgotten_init_app_gives_no_job_the_request() -> None:
    """A request that was copied would look alive in the job, until the day it does not."""
    result = run(
        textwrap.dedent("""
        from flask import Flask, current_app, has_request_context
        from counterpunch import Job
        from counterpunch.integrations.flask import Counterpunch

        extension = Counterpunch()  # and no init_app

        class LookJob(Job):
            def perform(self):
                print(current_app.name, has_request_context(), flush=True)

        app = Flask("forgotten")

        @app.get("/")
        def index():
            LookJob.perform_async().result(10)
            return "ok"

        assert app.test_client().get("/").text == "ok"
        """)
    )
    assert result.lines() == ["forgotten False"], result


def test_a_class_with_a_fresh_context_still_gets_the_app() -> None:
    app, other = make_app("fresh"), make_app("other")

    class FreshJob(Job):
        context = "fresh"

        def perform(self) -> tuple[str, str | None]:
            return current_app.name, trace.get(None)

    class ParentJob(FreshJob):
        def perform(self) -> tuple[str, str | None]:
            return FreshJob.perform_async().result(LONG)

    trace.set("left out")
    for kind in (FreshJob, ParentJob):
        with app.app_context():
            assert kind.perform_async().result(LONG) == ("fresh", None)
            assert kind.perform_now() == ("fresh", None)
        with other.test_request_context("/"):
            assert kind.perform_async().result(LONG) == ("other", None)


def test_teardown_functions_run_for_each_attempt_with_its_exception() -> None:
    app, seen = make_app("teardown"), []
    app.teardown_appcontext(lambda exc: seen.append(type(exc)))

    class FlakyJob(Job):
        retry = Retry(max_attempts=2, wait=0.0)

        def perform(self) -> None:
            g.attempt = self.attempt
            if self.attempt == 1:
                raise OSError("flaky")

    with app.app_context():
        handle = FlakyJob.perform_async()
        handle.result(LONG)
    # The caller's own context may end at any point between the two attempts.
    assert [kind for kind in seen if kind is OSError] == [OSError]
    # Attempt one, its hooks (nothing but the failure), attempt two, and the caller's.
    assert seen.count(type(None)) >= 2


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_teardown_function_that_raises_changes_nothing_of_what_a_job_did(
    is_async: bool, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The mail has gone out once; it is logged."""
    app, sent = make_app("raising"), []

    @app.teardown_appcontext
    def teardown(exc: BaseException | None) -> None:
        raise OSError("the pool is gone")

    def work() -> None:
        sent.append(1)
        if fails:
            raise LookupError

    class Plain(Job):
        retry = Retry(max_attempts=3, on=(OSError,), wait=0)

        def perform(self) -> None:
            work()

    class Later(Job):
        retry = Plain.retry

        async def perform(self) -> None:
            work()

    kind: Any = Later if is_async else Plain
    failure = kind.perform_async().exception(LONG)
    assert type(failure) is (LookupError if fails else type(None))
    assert sent == [1]
    assert "a teardown function of" in caplog.text


def test_hooks_after_perform_have_an_app_context_too() -> None:
    app, seen = make_app("hooks"), []

    class HookedJob(Job):
        def before(self) -> None:
            seen.append(("before", current_app.name))

        def perform(self) -> None:
            raise ValueError("no")

        def on_failure(self, exc: BaseException) -> None:
            seen.append(("on_failure", current_app.name))

        def after(self) -> None:
            seen.append(("after", current_app.name))

    with app.app_context():
        HookedJob.perform_async().exception(LONG)
    assert seen == [("before", "hooks"), ("on_failure", "hooks"), ("after", "hooks")]


def test_an_async_job_runs_in_the_app_context() -> None:
    app = make_app("async")

    class AsyncNameJob(Job):
        async def perform(self) -> str:
            return current_app.name

    with app.app_context():
        assert AsyncNameJob.perform_async().result(LONG) == "async"


def test_a_waiting_job_does_not_keep_the_request_alive() -> None:
    app, gate = make_app("memory"), threading.Event()
    requests: list[weakref.ref[Any]] = []

    @app.post("/")
    def index() -> str:
        request.get_data()
        requests.append(weakref.ref(request._get_current_object()))
        GateJob.perform_async(gate)
        return "ok"

    blocker = GateJob.perform_async(gate)
    assert app.test_client().post("/", data=b"x" * 1000).status_code == 200
    gc.collect()
    assert not blocker.done()
    assert counterpunch.stats().total.queued == 1
    assert requests[0]() is None
    gate.set()


def test_a_job_after_the_commit_of_flask_sqlalchemys_session(tmp_path: Path) -> None:
    """``db.session`` is one by app context, so a job has its own, removed by the teardown."""
    flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy")
    app = make_app("sqlalchemy")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/shop.sqlite3"
    db: Any = flask_sqlalchemy.SQLAlchemy(app)

    class User(db.Model):  # type: ignore[misc,name-defined]
        id = db.Column(db.Integer, primary_key=True)

    sessions: list[Any] = []

    class FindJob(Job):
        def perform(self, user_id: int) -> bool:
            sessions.append(db.session())
            return db.session.get(User, user_id) is not None

    handles: list[counterpunch.Handle[bool]] = []

    def sign_up() -> None:
        db.session.add(User())
        db.session.flush()
        handles.append(FindJob.using(after_commit=db.session).perform_async(len(handles) + 1))
        assert handles[-1].status == "deferred"

    @app.post("/")
    def index() -> str:
        sign_up()
        db.session.commit()
        assert handles[-1].result(LONG) is True
        assert sessions[-1] is not db.session()
        return "ok"

    @app.post("/broken")
    def broken() -> str:
        sign_up()
        raise ValueError("after the enqueue")

    with app.app_context():
        db.create_all()
    assert app.test_client().post("/").text == "ok"
    assert not sessions[-1].in_transaction()
    assert app.test_client().post("/broken").status_code == 500
    assert handles[-1].status == "discarded"
    with pytest.raises(RuntimeError, match="outside of application context"):
        FindJob.using(after_commit=db.session).perform_async(1)
    assert len(handles) == counterpunch.stats().total.accepted == 2


def test_jobs_work_from_the_command_line() -> None:
    app = make_app("cli")
    names: list[str | None] = []

    @app.cli.command("work")
    def work() -> None:
        names.append(AppNameJob.perform_async().result(LONG))

    result = app.test_cli_runner().invoke(args=["work"])
    assert result.exception is None, result.output
    assert names == ["cli"]


def test_periodic_jobs_are_armed_by_the_first_request_of_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by importing or setting up the app, not under test, and again in a fork."""
    started: list[int] = []
    monkeypatch.setattr(_serving, "start", lambda: started.append(os.getpid()))
    monkeypatch.setattr(_serving, "_seen", (0, 0))
    app = make_app("periodic")
    app.add_url_rule("/", "index", lambda: "ok")
    app.testing = True
    app.test_client().get("/")
    assert started == []
    app.testing = False
    app.test_client().get("/")
    app.test_client().get("/")
    assert started == [os.getpid()]

    stranger = Flask("not set up")
    stranger.test_client().get("/")

    class NewcomerJob(Job):  # imported by a view, say
        every = 3600

        def perform(self) -> None:
            pass

    stranger.test_client().get("/")
    assert started == [os.getpid()]
    # A request that is answered before any view counts as well: a site that is closed serves.
    closed = Flask("closed")
    closed.before_request(lambda: ("closed", 503))
    Counterpunch(closed)
    assert closed.test_client().get("/").status_code == 503
    assert started == [os.getpid()] * 2
    monkeypatch.setattr(os, "getpid", lambda: -1)
    app.test_client().get("/")
    assert started[2:] == [-1]


def test_setting_up_is_idempotent_and_checks_its_argument() -> None:
    extension = Counterpunch()
    before = None
    for name in ("a", "b"):
        app = Flask(name)
        extension.init_app(app)
        extension.init_app(app)
        assert app.extensions["counterpunch"] is extension
        installed = (process.around_perform, process.around_hooks, process.copy_context)
        assert before in (None, installed), "the hooks of the process are installed once"
        before = installed
    app = Flask("c")
    with app.app_context():
        extension.init_app(current_app)  # a proxy
    assert app in integration.apps
    with pytest.raises(InvalidOption, match=r"Counterpunch: app='app' .* a Flask app"):
        Counterpunch("app")  # type: ignore[arg-type]
