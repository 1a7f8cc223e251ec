"""The one-line mounts: bare WSGI, Flask, Starlette, FastAPI, Django (those that are installed)."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from dashboard_client import SOON, Client, Page, needs, yes

import counterpunch
from counterpunch import Job, dashboard


class Silent(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def test_bare_wsgi(yard):
    """A real server of the standard library, one real request."""
    with make_server("127.0.0.1", 0, dashboard.wsgi(), handler_class=Silent) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=SOON) as answer:
            assert answer.status == 200
            assert b"Gated" in answer.read()
        thread.join(SOON)


def guides_block(line):
    """The names that the guide's block with this line defines."""
    page = Path(__file__).parents[2] / "examples" / "guide" / "page.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    (block,) = [block for block in blocks if line in block]
    namespace: dict = {"__name__": "guide"}
    exec(block, namespace)
    return namespace


def test_the_guides_own_dispatch(yard):
    """The block for a bare WSGI app, as it stands there: mounted at /jobs, and only there."""
    namespace, statuses = guides_block("shift_path_info(environ)"), []

    def links(path):
        started = []
        environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path}
        environ["REMOTE_USER"] = "ada"
        body = namespace["application"](environ, lambda *start: started.append(start[0]))
        assert started == ["200 OK"]
        return [a["href"] for name, a in Page(b"".join(body).decode()).elements if "href" in a]

    assert all(link.startswith(("/jobs/", "#")) for link in links("/jobs/waiting"))
    assert f"/jobs/job/{yard.waiting.id}" in links("/jobs/waiting")
    assert links("/jobs")
    for path in ("/signup", "/", "", "*"):
        environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path}
        assert namespace["application"](environ, None) is None, "the user's own app answers here"
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/jobs/waiting"}
    namespace["application"](environ, lambda *start: statuses.append(start[0]))
    assert statuses == ["403 Forbidden"]


def test_the_prefix_is_on_every_link(yard):
    """SCRIPT_NAME: no link, form or asset leads out of the mount."""
    client = Client("/ops/jobs", authorize=yes)
    for route in ("/", "/running", "/waiting", "/failed", "/periodic", f"/job/{yard.running.id}"):
        for name, attributes in client.get(route).page.elements:
            for key in ("href", "src", "action"):
                address = attributes.get(key, "/ops/jobs/")
                assert address.startswith(("/ops/jobs/", "#")), (name, address)
    assert client.get("").status == 200, "the mount point itself, without a slash"


def test_a_prefix_that_looks_like_a_host_stays_a_path(yard):
    """//evil.example as SCRIPT_NAME makes no link to another host."""
    answer = Client("//evil.example").get("/find?id=x")
    assert answer.headers["location"] == "/evil.example/job/x"


def test_flask(yard):
    """DispatcherMiddleware; the rest of the app is untouched."""
    flask = needs("flask")
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = flask.Flask(__name__)
    app.get("/")(lambda: "home")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/jobs": dashboard.wsgi(authorize=yes)})
    client = app.test_client()
    assert client.get("/").text == "home"
    page = Page(client.get("/jobs/waiting").text)
    form = page.form("Cancel Gated")
    headers = {"Origin": "http://localhost"}
    answer = client.post(form["action"], data=form["fields"], headers=headers)
    assert (answer.status_code, answer.location) == (303, "/jobs/waiting?note=cancelled")
    assert yard.waiting.status == "cancelled"


def test_the_guides_own_authorize_finds_the_session_of_flask(yard):
    """The block as it stands there: for whoever has logged in; others are sent to do so."""
    flask = needs("flask")
    app = guides_block("DispatcherMiddleware(app.wsgi_app")["app"]
    app.secret_key = "tests"

    @app.get("/login")
    def login():
        flask.session["admin"] = True
        return "ok"

    client = app.test_client()
    answer = client.get("/jobs/")
    assert (answer.status_code, answer.location) == (303, "/login")
    client.get("/login")
    assert Page(client.get("/jobs/").text).form("Pause Gated")


def test_a_retry_from_the_dashboard_finds_the_flask_app_of_the_job(monkeypatch):
    """Of two apps in the process; the dashboard itself answers outside of both."""
    flask = needs("flask")
    from counterpunch.integrations import flask as integration

    monkeypatch.setattr(integration, "apps", set())
    apps = [flask.Flask("one"), flask.Flask("two")]
    for app in apps:
        integration.Counterpunch(app)

    class NamedOnceJob(Job):
        allowed = False

        def perform(self):
            if not self.allowed:
                raise OSError("not yet")
            return flask.current_app.name

    with apps[0].app_context():
        NamedOnceJob.perform_async().exception(SOON)
    NamedOnceJob.allowed = True
    client = Client(authorize=yes)
    client.press(client.get("/failed").page, "Retry")
    (again,) = [one for one in counterpunch.jobs(NamedOnceJob) if one.status != "failed"]
    assert again.result(SOON) == "one"


@pytest.mark.parametrize("name", ["starlette.applications", "fastapi"])
def test_starlette_and_fastapi(yard, name):
    """mount()."""
    module = needs(name)
    testclient = needs("starlette.testclient")
    app = getattr(module, "FastAPI", None) or module.Starlette
    app = app()
    app.mount("/jobs", dashboard.asgi(can_view=yes, authorize=yes))
    client = testclient.TestClient(app)
    page = Page(client.get("/jobs/waiting").text)
    form = page.form("Cancel Gated")
    headers = {"Origin": "http://testserver"}
    answer = client.post(
        form["action"], data=form["fields"], headers=headers, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/waiting?note=cancelled")
    assert client.get("/jobs/").status_code == 200
    assert yard.waiting.status == "cancelled"


DJANGO = """
import django
from django.conf import settings

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", __name__ + ".reads_forms"],
)
django.setup()


def reads_forms(get_response):
    def middleware(request):
        if request.content_type == "multipart/form-data":
            request.POST
        return get_response(request)

    return middleware


from django.test import Client
from django.urls import path

import counterpunch.integrations.django
from counterpunch import Job

urls = counterpunch.integrations.django.dashboard.urls  # as the README has it


class Held(Job):
    def perform(self): ...


def staff(request):
    return request.raw.path != ""


mount = urls(can_view=staff, authorize=staff)
urlpatterns = [path("jobs/", mount), path("t/<str:tenant>/jobs/", mount)]
handle = Held.perform_in(60)
client = Client(enforce_csrf_checks=True)
from dashboard_client import Page

answer = client.get("/jobs/scheduled")
assert answer.status_code == 200, answer
assert answer["X-Frame-Options"] == "DENY"
page = Page(answer.content.decode())
form = page.form("Cancel Held")
assert form["action"] == f"/jobs/job/{handle.id}/cancel", form
from urllib.parse import urlencode
kind = "application/x-www-form-urlencoded"
fields = urlencode(form["fields"])
assert client.post(form["action"], fields, kind).status_code == 403
big = fields + "&x=" + "a" * 100_000
origin = {"HTTP_ORIGIN": "http://testserver"}
assert client.post(form["action"], big, kind, **origin).status_code == 413
assert handle.status == "scheduled"
answer = client.post(form["action"], fields, kind, **origin)
assert (answer.status_code, answer["Location"]) == (303, "/jobs/scheduled?note=cancelled"), answer
assert handle.status == "cancelled"
assert client.get("/jobs/").status_code == 200
answer = client.get("/t/ada/jobs/waiting")
assert answer.status_code == 200, "below a part that is captured"
assert 'href="/t/ada/jobs/finished"' in answer.content.decode()
assert client.get("/jobs/nosuch").status_code == 404
assert client.head("/jobs/").content == b""

import asyncio
from django.core.asgi import get_asgi_application

async def without_a_length(size):
    sent, parts = [], [b"a" * size, None]
    async def receive():
        part = parts.pop(0)
        if part is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part, "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "POST", "path": "/jobs/class/pause", "headers": [],
             "query_string": b"", "server": ("testserver", 80)}
    await get_asgi_application()(scope, receive, send)
    return sent[0]["status"]

assert asyncio.run(without_a_length(16_000)) == 403
other = Held.perform_in(60)
multipart = client.post(f"/jobs/job/{other.id}/cancel", form["fields"], **origin)
assert multipart.status_code == 403, "a middleware has read it"
print("done")
"""


def test_django(tmp_path):
    """One line in the URLconf; Django's own CSRF check does not come in the way."""
    needs("django")
    (tmp_path / "mounted_site.py").write_text(DJANGO)
    here = str(Path(__file__).parent)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {here!r}]; import mounted_site"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout == "done\n", done.stderr
