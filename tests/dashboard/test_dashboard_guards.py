"""Who may look and who may act: only True opens, and without a guard only this machine does."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from dashboard_client import SOON, Client, yes
from test_dashboard_asgi import call, scope_of

import counterpunch
from counterpunch import InvalidOption, Job, dashboard

HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000"}


class Response:
    """As the frameworks have them: true, whatever they mean."""

    status_code = 302


class Proxy:
    """As frameworks have them, of what there is in a request only."""

    def __getattribute__(self, name):
        raise RuntimeError("outside of a request")


class Nameless(type):
    def __getattribute__(cls, name):
        raise RuntimeError("no attribute is to be had")


class Odd(metaclass=Nameless):
    __qualname__ = "Odd\nERROR forged \x1b[2J"


class Lookalike:
    def __eq__(self, other):
        return True

    __hash__ = object.__hash__


def generator(request):
    yield False


async def coroutine(request):
    return True


async def async_generator(request):
    yield True


def leaves(request):
    raise SystemExit


class Object:
    async def __call__(self, request):
        return True


NOT_TRUE = {
    "response": lambda request: Response(),
    "pair": lambda request: ("Forbidden", 403),
    "proxy": lambda request: Proxy(),
    "odd": lambda request: object.__new__(Odd),
    "forgotten call": lambda request: yes,
    "generator": generator,
    "coroutine": coroutine,
    "async generator": async_generator,
    "async object": Object(),
    "text": lambda request: "yes",
    "one": lambda request: 1,
    "none": lambda request: None,
    "zero": lambda request: 0,
    "NotImplemented": lambda request: NotImplemented,
    "class": lambda request: Response,
    "equal to True": lambda request: Lookalike(),
    "raises": lambda request: 1 / 0,
    "raises SystemExit": leaves,
}


def complaints(caplog, name):
    return [record for record in caplog.records if f"dashboard: {name}" in record.getMessage()]


@pytest.mark.parametrize("guard", NOT_TRUE.values(), ids=NOT_TRUE)
def test_what_is_not_true_does_not_open(yard, caplog, guard):
    """Looking: 403, and said once, however often a stranger asks."""
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    client = Client(can_view=guard)
    for _ in range(3):
        answer = client.get("/running")
        assert answer.status == 403
        assert yard.running.id not in answer.text
    (record,) = complaints(caplog, "can_view")
    assert record.levelno == logging.ERROR


@pytest.mark.parametrize("guard", NOT_TRUE.values(), ids=NOT_TRUE)
def test_what_is_not_true_does_not_act(yard, caplog, guard):
    """No buttons, and 403 for a press."""
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    client = Client(authorize=guard)
    for _ in range(3):
        assert not [f for f in client.get("/waiting").page.forms if f["method"] == "post"]
        assert client.post(f"/job/{yard.waiting.id}/cancel", {}).status == 403
    assert yard.waiting.status == "queued"
    assert len(complaints(caplog, "authorize")) == 1


@pytest.mark.parametrize("guard", NOT_TRUE.values(), ids=NOT_TRUE)
def test_nor_under_asgi(yard, guard):
    """The loop goes on, whatever the guard raises."""
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    assert call(dashboard.asgi(can_view=guard), "GET", "/")[0] == 403


def test_false_is_an_answer_and_no_mistake(caplog):
    """Nothing is logged for it."""
    assert Client(can_view=lambda request: False).get("/").status == 403
    assert not complaints(caplog, "can_view")


def test_a_guard_that_raises_is_complained_of_again_after_an_hour(caplog, monkeypatch):
    """Another outage of the session store is news."""
    now = [1000.0]
    monkeypatch.setattr("counterpunch.dashboard.guards.monotonic", lambda: now[0])
    client = Client(can_view=NOT_TRUE["raises"])
    for passed, said in ((0, 1), (3599, 1), (1, 2), (3600, 3)):
        now[0] += passed
        client.get("/")
        client.get("/")
        assert len(complaints(caplog, "can_view")) == said


@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
def test_a_guard_sends_to_a_login(asgi):
    """303 to where it says, for a look and for a press; nothing of the page comes with it."""

    def guard(request):
        return dashboard.redirect(f"/login?next={request.prefix}{request.path}")

    if asgi:
        status, headers, body = call(dashboard.asgi(can_view=guard), "GET", "/waiting")
        assert (status, headers[b"location"], body) == (303, b"/login?next=/waiting", b"")
        return
    answer = Client("/ops", can_view=guard).get("/waiting.json")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/ops/waiting")
    assert not answer.body
    client = Client(authorize=guard)
    assert not [f for f in client.get("/").page.forms if f["method"] == "post"]
    answer = client.post("/class/pause", {})
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/class/pause")


@pytest.mark.parametrize(
    "url",
    ["", None, 1, "/a\r\nSet-Cookie: a=b", "javascript:alert(1)", "http://[", b"/login", "http:x",
     "//evil.example", "/\\evil.example", " //evil.example", "https:///x", "login", "../x"],
)  # fmt: skip
@pytest.mark.parametrize("made", [dashboard.redirect, dashboard.Redirect])
def test_a_redirect_leads_to_an_address(url, made):
    """A path of the site or a whole address; else refused where it is written, and in a guard
    that is a 403."""
    with pytest.raises(InvalidOption, match=r"dashboard\.redirect: url="):
        made(url)
    assert Client(can_view=lambda request: made(url)).get("/").status == 403


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({}, True),
        ({"HTTP_HOST": "LOCALHOST"}, True),
        ({"HTTP_HOST": "localhost."}, True),
        ({"HTTP_HOST": "jobs.localhost:80"}, True),
        ({"HTTP_HOST": "127.0.0.1:8000"}, True),
        ({"HTTP_HOST": "[::1]:8000", "REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, True),
        ({"REMOTE_ADDR": "127.8.9.10"}, True),
        ({"HTTP_HOST": "evil.example:8000"}, False),  # DNS rebinding
        ({"HTTP_HOST": "localhost.evil.example"}, False),
        ({"HTTP_HOST": "127.0.0.1.evil.example"}, False),
        ({"HTTP_HOST": "evil-localhost"}, False),
        ({"HTTP_HOST": "evil@localhost"}, False),
        ({"HTTP_HOST": "localhost, evil.example"}, False),
        ({"HTTP_HOST": "localhost evil.example"}, False),
        ({"HTTP_HOST": ""}, False),
        ({"HTTP_HOST": None}, False),
        ({"HTTP_HOST": "192.168.1.2"}, False),
        ({"REMOTE_ADDR": "192.168.1.2"}, False),
        ({"REMOTE_ADDR": "::ffff:10.0.0.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1.evil.example"}, False),
        ({"REMOTE_ADDR": ""}, False),
        ({"REMOTE_ADDR": None}, False),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
        ({"HTTP_X_FORWARDED_HOST": "jobs.example.com"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, False),
        ({"HTTP_FORWARDED": "for=127.0.0.1"}, False),
        ({"HTTP_X_REAL_IP": "10.0.0.1"}, False),
        ({"HTTP_VIA": "1.1 cache"}, False),
        ({"HTTP_FLY_CLIENT_IP": "10.0.0.1"}, False),
        ({"HTTP_X_AZURE_CLIENTIP": "10.0.0.1"}, False),
        ({"HTTP_X_AMZN_TRACE_ID": "Root=1"}, False),
        ({"HTTP_WL_PROXY_CLIENT_IP": "10.0.0.1"}, False),
        ({"HTTP_TAILSCALE_USER_LOGIN": "ada"}, False),
        ({"HTTP_CDN_LOOP": "cloudflare"}, False),
        ({"HTTP_X_REQUESTED_WITH": "fetch", "HTTP_ACCEPT": "*/*", "HTTP_DNT": "1"}, True),
        ({"HTTP_CF_CONNECTING_IP": "10.0.0.1"}, False),
        ({"HTTP_TRUE_CLIENT_IP": "10.0.0.1"}, False),
    ],
)
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
def test_without_a_guard_only_this_machine_may_look(yard, environ, allowed, asgi):
    """The peer, the name, and no proxy in between; for a press as for a look."""
    given = {name: value for name, value in {**HERE, **environ}.items() if value is not None}
    if asgi:
        headers = [
            (name[5:].replace("_", "-").lower().encode(), value.encode())
            for name, value in given.items()
            if name.startswith("HTTP_")
        ]
        peer = given.get("REMOTE_ADDR")
        client = None if peer is None else (peer, 50_000)
        scope = {**scope_of("GET", "/"), "headers": headers, "client": client}
        statuses = {asyncio.run(status_of(dashboard.asgi(), scope))}
    else:
        statuses = {plain_get(dashboard.wsgi(), given), plain_get(dashboard.wsgi(), given, "/x")}
    assert (statuses & {200}) == ({200} if allowed else set())
    assert (403 in statuses) is not allowed


async def status_of(app, scope):
    sent = []

    async def send(message):
        sent.append(message)

    await app(scope, None, send)
    return sent[0]["status"]


def plain_get(app, environ, path="/"):
    found = []
    given = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, **environ}
    app(given, lambda status, headers: found.append(int(status[:3])))
    return found[0]


def test_a_mount_is_opened_on_purpose():
    """For everybody, wherever from."""
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_HOST": "jobs.example.com"}
    assert plain_get(dashboard.wsgi(can_view=dashboard.anyone), environ) == 200
    assert plain_get(dashboard.wsgi(), environ) == 403


@pytest.mark.parametrize("path", ["/live", "/health", "/metrics"])
def test_probes_have_a_guard_of_their_own(path):
    """And follow ``can_view`` without one."""
    no = lambda request: False  # noqa: E731
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_HOST": "10.0.0.2:8000"}
    assert plain_get(dashboard.wsgi(can_view=no), environ, path) == 403
    assert plain_get(dashboard.wsgi(), environ, path) == 403
    opened = dashboard.wsgi(can_view=no, probes=dashboard.anyone)
    assert plain_get(opened, environ, path) in (200, 503)
    for other in ("/", "/threads", "/overview.json", f"{path}/x", "/nosuch"):
        assert plain_get(opened, environ, other) == 403
    assert plain_get(dashboard.wsgi(can_view=yes, probes=no), environ, path) == 403


def test_the_page_answers_to_its_names_alone():
    """A page of another site, whose name was made to lead here, has that name."""
    client = Client(hosts=("jobs.example.com", "[::1]"))
    for host, status in (
        ("jobs.example.com", 200),
        ("JOBS.example.com:8443", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("jobs.example.com.evil.example", 403),
        ("", 403),
    ):
        assert client.get("/", host=host).status == status
    assert client.get("/assets/style.css", host="evil.example").status == 403


@pytest.mark.parametrize("hosts", ["jobs.example.com", (1,), ("a b",), ("http://a",), 7])
def test_hosts_that_are_none_are_refused(hosts):
    """A text is a sequence of texts as well."""
    with pytest.raises(InvalidOption, match="dashboard: hosts="):
        dashboard.wsgi(hosts=hosts)


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        ("/threads/", "/threads"),
        ("/threads/.json", "/threads.json"),
        ("//threads", "/threads"),
        ("/job//x", "/job/x"),
        ("/waiting/?page=2", "/waiting?page=2"),
        ("/metrics/", "/metrics"),
        ("//evil.example/", "/evil.example"),
    ],
)
def test_each_page_has_one_address(alias, canonical):
    """A guard, or a rule of the server in front, that looks at the path cannot be passed by
    another way of writing it."""
    asked = []
    client = Client("/ops", can_view=lambda request: asked.append(request.path) or True)
    path, _, query = alias.partition("?")
    environ = {"PATH_INFO": path, "QUERY_STRING": query}
    answer = client.get("/x")
    asked.clear()
    found = []
    given = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/ops", **environ}
    app = dashboard.wsgi(can_view=lambda request: asked.append(request.path) or True)
    app(given, lambda status, headers: found.append((status[:3], dict(headers)["Location"])))
    assert found == [("303", f"/ops{canonical}")]
    assert not asked
    assert answer.status == 404


def test_a_guard_gets_the_path_in_its_one_form():
    """Without an ending; the overview by its one name."""
    asked = []
    client = Client(can_view=lambda request: asked.append((request.path, request.ending)) or True)
    for path in ("/threads", "/threads.json", "/overview", "/overview.json", "/"):
        assert client.get(path).status == 200
    assert asked == [
        ("/threads", ""),
        ("/threads", ".json"),
        ("/", ""),
        ("/", ".json"),
        ("/", ""),
    ]


def test_a_write_to_another_form_of_the_address_is_none(yard):
    """404, and nothing has happened."""
    client = Client(authorize=yes)
    client.get("/")
    token = client.cookie.partition("=")[2]
    answer = client.post(f"/job/{yard.waiting.id}/cancel/", {"token": token})
    assert answer.status == 404
    assert yard.waiting.status == "queued"


def records(caplog):
    return [r for r in caplog.records if hasattr(r, "action")]


def test_each_action_leaves_a_record(yard, caplog):
    """Who, what, and which job or class; in the log as it is without any set-up."""
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    client = Client(authorize=yes, actor=lambda request: "ada\nERROR root forged\x1b[2J")
    client.press(client.get("/waiting").page, "Cancel Gated")
    client.press(client.get("/").page, "Pause Gated")
    cancelled, paused = records(caplog)
    assert (cancelled.action, cancelled.job_id) == ("cancel", yard.waiting.id)
    assert yard.waiting.id in cancelled.getMessage()
    assert "ada" in cancelled.getMessage()
    assert cancelled.getMessage().isprintable(), "one line"
    assert (paused.action, paused.job.rpartition(".")[2]) == ("pause", "Gated")
    assert paused.levelno >= logging.WARNING


def test_without_an_actor_it_was_somebody_at_an_address(yard, caplog):
    """And so if it raises, or gives no text."""
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    for actor, who in (
        (None, "somebody at "),
        (lambda request: 1 / 0, "raised ZeroDivision"),
        (lambda request: 7, ": 7: "),
    ):
        caplog.clear()
        client = Client(authorize=yes, actor=actor)
        client.press(client.get("/").page, "Pause Failing")
        client.press(client.get("/").page, "Resume Failing")
        assert [who in record.getMessage() for record in records(caplog)] == [True, True]


def test_a_refused_press_leaves_none_but_what_the_job_refused_does(yard, caplog):
    """A stranger cannot fill the log."""
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)
    client = Client(authorize=yes)
    client.post(f"/job/{yard.waiting.id}/cancel", {"token": "x"})
    assert not records(caplog)
    client.get("/")
    token = client.cookie.partition("=")[2]
    assert client.post(f"/job/{yard.failed.id}/cancel", {"token": token}).status == 409
    (record,) = records(caplog)
    assert record.getMessage().endswith("refused")


def test_a_second_press_of_retry_makes_no_second_job(yard):
    """409, with a link to the first one's."""
    client = Client("/ops", authorize=yes)
    page = client.get("/failed").page
    client.press(page, "Retry Failing")
    answer = client.press(page, "Retry Failing")
    assert answer.status == 409
    again = client.json(f"/job/{yard.failed.id}")["retried_as"]
    assert f'href="/ops/job/{again}"' in answer.text
    assert len(counterpunch.jobs(yard.failed.job)) == 2


def test_presses_at_the_same_moment_make_one_job(monkeypatch):
    """While the first is still at it, the second is refused."""
    entered, gate = threading.Event(), threading.Event()

    class Mail(Job):
        def perform(self):
            raise OSError

        def on_enqueue(self):
            if threading.current_thread() is not threading.main_thread():
                entered.set()
                gate.wait(SOON)

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    handle = Mail.perform_async()
    handle.exception(SOON)
    clients = [Client(authorize=yes) for _ in range(2)]
    pages = [client.get("/failed").page for client in clients]
    first = threading.Thread(target=clients[0].press, args=(pages[0], "Retry"))
    first.start()
    assert entered.wait(SOON)
    assert clients[1].press(pages[1], "Retry").status == 409
    gate.set()
    first.join(SOON)
    assert len(counterpunch.jobs(Mail)) == 2
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


def test_a_retry_that_was_refused_can_be_pressed_again(yard):
    """The first press made nothing."""
    client = Client(authorize=yes)
    page = client.get("/failed").page
    counterpunch.quiet()
    assert client.press(page, "Retry Failing").status == 409
    assert "already" not in client.press(page, "Retry Failing").text


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"x_forwarded_proto": "https"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "none", "host": "localhost:8000"}, False),
        ({"x_forwarded_proto": "http"}, False),
    ],
)
def test_the_cookie_is_secure_behind_tls(headers, secure):
    """Though the server itself speaks http: by what a proxy or the browser says."""
    cookie = Client(authorize=yes).get("/", **headers).headers["set-cookie"]
    assert cookie.endswith("; Secure") is secure
