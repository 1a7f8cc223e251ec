"""The README's handler in two frameworks, in their test clients."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from example_processes import EXAMPLES, eventually

# The README's handler in two frameworks


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.txt"
    monkeypatch.setenv("JOB_LEDGER", str(path))
    return path


def load(name: str) -> ModuleType:
    """Import an example by its path, afresh."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def poll(get: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return eventually(lambda: answer if (answer := get())["status"] == "succeeded" else {}, "done")


def test_the_flask_example(ledger: Path) -> None:
    pytest.importorskip("flask")
    client = load("flask_app").app.test_client()
    answer = client.post("/signup/42")
    assert answer.status_code == 202
    job_id = answer.get_json()["id"]
    job = poll(lambda: client.get(f"/jobs/{job_id}").get_json())
    assert job == {"id": job_id, "status": "succeeded", "attempt": 1}
    assert ledger.read_text() == "hi, user 42\n"
    assert client.get("/jobs/no-such-job").status_code == 404


def test_the_fastapi_example(ledger: Path) -> None:
    pytest.importorskip("fastapi")
    if importlib.util.find_spec("httpx2") is None:  # the test client takes either
        pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    with TestClient(load("fastapi_app").app) as client:
        answer = client.post("/signup/42")
        assert answer.status_code == 202
        job_id = answer.json()["id"]
        job = poll(lambda: client.get(f"/jobs/{job_id}").json())
        assert job == {"id": job_id, "status": "succeeded", "attempt": 1}
        assert client.get("/jobs/no-such-job").status_code == 404
        client.post("/signup/43")
    # The lifespan's end waited for the second job.
    assert ledger.read_text() == "hi, user 42\nhi, user 43\n"
