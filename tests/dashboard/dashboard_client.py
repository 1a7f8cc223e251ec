"""A small browser for the dashboard's tests: one app, cookies, and the forms of a page."""

from __future__ import annotations

import importlib
import io
import json
import os
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from counterpunch import dashboard

SOON = 10.0  # bound of every wait, in seconds


def needs(module):
    """The module of a host: without it the test is skipped, and fails where hosts are required."""
    if os.environ.get("COUNTERPUNCH_REQUIRE_HOSTS"):
        return importlib.import_module(module)
    try:
        return pytest.importorskip(module)
    except RuntimeError as exc:  # Starlette without the client that its tests need
        pytest.skip(str(exc))


class Page(HTMLParser):
    """What a test asks of a page: its text, its forms, its elements."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.forms, self.words, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        values = dict(attributes)
        self.elements.append((name, values))
        if name == "form":
            self.forms.append({"action": values.get("action"), "fields": {}, "label": None,
                               "method": values.get("method", "get")})  # fmt: skip
        elif name == "input" and self.forms and values.get("name"):
            self.forms[-1]["fields"][values["name"]] = values.get("value") or ""
        elif name == "button" and self.forms and self.forms[-1]["label"] is None:
            self.forms[-1]["label"] = values.get("aria-label")

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def form(self, label):
        found = [f for f in self.forms if f["label"] and f["label"].startswith(label)]
        assert found, (label, [f["label"] for f in self.forms])
        return found[0]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    @property
    def page(self):
        return Page(self.text)

    @property
    def json(self):
        return json.loads(self.body, parse_constant=lambda word: 1 / 0)


class Client:
    """Speaks WSGI through wsgiref's validator, which raises on any offence.

    The page is open to it; ``can_view=None`` is what a mount has by default.
    """

    def __init__(self, prefix="", **options):
        options.setdefault("can_view", dashboard.anyone)
        self.app = validator(dashboard.wsgi(**options))
        self.prefix = prefix
        self.cookie = None
        self.headers = {}

    def request(self, method, address, body=b"", **headers):
        split = urlsplit(address)
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": self.prefix,
            "PATH_INFO": split.path.encode().decode("latin-1"),
            "QUERY_STRING": split.query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "HTTP_HOST": "example.com",
        }
        if self.cookie:
            environ["HTTP_COOKIE"] = self.cookie
        for name, value in {**self.headers, **headers}.items():
            if name == "CONTENT_TYPE":
                environ[name] = value
            elif value is not None:
                environ["HTTP_" + name.upper()] = value
        setup_testing_defaults(environ)
        found = {}

        def start_response(status, headers, exc_info=None):
            found["status"], found["headers"] = int(status[:3]), headers

        chunks = self.app(environ, start_response)
        try:
            answer = b"".join(chunks)
        finally:
            chunks.close()
        headers = {}
        for name, value in found["headers"]:
            assert name.lower() not in headers, "no header twice"
            headers[name.lower()] = value
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return Answer(found["status"], headers, answer)

    def get(self, address, **headers):
        return self.request("GET", address, **headers)

    def json(self, address):
        answer = self.get(address, accept="application/json")
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json

    def post(self, address, fields, **headers):
        headers.setdefault("origin", "http://example.com")
        headers.setdefault("CONTENT_TYPE", "application/x-www-form-urlencoded")
        return self.request("POST", address, urlencode(fields).encode(), **headers)

    def press(self, page, label):
        """Submit the form of the first button whose label begins so, and follow it back."""
        form = page.form(label)
        assert form["method"] == "post"
        assert form["action"].startswith(self.prefix)
        answer = self.post(form["action"][len(self.prefix) :], form["fields"])
        if answer.status != 303:
            return answer
        location = answer.headers["location"]
        assert location.startswith(self.prefix)
        return self.get(location[len(self.prefix) :])


def yes(request):
    """An ``authorize`` for tests."""
    return True
