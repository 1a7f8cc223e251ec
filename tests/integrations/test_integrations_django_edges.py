"""Django used where it is not set up, from async code, and with DEBUG."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("django")

# isort: off
from test_integrations_django import LONG, ThreadNameJob  # first: it sets Django up

# isort: on
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.test import override_settings
from process import run

import counterpunch
from counterpunch import Job, Retry


class QueriesJob(Job):
    """How many queries its connection remembers, itself included."""

    workers = 1

    def perform(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return len(connection.queries)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "databases of Django, once its settings are set up"),
        ("settings.configure()", "an alias of DATABASES: 'default'"),
        ("settings.configure(DATABASES={'orders': {}, 'default': {}})", "names no ENGINE"),
    ],
    ids=["no settings", "no such database", "no engine"],
)
def test_a_site_that_is_not_set_up_is_an_error_at_the_call(settings: str, said: str) -> None:
    result = run(
        textwrap.dedent(f"""
        import counterpunch
        from counterpunch import InvalidOption, Job
        from django.conf import settings

        class HelloJob(Job):
            def perform(self):
                print("ran", flush=True)

        {settings}
        try:
            HelloJob.using(after_commit="orders").perform_async()
        except InvalidOption as exc:
            print(exc, flush=True)
        HelloJob.perform_async()
        counterpunch.wait_idle(10)
        print(counterpunch.stats().total.accepted, flush=True)
        """)
    )
    assert result.status == 0, result
    message, *rest = result.lines()
    assert message.startswith("HelloJob: after_commit='orders' is not valid"), result
    assert said in message
    assert rest == ["ran", "1"]


def test_the_jobs_of_each_app_are_imported_when_django_sets_up(tmp_path: Path) -> None:
    """A periodic job is often one that no view imports."""
    app = tmp_path / "shop"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "jobs.py").write_text(
        "from counterpunch import Job\n"
        "class NightlyJob(Job):\n"
        "    cron = '0 3 * * *'\n"
        "    def perform(self): ...\n"
    )
    result = run(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import counterpunch, django
        from django.conf import settings

        settings.configure(INSTALLED_APPS=["counterpunch.integrations.django", "shop"])
        django.setup()
        print(counterpunch.periodic())
        counterpunch.start()
        print([entry.job.__qualname__ for entry in counterpunch.periodic()])
        """)
    )
    assert result.lines() == ["[]", "['NightlyJob']"], result


def test_after_commit_in_async_code_is_djangos_own_error() -> None:
    """There is no transaction on the event loop, and asking for one would block it."""

    async def view() -> None:
        ThreadNameJob.using(after_commit=True).perform_async()

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(view())
    assert counterpunch.stats().total.accepted == 0


def test_with_debug_a_thread_does_not_collect_the_queries_of_all_its_jobs() -> None:
    """Django forgets them with each request, and a job's thread never has one."""
    with override_settings(DEBUG=True):
        assert [QueriesJob.perform_async().result(LONG) for _ in range(3)] == [1, 1, 1]


def test_connections_that_cannot_be_closed_change_nothing_of_what_a_job_did(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has run once, and the log says what is wrong."""
    from counterpunch.integrations.django import connections

    ran: list[int] = []

    def close() -> None:
        if ran:
            raise OSError("gone")

    class Works(Job):
        retry = Retry(3, wait=0)

        def perform(self) -> None:
            ran.append(1)

    monkeypatch.setattr(connections, "close_old_connections", close)
    Works.perform_async().result(LONG)
    assert ran == [1]
    assert "closing old connections of" in caplog.text
