from pathlib import Path

import pytest
import shop
from flask.testing import FlaskClient


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FlaskClient:
    monkeypatch.setenv("DATABASE", str(tmp_path / "shop.sqlite3"))
    monkeypatch.setenv("ADMIN_PASSWORD", "let me in")
    return shop.create_app().test_client()
