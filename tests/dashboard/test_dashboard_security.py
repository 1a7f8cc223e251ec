"""Safe by default: who may look, who may change, and what a hostile job can do (nothing)."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlencode

import pytest
from dashboard_client import SOON, Client, yes

import counterpunch
from counterpunch import InvalidOption, Job, dashboard

EVIL = (
    "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&"
    "\u2028\u200f\u202e\u2066\x85\r\x1b\x00\ud800"
)
NAME = EVIL[:-2]  # a class cannot be called by the last two


@pytest.fixture
def token_client():
    client = Client(authorize=yes)
    client.get("/")
    return client, client.cookie.partition("=")[2]


def test_without_authorize_it_is_read_only(yard):
    """No buttons, no cookie, and every write is refused, whatever comes with it."""
    client = Client()
    for route in ("/", "/running", "/waiting", "/failed", "/periodic"):
        answer = client.get(route)
        assert "set-cookie" not in answer.headers
        assert not [form for form in answer.page.forms if form["method"] == "post"]
    client.cookie = "counterpunch_token=" + "0" * 32
    answer = client.post(f"/job/{yard.waiting.id}/cancel", {"token": "0" * 32})
    assert answer.status == 403
    assert "read-only" in answer.page.text
    assert yard.waiting.status == "queued"


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_authorize_that_says_no_leaves_it_read_only(yard, answer):
    """Asked for the buttons and again for the write."""
    asked = []
    client = Client(authorize=lambda request: asked.append(request.method) or answer)
    assert not [f for f in client.get("/waiting").page.forms if f["method"] == "post"]
    assert client.post(f"/job/{yard.waiting.id}/cancel", {}).status == 403
    assert asked == ["GET", "POST"]
    assert yard.waiting.status == "queued"


def test_authorize_that_raises_or_is_a_coroutine_is_a_no(yard):
    """A coroutine is true; taking it for a yes would open the door."""

    def broken(request):
        raise RuntimeError("session store is down")

    async def later(request):
        return False

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    for authorize in (broken, later):
        client = Client(authorize=authorize)
        assert client.get("/").status == 200
        assert client.post(f"/job/{yard.waiting.id}/cancel", {}).status == 403
    for can_view in (broken, later):
        assert Client(can_view=can_view).get("/").status == 403


def test_can_view_guards_every_page_and_every_write(yard):
    """403 for all but the stylesheet, before a 404 could tell what exists."""
    seen = []
    client = Client(authorize=yes, can_view=lambda request: seen.append(request.raw) and False)
    for route in ("/", "/running", f"/job/{yard.running.id}", "/metrics", "/health", "/nosuch"):
        answer = client.get(route)
        assert answer.status == 403
        assert yard.running.id not in answer.text
    assert client.post(f"/job/{yard.waiting.id}/cancel", {}).status == 403
    assert seen[0]["PATH_INFO"] == "/"
    assert client.get("/assets/style.css").status == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"origin": "http://example.com"}, True),
        ({"origin": "https://example.com"}, True),  # TLS ends at a proxy
        ({"origin": None, "referer": "http://example.com/ops/waiting"}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-origin", "origin": None}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://example.com.evil.example"}, False),
        ({"origin": "http://example.com:8080"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://[bad"}, False),
        ({"origin": None}, False),
        ({"origin": None, "referer": "http://evil.example/?http://example.com/"}, False),
    ],
)
def test_writes_come_from_this_origin_only(yard, token_client, headers, allowed):
    """By Sec-Fetch-Site, or by Origin, or by Referer; no word of it is a no."""
    client, token = token_client
    answer = client.post(f"/job/{yard.waiting.id}/cancel", {"token": token}, **headers)
    assert answer.status == (303 if allowed else 403)
    assert yard.waiting.status == ("cancelled" if allowed else "queued")


@pytest.mark.parametrize("sent", ["", "0" * 32, "x", "\u00e9"])
def test_writes_need_the_token_of_the_cookie(yard, token_client, sent):
    """Another token, or none, is refused; so is any without the cookie."""
    client, token = token_client
    path = f"/job/{yard.waiting.id}/cancel"
    assert client.post(path, {"token": sent}).status == 403
    assert client.post(path, {}).status == 403
    client.cookie = None
    assert client.post(path, {"token": token}).status == 403
    client.cookie = "counterpunch_token="
    assert client.post(path, {"token": ""}).status == 403
    assert yard.waiting.status == "queued"


def test_the_cookie_is_narrow():
    """Below the mount point, not for scripts, not sent by other sites, secure under https."""
    client = Client("/ops", authorize=yes)
    first = client.get("/").headers["set-cookie"]
    assert first.endswith("; Path=/ops; HttpOnly; SameSite=Strict")
    again = client.get("/").headers["set-cookie"]
    assert again == first, "pages open in other tabs stay valid"
    request = dashboard.Request("GET", "/", scheme="https")
    answer = dashboard.respond(request, dashboard.Settings(can_view=yes, authorize=yes))
    assert dict(answer.headers)["Set-Cookie"].endswith("; Secure")


def test_every_answer_has_the_headers(yard):
    """Pages, JSON, assets, redirects and errors alike."""
    client = Client(authorize=yes)
    routes = ["/", "/running.json", "/assets/script.js", "/find?id=1", "/nosuch", "/metrics"]
    answers = [client.get(route) for route in routes]
    answers += [client.request("DELETE", "/"), client.post("/job/x/cancel", {})]
    assert [a.status for a in answers] == [200, 200, 200, 303, 404, 200, 405, 403]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_methods_that_do_not_fit_are_405_with_allow(yard):
    """And none of them changes anything."""
    client = Client(authorize=yes)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = client.request(method, "/running")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    for method in ("GET", "HEAD", "PUT"):
        answer = client.request(method, f"/job/{yard.waiting.id}/cancel")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert client.request("POST", "/assets/style.css").status == 405
    assert yard.waiting.status == "queued"


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch",
        "/job",
        "/job/a/b/c",
        "/job/a/explode",
        "/class/explode",
        "/assets",
        "/assets/../routes.py",
        "/assets/routes.py",
        "/assets/__init__.py",
        "/running/x",
        "/\N{SNOWMAN}",
    ],
)
def test_what_does_not_exist_is_404(path):
    """Also with POST, and as JSON."""
    client = Client(authorize=yes)
    assert client.get(path).status == 404
    assert client.post(path, {}).status == 404
    assert "error" in client.get(path, accept="application/json").json


def test_the_body_is_bounded(yard, token_client):
    """Too long is 413; a length that is none is 400; chunked is 411."""
    client, token = token_client
    path = f"/job/{yard.waiting.id}/cancel"
    big = b"token=" + token.encode() + b"&x=" + b"a" * 100_000
    kind = "application/x-www-form-urlencoded"
    answer = client.request("POST", path, big, CONTENT_TYPE=kind, origin="http://example.com")
    assert answer.status == 413
    for length, status in (("9" * 30, 413), ("-1", 400), ("1e3", 400), ("\u0661", 400)):
        found = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_LENGTH": length,
            "wsgi.input": None,
        }
        start_response = lambda line, headers, found=found: found.append(line)  # noqa: E731
        dashboard.wsgi(can_view=yes, authorize=yes)(environ, start_response)
        assert found[0].startswith(str(status))
    assert client.post(path, {"token": token}, transfer_encoding="chunked").status == 411
    assert yard.waiting.status == "queued"


@pytest.mark.parametrize(
    ("back", "location"),
    [
        ("/waiting?job=Gated&page=2", "/ops/waiting?job=Gated&page=2&note=cancelled"),
        ("/waiting?note=paused", "/ops/waiting?note=cancelled"),
        ("https://evil.example/", "/ops/?note=cancelled"),
        ("//evil.example/waiting", "/ops/?note=cancelled"),
        ("/\\evil.example", "/ops/?note=cancelled"),
        ("javascript:alert(1)", "/ops/?note=cancelled"),
        ("/waiting\r\nSet-Cookie: a=b", "/ops/?note=cancelled"),
        ("/job/x/cancel", "/ops/?note=cancelled"),
        ("http://[", "/ops/?note=cancelled"),
        ("", "/ops/?note=cancelled"),
    ],
)
def test_an_action_leads_back_to_our_own_pages_only(yard, back, location):
    """Whatever the form says."""
    client = Client("/ops", authorize=yes)
    client.get("/")
    fields = {"token": client.cookie.partition("=")[2], "back": back}
    answer = client.post(f"/job/{yard.waiting.id}/cancel", fields)
    assert (answer.status, answer.headers["location"]) == (303, location)


def test_a_note_in_the_address_is_one_of_ours():
    """Nobody can put words on the page with a link."""
    answer = Client().get("/?note=%3Cscript%3Eall+is+lost")
    assert "all is lost" not in answer.page.text
    assert 'role="status"' not in answer.text


class Broken(Exception):
    def __str__(self):
        raise SystemExit("from __str__")

    __repr__ = __str__


class Rude:
    def __repr__(self):
        raise KeyboardInterrupt


class Loud(str):
    def __str__(self):
        return "<script>from str</script>"

    __repr__ = __format__ = __html__ = __str__


@pytest.fixture
def hostile():
    """A class whose name, arguments, data, progress, tags and errors all mean harm."""
    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    gate, entered = threading.Event(), threading.Semaphore(0)

    def perform(self, *args, **kwargs):
        loop: list = []
        loop.append(loop)
        self.set_status(
            **{EVIL: EVIL},
            big="A" * 3_000_000,
            loud=Loud(EVIL),
            rude=Rude(),
            nan=float("nan"),
            huge=10**5000,
            loop=loop,
            deep={"a": {"b": {"c": [EVIL] * 1000}}},
            many=list(range(100_000)),
        )
        self.progress(float("nan"), Rude(), EVIL * 1000)
        entered.release()
        gate.wait(SOON)
        if kwargs.get("broken"):
            raise Broken
        raise RuntimeError(EVIL + "B" * 2_000_000)

    cls = type(Job)("Evil", (Job,), {"perform": perform, "__qualname__": NAME, "workers": 2})
    using = cls.using(tags=(EVIL, "T" * 10_000))
    handles = [
        using.perform_async(EVIL, "C" * 1_000_000, Rude(), [Rude()], **{EVIL: EVIL}),
        using.perform_async(Loud(EVIL), float("inf"), broken=True),
    ]
    for _ in handles:
        assert entered.acquire(timeout=SOON)
    yield handles, gate
    gate.set()
    counterpunch.shutdown(timeout=5)
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


def check_harmless(client, route):
    answer = client.get(route)
    assert answer.status == 200, route
    assert len(answer.body) < 300_000, "megabytes are cut"
    page = answer.page
    names = [name for name, _ in page.elements]
    assert names.count("script") == 1
    assert "img" not in names
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), attributes
    assert "<script>from" not in answer.text
    controls = {char for char in answer.text if not char.isprintable()}
    assert controls <= {"\n", "\t"}, "nothing moves a cursor, or turns the text around it"
    data = client.get(route, accept="application/json")
    assert data.json
    assert len(data.body) < 300_000


def test_a_hostile_job_is_shown_harmlessly(hostile):
    """While it runs and after it failed, on every page that shows it, as HTML and JSON."""
    handles, gate = hostile
    client = Client(authorize=yes)
    for route in ("/", "/running", *(f"/job/{handle.id}" for handle in handles)):
        check_harmless(client, route)
    assert "alert(1)" in client.get(f"/job/{handles[0].id}").page.text, "as text, it is there"
    gate.set()
    for handle in handles:
        assert isinstance(handle.exception(SOON), (RuntimeError, Broken))
    for route in ("/", "/failed", "/finished", *(f"/job/{handle.id}" for handle in handles)):
        check_harmless(client, route)


def test_a_hostile_class_can_still_be_steered(hostile):
    """Its name travels in a form, whatever is in it."""
    handles, gate = hostile
    client = Client(authorize=yes)
    gate.set()
    for handle in handles:
        handle.exception(SOON)
    client.press(client.get("/").page, "Pause")
    (row,) = client.json("/")["classes"]
    assert (row["job"], row["paused"]) == (NAME, True)
    assert client.get("/finished?" + urlencode({"job": NAME})).text.count("<tr>") == 3


def test_hostile_queries_are_harmless(yard):
    """In the filter fields, the page number and the id."""
    client = Client(authorize=yes)
    evil = "%3C%2Foption%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%22"
    for route in (
        f"/waiting?job={evil}&tag={evil}&status={evil}&page={evil}",
        f"/finished?tag={'x' * 100_000}",
        f"/find?id={evil}",
        f"/job/{evil}",
        "/?" + "a=1&" * 1000,
        "/?%ff%fe=%00",
    ):
        answer = client.get(route)
        assert answer.status in (200, 303, 404)
        assert "<script>alert" not in answer.text
        assert len(answer.body) < 50_000


def test_arguments_are_hidden_by_an_option(yard):
    """arguments=False hides arguments and results; so do log_args on a class and in configure."""

    class Secret(Job):
        log_args = False

        def perform(self, password: str) -> str:
            return password

    Secret.perform_async("hunter2").result(SOON)
    assert "hunter2" not in Client().get("/finished").text
    assert "hidden" in Client().get("/finished").page.text

    client = Client(arguments=False)
    assert "first" not in client.get("/running").text
    assert client.json("/running")["jobs"][0]["arguments"] is None
    counterpunch.configure(log_args=False)
    client = Client()
    assert client.json("/running")["jobs"][0]["arguments"] is None
    yard.open()
    yard.running.result(SOON)
    assert client.json(f"/job/{yard.running.id}")["result"] is None


@pytest.mark.parametrize("redact", [("password",), lambda name, value: value[:1] + "***"])
def test_single_arguments_are_hidden_by_name_or_by_a_function(redact):
    """On every page and in JSON; what a function returns is shown, escaped like the rest."""

    class Login(Job):
        def perform(self, user: str, password: str, note: str = "") -> None:
            raise KeyError

    logging.getLogger("counterpunch").setLevel(logging.CRITICAL)
    Login.redact = redact
    Login.perform_async("<ada>", "hunter2").exception(SOON)
    handle = Login.perform_in(3600, "<ada>", password="hunter2")
    client = Client()
    for route in ("/failed", "/finished", "/scheduled", f"/job/{handle.id}"):
        check_harmless(client, route)
        assert "hunter2" not in client.get(route).text
        assert "hunter2" not in client.get(route, accept="application/json").text
    (row,) = client.json("/scheduled")["jobs"]
    if isinstance(redact, tuple):
        assert row["arguments"] == "'<ada>', password=[hidden]"
    else:
        assert row["arguments"] == "'<***', password='h***'"
    logging.getLogger("counterpunch").setLevel(logging.NOTSET)


def test_a_page_that_cannot_be_made_is_a_500_without_details(yard):
    """The reason is in the log, not on the page."""

    def broken():
        raise RuntimeError("secret")

    answer = Client(health=broken).get("/")
    assert answer.status == 500
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "options",
    [
        {"authorize": True},
        {"can_view": "admin"},
        {"arguments": "no"},
        {"refresh": -1},
        {"refresh": float("nan")},
        {"health": None},
    ],
)
def test_bad_options_are_refused_at_the_mount(options):
    """By name; a misspelt one too."""
    for mount in (dashboard.wsgi, dashboard.asgi):
        with pytest.raises(InvalidOption, match=f"dashboard: {next(iter(options))}="):
            mount(**options)
        with pytest.raises(TypeError, match="no option 'autorize'; there are authorize, can_view"):
            mount(autorize=yes)
