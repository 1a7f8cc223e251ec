"""``examples/signup.py``, run as its readers run it: real processes, real HTTP and SMTP."""

import base64
import http.client
import itertools
import json
import re
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import pytest
from example_processes import EXAMPLES, LONG, Process, eventually, posix_signals


class Signup(Process):
    """``examples/signup.py``, which can be asked as soon as it has said where."""

    def __init__(self, **env: str) -> None:
        super().__init__(str(EXAMPLES / "signup.py"), "--port", "0", **env)

    @cached_property
    def port(self) -> int:
        return int(eventually(self.listening, "an address in the output")[0])

    def listening(self) -> list[Any]:
        assert self.popen.poll() is None, self.output
        return self.matches(r"^listening on http://127\.0\.0\.1:(\d+)$")

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def ask_json(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": kind} if kind else {}
        status, answered, text = self.ask(method, path, body, **headers)
        assert answered["Content-Type"] == "application/json; charset=utf-8"
        return status, json.loads(text)

    def sign_up(self, email: str) -> dict[str, Any]:
        body = json.dumps({"email": email, "name": "Ada"}).encode()
        status, answer = self.ask_json("POST", "/signup", body, "application/json")
        assert status == 202, answer
        return answer

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self.ask_json("GET", f"/jobs/{job_id}")
        assert status == 200, answer
        return answer

    def finished(self, job_id: str) -> dict[str, Any]:
        """Poll as a page would, until the job is done."""

        def probe() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["done"] else None

        job = eventually(probe, f"job {job_id} done")
        assert job is not None
        return job


@pytest.fixture
def start() -> Iterator[Callable[..., Signup]]:
    """Start sign-up servers that the test need not stop."""
    servers: list[Signup] = []

    def start_one(**env: str) -> Signup:
        servers.append(Signup(**env))
        return servers[-1]

    yield start_one
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def shared() -> Iterator[Signup]:
    """One server for the tests that do not stop it."""
    server = Signup()
    yield server
    server.kill()


class SignedUp(NamedTuple):
    """A server, and what it answered to its sign-ups."""

    server: Signup
    answers: list[dict[str, Any]]


@pytest.fixture(scope="module")
def signed_up() -> Iterator[dict[str, SignedUp]]:
    """Servers that have work to do, at the same time; two of them have been told to stop."""
    sign_ups = {"four": 4, "reminder": 1, "SIGINT": 8, "SIGTERM": 8}
    servers = {
        name: Signup(**({"REMINDER_SECONDS": "0.2"} if name == "reminder" else {}))
        for name in sign_ups
    }
    found = {}
    try:
        for name, server in servers.items():
            users = range(sign_ups[name])
            answers = [server.sign_up(f"user{number}@example.com") for number in users]
            found[name] = SignedUp(server, answers)
            if name in signal.Signals.__members__:
                server.popen.send_signal(signal.Signals[name])
        yield found
    finally:
        for server in servers.values():
            server.kill()


class Mailbox(socketserver.ThreadingTCPServer):
    """An SMTP server for SMTP_URL, which greets nobody before ``opened`` is set."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Conversation)
        self.opened = threading.Event()
        self.knocks = itertools.count(1)
        self.waiting = 0
        self.credentials: list[str] = []
        self.messages: list[str] = []
        self.port = self.server_address[1]

    class Conversation(socketserver.StreamRequestHandler):
        server: "Mailbox"

        def handle(self) -> None:
            self.server.waiting = next(self.server.knocks)
            self.server.opened.wait(LONG)
            self.wfile.write(b"220 hello\r\n")
            while (line := self.rfile.readline().rstrip()) and line != b"QUIT":
                verb, answer = line[:4].upper(), b"250 OK"
                if verb == b"EHLO":
                    answer = b"250-hello\r\n250 AUTH PLAIN"
                elif verb == b"AUTH":
                    token = base64.b64decode(line.split()[-1]).decode()
                    self.server.credentials.append(token)
                    answer = b"235 welcome"
                elif verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    self.server.messages.append(b"".join(lines).decode())
                self.wfile.write(answer + b"\r\n")
            self.wfile.write(b"221 bye\r\n")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.opened.set()
        server.shutdown()
        thread.join(LONG)


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LONG).close()
    except OSError:
        return True
    return False


# signup.py


def test_sign_up_is_answered_at_once_and_mailed_with_a_retry(
    signed_up: dict[str, SignedUp],
) -> None:
    """The sink refuses the third message only: four sign-ups take five messages."""
    server, answers = signed_up["four"]
    jobs = [server.finished(answer["job_id"]) for answer in answers]

    assert [answer["user_id"] for answer in answers] == [1, 2, 3, 4]
    assert [job["id"] for job in jobs] == [answer["job_id"] for answer in answers]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert sorted(job["attempt"] for job in jobs) == [1, 1, 1, 2]
    assert all(job["progress"] == [2, 2, "sent"] for job in jobs)
    assert all(job["enqueued_at"] <= job["started_at"] <= job["finished_at"] for job in jobs)

    def printed() -> list[Any]:
        found = server.matches(r"^mail (\w+): (\S+) \| Welcome! \| Hello Ada,")
        return found if len(found) >= 5 else []

    mails = eventually(printed, "five messages in the output")
    assert [verdict for verdict, _ in mails].count("refused") == 1
    delivered = sorted(email for verdict, email in mails if verdict == "delivered")
    assert delivered == [f"user{number}@example.com" for number in range(4)]


def test_a_reminder_waits_and_is_then_sent(signed_up: dict[str, SignedUp]) -> None:
    server, [answer] = signed_up["reminder"]
    job = server.finished(answer["reminder_id"])
    assert job["status"] == "succeeded"
    assert job["enqueued_at"] < job["run_at"] <= job["started_at"]
    pattern = r"^mail delivered: user0@example.com \| Your account is waiting \|"
    assert len(eventually(lambda: server.matches(pattern), "the reminder in the output")) == 1


def test_a_job_not_yet_due_can_be_polled(shared: Signup) -> None:
    job = shared.job(shared.sign_up("ada@example.com")["reminder_id"])
    assert (job["status"], job["done"], job["attempt"]) == ("scheduled", False, 0)
    assert job["progress"] is None
    assert job["error"] is None
    assert job["started_at"] is None


def test_a_form_signs_up_too(shared: Signup) -> None:
    kind = "application/x-www-form-urlencoded"
    body = b"email=grace%40example.com&name=Grace+Hopper"
    status, answer = shared.ask_json("POST", "/signup", body, kind)
    assert status == 202
    assert shared.finished(answer["job_id"])["status"] == "succeeded"


def test_the_page_posts_and_polls(shared: Signup) -> None:
    status, headers, text = shared.ask("GET", "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<form" in text
    assert 'fetch("/signup"' in text
    assert 'fetch("/jobs/"' in text


FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (FORM, b"", "email is missing"),
        (FORM, b"name=Ada", "email is missing"),
        (FORM, b"email=ada.example.com", "email is not an address"),
        (FORM, b"email=a@example.com%0D%0ABcc:b@example.com", "email is not an address"),
        (FORM, b"email=a@example.com&name=%00", "name is not plain text"),
        (FORM, b"\xff\xfe", "cannot read the body"),
        (FORM, b"email=" + b"a" * 65_536 + b"@example.com", "longer than 65536 bytes"),
        (JSON, b'{"email": "ada@example.com"', "cannot read the body"),
        (JSON, b"[" * 60_000, "cannot read the body"),
        (JSON, b'["ada@example.com"]', "not an object"),
        (JSON, b'{"email": 42}', "email is not an address"),
        (JSON, b'{"email": "a@example.com", "name": "\\ud800"}', "name is not plain text"),
    ],
    ids=[
        "empty",
        "no-email",
        "no-at",
        "header-injection",
        "control-character",
        "not-utf8",
        "too-long",
        "broken-json",
        "deep-json",
        "json-list",
        "email-not-text",
        "surrogate",
    ],
)
def test_bad_input_is_refused_with_a_reason(
    shared: Signup, kind: str, body: bytes, message: str
) -> None:
    status, answer = shared.ask_json("POST", "/signup", body, kind)
    assert status == (413 if len(body) > 65_536 else 400)
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("GET", "/jobs", 404, None),
        ("GET", "/jobs/", 404, None),
        ("GET", "/jobs/no-such-job", 404, None),
        ("GET", "/signup", 405, "POST"),
        ("DELETE", "/jobs/1", 405, "GET"),
        ("POST", "/", 405, "GET"),
    ],
)
def test_unknown_paths_and_methods(
    shared: Signup, method: str, path: str, status: int, allow: str | None
) -> None:
    answered, headers, text = shared.ask(method, path)
    assert (answered, headers["Allow"]) == (status, allow)
    assert json.loads(text)["error"]


def test_the_sign_up_server_has_a_page_of_its_jobs(
    start: Callable[..., Signup], mailbox: Mailbox
) -> None:
    """Read and steered by a browser on this machine, and by nobody else."""
    server = start(SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}")
    answer = server.sign_up("grace@example.com")
    eventually(lambda: mailbox.waiting == 1, "a worker at the mailbox")
    status, _, text = server.ask("GET", "/dashboard/")
    assert (status, "HelloEmailJob" in text) == (200, True)
    status, _, text = server.ask("GET", f"/dashboard/job/{answer['job_id']}.json")
    job = json.loads(text)
    assert (status, job["job"], job["progress"]["message"]) == (200, "HelloEmailJob", "sending")
    assert job["process"]["pid"] == server.popen.pid
    status, headers, text = server.ask("GET", "/dashboard/scheduled")
    action = f"/dashboard/job/{answer['reminder_id']}/cancel"
    assert f'action="{action}"' in text
    cookie = headers["Set-Cookie"].partition(";")[0]
    body = f"token={cookie.partition('=')[2]}".encode()
    origin = f"http://127.0.0.1:{server.port}"
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    assert server.ask("POST", action, body, **form, Origin="http://evil.example")[0] == 403
    assert server.job(answer["reminder_id"])["status"] == "scheduled"
    assert server.ask("POST", action, body, **form, Origin=origin)[0] == 303
    assert server.job(answer["reminder_id"])["status"] == "cancelled"
    assert server.ask("GET", "/dashboard/", Host="evil.example")[0] == 403
    assert server.ask("GET", "/dashboards")[0] == 404
    mailbox.opened.set()
    assert server.finished(answer["job_id"])["status"] == "succeeded"


def test_smtp_url_names_the_server_and_the_login(
    start: Callable[..., Signup], mailbox: Mailbox
) -> None:
    mailbox.opened.set()
    url = f"smtp://ada:p%40ss@127.0.0.1:{mailbox.port}"
    server = start(SMTP_URL=url, MAIL_FROM="team@example.com")
    job = server.finished(server.sign_up("grace@example.com")["job_id"])
    assert job["status"] == "succeeded"
    assert mailbox.credentials == ["\0ada\0p@ss"]
    [message] = mailbox.messages
    assert "From: team@example.com" in message
    assert "To: grace@example.com" in message


def test_a_wrong_smtp_url_is_refused_at_the_start() -> None:
    process = Process(str(EXAMPLES / "signup.py"), "--port", "0", SMTP_URL="http://localhost")
    assert process.end() == 2
    assert "SMTP_URL must begin with smtp://" in process.output


@posix_signals
def test_sigterm_drains_what_was_accepted(start: Callable[..., Signup], mailbox: Mailbox) -> None:
    """No e-mail leaves before the process has begun to stop, and yet all of them do."""
    server = start(SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}")
    emails = [f"user{number}@example.com" for number in range(10)]
    for email in emails:
        server.sign_up(email)
    eventually(lambda: mailbox.waiting == 4, "four workers at the mailbox")

    server.popen.send_signal(signal.SIGTERM)
    eventually(lambda: refuses_connections(server.port), "the server no longer listens")
    assert mailbox.messages == []
    mailbox.opened.set()

    assert server.end() == 143
    received = sorted(re.findall(r"^To: (\S+)", "\n".join(mailbox.messages), re.MULTILINE))
    assert received == emails
    [seconds] = server.matches(r"drained in ([\d.]+) s: .*\b10 succeeded")
    assert float(seconds) < 7.0  # it ends with the last job, not with the deadline of 8
    assert "Traceback" not in server.output


@posix_signals
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stop_accounts_for_every_accepted_job(
    signed_up: dict[str, SignedUp], name: str, status: int
) -> None:
    """With the sink's refusals a job may be given up, but none goes without a word."""
    server, answers = signed_up[name]
    users = {answer["user_id"]: n for n, answer in enumerate(answers)}
    assert server.end() == status
    delivered = {int(n) for n in server.matches(r"^mail delivered: user(\d)@")}
    given_up = {users[int(user)] for user in server.matches(r"gave up on user (\d+)")}
    assert delivered | given_up == set(range(8))
    assert "drained in" in server.lines[-1]
    assert "KeyboardInterrupt" not in server.output
    assert "Fatal Python error" not in server.output


@posix_signals
def test_an_idle_server_stops_at_once(start: Callable[..., Signup]) -> None:
    server = start()
    assert server.port
    before = time.monotonic()
    server.popen.send_signal(signal.SIGTERM)
    assert server.end() == 143
    assert time.monotonic() - before < 2.0
    assert "nothing was waiting" in server.lines[-1]
