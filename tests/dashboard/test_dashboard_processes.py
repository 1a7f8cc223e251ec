"""The page over all processes of this host: real processes, private sockets, bounded waits."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import stat
import threading
import time
from urllib.parse import urlencode

import pytest
from dashboard_client import SOON, Client, yes
from process import Script, run

import counterpunch
from counterpunch import InvalidOption, Job, dashboard
from counterpunch.dashboard import beacon, beacons, fleet, local, sockets
from counterpunch.dashboard.beacon import LIMIT
from counterpunch.dashboard.peers import PATIENCE, gather
from counterpunch.dashboard.process import birth

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")

#: A server process in short: a mount, one job, and then it waits.
CHILD = """
import os, sys, time
from counterpunch import Job, dashboard

class Mail(Job):
    def perform(self, secret):
        pass

app = dashboard.wsgi(processes=sys.argv[1])
Mail.perform_async("hunter2").result(10)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def where(tmp_path, request):
    """A private directory; what listens there ends with the test."""
    path = str(tmp_path / "sockets")
    yield path
    beacon = beacons.beacons.get(path)
    if beacon is not None:
        beacon.put_out()


def names(where):
    return sorted(os.listdir(where))


def pid_of(script):
    return script._process.pid


def test_nothing_listens_unless_it_is_asked_for(tmp_path, monkeypatch):
    """No socket, no directory, no thread, no page, no link."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    client = Client()
    assert client.get("/processes").status == 404
    assert "Processes" not in client.get("/").page.text
    assert os.listdir(tmp_path) == []
    assert not [t for t in threading.enumerate() if t.name == "counterpunch-beacon"]


def test_the_default_directory_is_the_users_own(tmp_path, monkeypatch):
    """In XDG_RUNTIME_DIR, or by user id in the temporary directory."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert sockets.directory() == str(tmp_path / "counterpunch")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert sockets.directory() == str(tmp_path / f"counterpunch-{os.geteuid()}")
    for name in names(tmp_path):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o700


def test_each_process_is_shown_and_the_dead_and_the_silent_do_not_hold_it_up(where, monkeypatch):
    """Three children: all answer; one is killed and one stopped, and the third still answers."""
    with (
        Script(CHILD, where) as first,
        Script(CHILD, where) as second,
        Script(CHILD, where) as third,
    ):
        children = (first, second, third)
        for child in children:
            child.until("ready")
        client = Client(processes=where)
        data = client.json("/processes")
        shown = {one["process"]["pid"]: one for one in data["processes"]}
        assert set(shown) == {os.getpid(), *map(pid_of, children)}
        assert data["silent"] == []
        assert data["process"]["pid"] == os.getpid()
        for child in children:
            one = shown[pid_of(child)]
            assert one["process"]["host"] == os.uname().nodename
            assert one["process"]["program"] == "script.py"
            assert one["total"]["succeeded"] == 1
            assert one["process"]["memory"] > 1e6
        (mail,) = [row for row in client.json("/")["classes"] if row["job"] == "Mail"]
        assert (mail["job"], mail["processes"], mail["per_minute"]) == ("Mail", 3, 3)
        answer = client.get("/processes")
        assert "hunter2" not in answer.text
        assert f"pid {pid_of(first)}" in answer.page.text
        assert "this one" in answer.page.text
        assert "the processes of this user on this host" in answer.page.text

        first.signal(signal.SIGKILL)
        first.finish()
        second.signal(signal.SIGSTOP)
        os.waitpid(pid_of(second), os.WUNTRACED)
        before = time.monotonic()
        data = client.json("/processes")
        assert time.monotonic() - before < PATIENCE + SOON
        shown = {one["process"]["pid"] for one in data["processes"]}
        assert shown == {os.getpid(), pid_of(third)}
        assert data["scope"]["pids"] == sorted([os.getpid(), pid_of(second), pid_of(third)])
        assert data["silent"] == [{"pid": pid_of(second), "reason": "no answer within 1 s"}]
        assert [n for n in names(where) if n.startswith(f"{pid_of(first)}-")] == []
        # Who is silent stays silent: the page need not wait as long as the JSON did.
        monkeypatch.setattr(fleet, "PATIENCE", 0.05)
        assert f"pid {pid_of(second)}: no answer" in client.get("/processes").page.text
        second.signal(signal.SIGCONT)


def test_the_sockets_are_private(where):
    """0700 and 0600; named by pid and start time; gone after a normal exit."""
    with Script(CHILD.replace("time.sleep(60)", "sys.stdin.read()"), where) as child:
        child.until("ready")
        assert stat.S_IMODE(os.lstat(where).st_mode) == 0o700
        result = child.finish()
        assert result.status == 0
    assert names(where) == []

    client = Client(processes=where)
    client.get("/")
    assert names(where) == [f"{os.getpid()}-{birth()}.sock"]
    status = os.lstat(os.path.join(where, names(where)[0]))
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600


def test_a_page_asked_for_at_the_very_end_leaves_no_socket(where):
    """The process is about to exit, and its server still answers."""
    client = Client(processes=where)
    client.get("/")
    beacons.beacons[where].put_out()
    assert client.get("/processes").status == 200
    assert names(where) == []


def test_a_directory_that_is_not_ours_alone_is_refused(tmp_path, monkeypatch):
    """Open to others, a link, a file, another user's: nothing listens, and the page says why."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(private)
    file = tmp_path / "file"
    file.write_text("")
    for path, why in (
        (open_to_all, "others have rights to"),
        (link, "is no directory"),
        (file, "is no directory"),
    ):
        client = Client(processes=str(path))
        answer = client.json("/processes")
        assert why in answer["problem"]
        assert [one["process"]["pid"] for one in answer["processes"]] == [os.getpid()]
        assert why in client.get("/processes").page.text
    assert os.listdir(open_to_all) == os.listdir(private) == []
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(sockets.Unsafe, match=r"others could replace .* not sticky"):
        sockets.directory(str(shared / "ours"))
    shared.chmod(0o1777)
    assert sockets.directory(str(shared / "ours"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(sockets.Unsafe, match="belongs to user"):
        sockets.directory(str(private))


def test_a_socket_is_nobody_elses_whatever_the_umask(where):
    """And by no change of a path, which could lead elsewhere meanwhile."""
    client = Client(processes=where)
    before = os.umask(0)
    try:
        client.get("/")
    finally:
        os.umask(before)
    (name,) = names(where)
    assert stat.S_IMODE(os.lstat(os.path.join(where, name)).st_mode) == 0o600


def test_a_forked_child_has_its_own_socket_and_lets_go_of_the_parents(where):
    """The parent dies, and its socket does not seem alive because a child holds a copy."""
    text = CHILD.replace(
        "time.sleep(60)",
        """
child = os.fork()
if child:
    os.waitpid(child, 0)
    sys.exit()
before = os.listdir(sys.argv[1])
Mail.perform_async("hunter2").result(10)
after = os.listdir(sys.argv[1])
own = [name for name in after if name.startswith(f"{os.getpid()}-")]
print(f"forked {len(before)} {len(after)} {len(own)} {os.getpid()}", flush=True)
time.sleep(60)
""",
    )
    with Script(text, where) as parent:
        parent.until("forked 1 2 1 ")
        parent.signal(signal.SIGKILL)
        parent._process.wait(SOON)
        data = Client(processes=where).json("/processes")
        shown = {one["process"]["pid"] for one in data["processes"]}
        assert len(shown) == 2
        assert pid_of(parent) not in shown
        assert data["silent"] == []
        assert [name for name in names(where) if name.startswith(f"{pid_of(parent)}-")] == []


def test_a_preloading_parent_has_no_thread_and_no_socket(where):
    """The mount alone starts nothing, so that a server may fork its workers after it."""
    done = run(
        """
import os, sys, threading
from counterpunch import Job, dashboard

dashboard.wsgi(processes=sys.argv[1])
print(threading.active_count(), os.path.exists(sys.argv[1]))
""",
        where,
    )
    assert done.lines() == ["1 False"]


@contextlib.contextmanager
def impostor(where, pid, answer, born=1):
    """A socket in the directory that answers what it likes; None never answers."""
    path = os.path.join(where, sockets.name_of(pid, born))
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(8)
    server.settimeout(SOON)

    def serve():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(SOON)
                client.recv(1 << 16)
                client.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    if answer is not None:
        thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes accept()
        server.close()


def test_what_the_others_say_is_not_trusted(where, monkeypatch):
    """Too long, no JSON, another shape, silence, markup: said so, within the time for all."""
    monkeypatch.setattr(fleet, "PATIENCE", 0.5)
    sockets.directory(where)
    ground = local.Ground(counterpunch.health, True)
    good = local.told(ground, "summary", {})
    markup = {
        **good,
        "process": {**good["process"], "pid": 15, "program": "<script>alert(1)</script>"},
    }
    total = good["answer"]["total"]
    wrong = {
        **good,
        "process": {**good["process"], "pid": 13},
        "answer": {**good["answer"], "total": {**total, "running": "<b>"}},
    }
    older = {**good, "version": "counterpunch 0"}
    nan = json.dumps(good).replace('"oldest_wait": 0.0', '"oldest_wait": NaN').encode()
    infinite = json.dumps(good).replace('"oldest_wait": 0.0', '"oldest_wait": 1e999').encode()
    assert b"NaN" in nan
    assert b"1e999" in infinite
    with (
        impostor(where, 11, b"[" * (LIMIT + 100_000)),
        impostor(where, 12, b"<html>"),
        impostor(where, 13, json.dumps(wrong).encode()),
        impostor(where, 14, None),
        impostor(where, 15, json.dumps(markup).encode()),
        impostor(where, 16, b"[" * 100_000),
        impostor(where, 17, b""),
        impostor(where, 18, json.dumps(older).encode()),
        impostor(where, 19, nan),
        impostor(where, 20, infinite),
    ):
        answer = Client(processes=where).get("/processes")
    assert answer.status == 200
    for line in (
        "pid 11: its answer is too long",
        "pid 12: its answer cannot be read",
        "pid 13: its answer is no summary",
        "pid 14: no answer within 0.5 s",
        "pid 16: its answer cannot be read",
        "pid 17: its answer cannot be read",
        "pid 18: it runs another version",
        "pid 19: its answer cannot be read",
        "pid 20: its answer cannot be read",
    ):
        assert line in answer.page.text
    assert [name for name, _ in answer.page.elements].count("script") == 1
    assert "alert(1)" in answer.page.text


class Sent(Job):
    def perform(self) -> None: ...


PAGES = [
    "/", "/running", "/waiting", "/failed", "/failed?page=2", "/errors", "/periodic", "/threads",
    "/metrics", "/class?job=Sent", "/confirm/failed/retry",
]  # fmt: skip


@pytest.mark.parametrize("told", [{"total": "<b>"}, [1], None, "x" * 50])
def test_a_page_is_made_without_those_of_whom_none_can_be(where, told):
    """Whatever their answer is: this process's is there, and what was wrong is said."""
    Sent.perform_async().result(SOON)
    good = local.told(local.Ground(counterpunch.health, True), "summary", {})
    wrong = {**good, "process": {**good["process"], "pid": 13}, "answer": told}
    sockets.directory(where)
    client = Client(processes=where, authorize=yes)
    with impostor(where, 13, json.dumps(wrong).encode()):
        for path in PAGES:
            answer = client.get(path)
            assert answer.status == 200, (path, answer.text)
            alone = client.get(path + ("&" if "?" in path else "?") + "process=13")
            assert alone.status in (200, 404, 503), path
        assert "no page can be made of the others' answers" in client.get("/").page.text
        assert client.get("/?process=13").status == 503


def test_of_a_process_that_there_is_not_there_is_no_page(where):
    """Not an empty one, which would say that nothing is wrong there."""
    client = Client(processes=where, authorize=yes)
    for pid in ("99999", "1&note=ran"):
        for path in PAGES:
            query = ("&" if "?" in path else "?") + urlencode({"process": pid})
            answer = client.get(path + query)
            assert answer.status == 404, path
            assert "There is no process" in answer.text


def test_metrics_of_a_class_with_an_odd_name(where):
    """Whatever else ends a line does not end one of the text."""
    odd = type('A\r\u2028B\x85\x1c\n"C', (Job,), {"perform": lambda self: None})
    odd.perform_async().result(SOON)
    text = Client(processes=where).get("/metrics").text
    for line in text.split("\n"):
        assert re.fullmatch(r"(# (HELP|TYPE) .*|counterpunch_\w+\{.*\} \S+|)", line, re.DOTALL), (
            line
        )


def test_only_dead_sockets_are_removed(where):
    """A pid that came again has another start time; files and odd names are left alone."""
    sockets.directory(where)
    with impostor(where, os.getpid(), None, born=1):
        pass  # closed: nobody listens, though a process has that pid
    for name in ("99-1.sock", "notes.txt", "0-0.sock.tmp"):
        with open(os.path.join(where, name), "w"):
            pass
    with impostor(where, 98, None):
        found = gather(sockets.addresses(where), lambda address: b"?\n", patience=0.05)
        assert found.answers == []
        assert found.silent == [{"pid": 98, "reason": "no answer within 0.05 s"}]
        assert names(where) == ["0-0.sock.tmp", "98-1.sock", "99-1.sock", "notes.txt"]


def test_a_client_that_does_not_read_does_not_hold_up_the_others(where, monkeypatch):
    """The next one is served meanwhile."""
    monkeypatch.setattr("counterpunch.dashboard.beacon.SEND_SECONDS", SOON)

    class Wide(Job):
        def perform(self) -> None: ...

    big = b"x" * (LIMIT - 1000)
    settings = dashboard.Settings(processes=where)
    monkeypatch.setattr(settings.beacon, "answer", lambda question: big)
    settings.beacon.light()
    path = os.path.join(where, names(where)[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lazy:
        lazy.connect(path)
        lazy.sendall(b"?\n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as eager:
            eager.settimeout(SOON)
            eager.connect(path)
            eager.sendall(b"?\n")
            said = b""
            while part := eager.recv(1 << 16):
                said += part
    assert said == big


def test_a_process_that_was_out_of_descriptors_is_seen_again(where, monkeypatch):
    """accept() fails as long as there is none to spare, and not for good."""
    monkeypatch.setattr(beacon, "PAUSE", 0.001)
    failures = iter([errno.EMFILE, errno.ENFILE])

    class Scarce(socket.socket):
        def accept(self):
            for number in failures:
                raise OSError(number, os.strerror(number))
            return super().accept()

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Scarce)
        Client(processes=where).get("/")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(SOON)
        client.connect(os.path.join(where, names(where)[0]))
        client.sendall(
            json.dumps({"version": local.VERSION, "ask": "periodic", "with": {}}).encode()
        )
        client.sendall(b"\n")
        assert client.recv(1) == b"{"
    assert next(failures, None) is None


def test_a_default_directory_that_is_too_deep_is_said(tmp_path, monkeypatch):
    """The system's bound on a socket's path; the page tells of the option."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(sockets.Unsafe, match="is too long for a socket; processes= takes one of"):
        sockets.directory()
    assert os.listdir(deep) == []


@pytest.mark.parametrize("value", [1, "sockets", "", None, "/a\0b", "/" + "d" * sockets.ROOM])
def test_a_bad_directory_is_refused_at_the_mount(value):
    """Relative to what? And too deep for a socket's path."""
    with pytest.raises(InvalidOption, match="dashboard: processes="):
        dashboard.wsgi(processes=value)
