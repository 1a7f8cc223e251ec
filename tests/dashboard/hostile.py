"""Random requests at a shell of the dashboard, and what every answer has to keep.

``python hostile.py django 20000`` runs them in Django, which a process can set up but once.
"""

from __future__ import annotations

import asyncio
import io
import random
import sys

from counterpunch import dashboard
from counterpunch.dashboard.message import PHRASES

PARTS = [
    "", ".", "..", "running", "waiting", "scheduled", "failed", "finished", "periodic", "threads",
    "health", "live", "metrics", "processes", "find", "job", "class", "failures", "overview",
    "assets", "style.css", "script.js", "routes.py", "pause", "resume", "cancel-all", "cancel",
    "retry", "discard", "run", "bulk", "confirm", "process", "quiet", "theme", "dark", ".json",
    "running.json", "x", "0-0-0", "%2e%2e", "a" * 300, "\x00", "\r\nSet-Cookie: a=b", "\n", "é",
    "\N{SNOWMAN}", "<script>", "'\"", "//evil.example", "\\evil.example", "http:", "?", "#", ";",
]  # fmt: skip
WORDS = [
    "job", "status", "tag", "page", "q", "sort", "note", "in", "n", "left", "back", "token", "id",
    "process", "error", "a", "", "-1", "1e999", "NaN", "9" * 30, "0", "/waiting", "//evil.example",
    "https://evil.example/", "/\r\nX: y", "<script>alert(1)</script>", "%", "%ff", "\x00", "é", "&",
    "=", "+", "x" * 5000,
]  # fmt: skip
FIELDS = ["job", "status", "tag", "sort", "back", "process", "error", "q"]
HEADERS = {
    "host": ["localhost", "example.com", "", "evil.example:99999", "[::1]", "a\tb", "é", "x" * 500],
    "origin": ["http://localhost", "null", "http://[", "é", "https://example.com", ""],
    "referer": ["http://localhost/x", "//", "javascript:1", ""],
    "sec-fetch-site": ["same-origin", "cross-site", "none", "x", ""],
    "cookie": ["counterpunch_token=" + "0" * 32, "=;=;", ";" * 500, "counterpunch_token=é", "a=b"],
    "x-csrf-token": ["0" * 32, "é", ""],
    "accept": ["text/html", "application/json;q=x", "application/json;q=1e999", ",;=" * 100, ""],
    "content-type": ["application/x-www-form-urlencoded", "multipart/form-data", "x", "é", ""],
    "content-length": ["0", "5", "-1", "1e3", "9" * 30, "é", "\u0661", "", " 5", "0x5"],
    "transfer-encoding": ["chunked", "x", ""],
    "x-forwarded-for": ["1.2.3.4", "é", ""],
    "x-forwarded-proto": ["https", "x"],
    "accept-encoding": ["gzip"],
    "if-none-match": ["*"],
    "x-" + "y" * 200: ["z"],
}
METHODS = ["GET"] * 6 + ["POST"] * 5 + [
    "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "", "PRI", "G\nT", "é",
]  # fmt: skip


class Hostile:
    """One random request after the other, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self):
        pick = self.random
        path = "/".join(pick.choices(PARTS, k=pick.randrange(6)))
        if pick.random() < 0.9:
            path = "/" + path
        pairs = [f"{pick.choice(WORDS)}={pick.choice(WORDS)}" for _ in range(pick.randrange(6))]
        query = "&".join(pairs) if pick.random() < 0.95 else "a=1&" * 1000
        headers = {
            name: pick.choice(values) for name, values in HEADERS.items() if pick.random() < 0.4
        }
        body = "&".join(
            f"{pick.choice(WORDS)}={pick.choice(WORDS)}" for _ in range(pick.randrange(5))
        )
        if pick.random() < 0.3:  # all that a write needs
            headers |= {"host": "localhost", "origin": "http://localhost"}
            headers |= {"cookie": HEADERS["cookie"][0], "content-type": HEADERS["content-type"][0]}
            if pick.random() < 0.8:  # and is understood
                query = ""
                body = "&".join(
                    f"{pick.choice(FIELDS)}={pick.choice(WORDS)}" for _ in range(pick.randrange(5))
                )
            body = f"token={'0' * 32}&{body}"
            headers["content-length"] = str(len(body.encode()))
        prefix = pick.choice(["", "", "/ops", "/é", "//evil.example", "/a b", "/<script>", "/\r\n"])
        return pick.choice(METHODS), path, query, headers, body.encode(), prefix


def check(request, status, headers, body):
    """What holds for every answer, whatever was asked."""
    method, path = request[:2]
    assert status in PHRASES, (request, status)
    probe = path.strip("/").partition(".")[0] in ("health", "live")
    assert status < 500 or probe, (request, status)
    for name, value in headers:
        assert not set(name + value) & set("\r\n\x00"), (request, name, value)
    found = {name.lower(): value for name, value in headers}
    assert len(found) == len(headers), request
    assert found.get("x-frame-options") == "DENY", request
    location = found.get("location")
    if location is not None:
        assert location.startswith("/"), (request, location)
        assert not location.startswith(("//", "/\\")), (request, location)
    if method == "HEAD":
        assert body == b"", request
    elif "content-length" in found:
        assert int(found["content-length"]) == len(body), request
    if status != 200:
        assert b"Traceback" not in body, request


def open_to_all(request):
    return True


OPTIONS = {"can_view": open_to_all, "authorize": open_to_all}


def at_wsgi(count, seed=1):
    app, hostile = dashboard.wsgi(**OPTIONS), Hostile(seed)
    for _ in range(count):
        request = method, path, query, headers, body, prefix = hostile.one()
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": prefix.encode().decode("latin-1"),
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query.encode().decode("latin-1"),
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            "REMOTE_ADDR": "127.0.0.1",
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key.startswith("CONTENT") else f"HTTP_{key}"] = value
        answers: list = []
        chunks = app(environ, lambda line, sent, answers=answers: answers.append((line, sent)))
        ((line, sent),) = answers
        check(request, int(line[:3]), sent, b"".join(chunks))


def at_asgi(count, seed=2, app=None):
    async def all_of_them():
        mount, hostile = app or dashboard.asgi(**OPTIONS), Hostile(seed)
        for _ in range(count):
            request = method, path, query, headers, body, prefix = hostile.one()
            half = hostile.random.randrange(len(body) + 1)
            parts = [(body[:half], True), (body[half:], False)]

            async def receive(parts=parts):
                if not parts:
                    return {"type": "http.disconnect"}
                part, more = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": more}

            sent: list = []

            async def send(message, sent=sent):
                sent.append(message)

            scope = {
                "type": "http",
                "method": method,
                "path": path,
                "root_path": prefix,
                "query_string": query.encode(),
                "headers": [(n.encode(), v.encode()) for n, v in headers.items()],
                "client": ("127.0.0.1", 1),
            }
            await mount(scope, receive, send)
            if sent:
                start, last = sent
                pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in start["headers"]]
                check(request, start["status"], pairs, last["body"])

    asyncio.run(all_of_them())


def at_django(count, seed=3):
    """Through Django's own WSGI handler, its middleware and its URLs."""
    import django
    from django.conf import settings

    settings.configure(
        ROOT_URLCONF="hostile", ALLOWED_HOSTS=["*"], SECRET_KEY="tests", LOGGING_CONFIG=None,
    )  # fmt: skip
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.urls import path as route

    import counterpunch.integrations.django

    mount = counterpunch.integrations.django.dashboard.urls(**OPTIONS)
    sys.modules["hostile"].urlpatterns = [route("jobs/", mount)]
    handler, hostile = get_wsgi_application(), Hostile(seed)
    for _ in range(count):
        request = method, path, query, headers, body, _ = hostile.one()
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": "/jobs" + path.encode().decode("latin-1"),
            "QUERY_STRING": query.encode().decode("latin-1"),
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key.startswith("CONTENT") else f"HTTP_{key}"] = value
        answers: list = []
        chunks = handler(environ, lambda line, sent, answers=answers: answers.append((line, sent)))
        ((line, sent),) = answers
        text = b"".join(chunks)
        if int(line[:3]) in (400, 404) and b"counterpunch" not in text and b"error" not in text:
            continue  # Django's own answer, to a host or a path that never came to us
        if method == "HEAD":
            text = b""  # Django leaves it to the server to send none
        check(request, int(line[:3]), [p for p in sent if p[0] != "Set-Cookie"], text)


if __name__ == "__main__":
    sys.modules["hostile"] = sys.modules["__main__"]
    at_django(int(sys.argv[2]))
    print("done")
