"""The metrics as Prometheus itself has them: promtool, a real scrape, and the Grafana dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import counterpunch
from counterpunch import Job, dashboard

SOON = 30.0  # seconds

GRAFANA = Path(__file__).parents[2] / "examples" / "grafana.json"


def tool(name: str) -> str:
    """Where a program is. It takes seconds to start, so it is asked only where it is required."""
    if not os.environ.get("COUNTERPUNCH_REQUIRE_PROMETHEUS"):
        pytest.skip("COUNTERPUNCH_REQUIRE_PROMETHEUS is not set")
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed"
    return found


class Scraped(Job):
    def perform(self, fail: bool = False) -> None:
        if fail:
            raise ValueError


def expressions() -> list[str]:
    """Every query of the dashboard, its variables filled in."""
    board = json.loads(GRAFANA.read_text(encoding="utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [one["expr"] for one in board["annotations"]["list"]]
    filled = {"$__rate_interval": "5m", "$job_class": ".*", "$job": ".*"}
    for name, value in filled.items():
        found = [one.replace(name, value) for one in found]
    return found


def test_the_grafana_dashboard_asks_for_what_there_is() -> None:
    """Each metric by its name and each label of it; no panel over another."""
    Scraped.perform_async().result(SOON)
    text = counterpunch.metrics()
    known: dict[str, set[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, labels = line.partition("{")
            known.setdefault(name.split(" ")[0], set()).update(re.findall(r'(\w+)="', labels))
    for query in expressions():
        assert "$" not in query
        for name, labels in re.findall(r"(counterpunch_\w+)(?:\{([^}]*)\})?", query):
            assert name in known, query
            assert set(re.findall(r"(\w+)=~?\"", labels)) <= known[name] | {"job"}, query
    board = json.loads(GRAFANA.read_text(encoding="utf-8"))
    places = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in places, panel["title"]
                assert x < 24
                places.add((x, y))


def test_promtool_has_nothing_to_say() -> None:
    """About names, units, help and types."""
    Scraped.perform_async().result(SOON)
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=counterpunch.metrics(),
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Silent(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def scraping(tmp_path: Path) -> Iterator[int]:
    """Port of a Prometheus that scrapes this process, as its own defaults have it."""
    program = tool("prometheus")
    app = dashboard.wsgi(can_view=lambda request: False, probes=dashboard.anyone)
    with make_server("127.0.0.1", 0, app, handler_class=Silent) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        target = f"127.0.0.1:{server.server_port}"
        (tmp_path / "prometheus.yml").write_text(
            "scrape_configs:\n- job_name: shop\n  scrape_interval: 500ms\n"
            f"  scrape_timeout: 500ms\n  static_configs:\n  - targets: ['{target}']\n"
        )
        process = subprocess.Popen(
            [
                program,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(SOON)
            server.shutdown()
            serving.join(SOON)


def query(port: int, text: str) -> list[dict[str, Any]]:
    """What Prometheus answers to an instant query."""
    try:
        address = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': text})}"
        with urlopen(address, timeout=SOON) as answer:
            found = json.load(answer)
    except OSError:
        return []  # it is still starting
    assert found["status"] == "success", found
    result: list[dict[str, Any]] = found["data"]["result"]
    return result


def test_a_real_prometheus_scrapes_it(scraping: int, caplog: pytest.LogCaptureFixture) -> None:
    """A class is found by ``job_class``, beside Prometheus's own ``job``; every query of the
    dashboard is one that it understands."""
    caplog.set_level(1000, "counterpunch")
    for fail in (False, True, False):
        Scraped.perform_async(fail).exception(SOON)
    wanted = 'counterpunch_jobs_accepted_total{job="shop",job_class="Scraped"}'
    give_up = time.monotonic() + SOON
    while not (found := query(scraping, wanted)):
        assert time.monotonic() < give_up
        threading.Event().wait(0.1)
    (one,) = found
    assert one["value"][1] == "3"
    assert not {label for label in one["metric"] if label.startswith("exported_")}
    (failed,) = query(
        scraping, 'counterpunch_jobs_ended_total{job_class="Scraped",status="failed"}'
    )
    assert failed["value"][1] == "1"
    assert query(scraping, 'up{job="shop"}')[0]["value"][1] == "1"
    for text in expressions():
        query(scraping, text)
    assert query(scraping, "sum by (status) (counterpunch_jobs)")
