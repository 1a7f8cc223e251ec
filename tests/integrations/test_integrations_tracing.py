"""OpenTelemetry, structlog and Sentry, as they are: what a job knows of its caller, and that
nothing of it leaks into the next attempt or the next job."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from counterpunch import Handle, Job, Retry, around_perform

LONG = 10.0  # seconds; turns a hang into a failure
TWICE = Retry(max_attempts=2, wait=0)


# OpenTelemetry


class Spans:
    """A tracer whose spans are kept here."""

    def __init__(self) -> None:
        pytest.importorskip("opentelemetry.sdk")
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("tests")

    @contextmanager
    def around(self, handle: Handle[Any]) -> Iterator[None]:
        """The recipe: a span for each attempt, below the one of the caller."""
        name = f"{handle.job.__name__} {handle.attempt}"
        with self.tracer.start_as_current_span(name):
            yield

    def parents(self) -> dict[str, str | None]:
        """The name of the parent of each span that has ended."""
        spans: Any = self._exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        return {span.name: span.parent and names[span.parent.span_id] for span in spans}


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_opentelemetry_spans_of_attempts_are_below_the_request(kind: str) -> None:
    """Of each attempt alike, and of what it does; the next job is below its own caller."""
    spans = Spans()
    from opentelemetry import baggage, context

    seen: list[object] = []

    def work(attempt: int) -> None:
        seen.append(baggage.get_baggage("tenant"))
        context.attach(baggage.set_baggage("tenant", f"left by attempt {attempt}"))
        span = spans.tracer.start_span(f"query {attempt}")
        context.attach(context.set_value("current-span", span))  # never detached
        span.end()
        if attempt == 1:
            raise OSError

    class Plain(Job):
        retry = TWICE

        def perform(self) -> None:
            work(self.attempt)

    class Async(Job):
        retry = TWICE

        async def perform(self) -> None:
            await asyncio.sleep(0)
            work(self.attempt)

    job: Any = Plain if kind == "plain" else Async
    remove = around_perform(spans.around)
    try:
        for request in ("first request", "second request"):
            token = context.attach(baggage.set_baggage("tenant", request))
            with spans.tracer.start_as_current_span(request):
                handle = job.perform_async()
            context.detach(token)
            handle.result(LONG)
            found = spans.parents()
            assert found[request] is None
            for attempt in (1, 2):
                assert found[f"{job.__name__} {attempt}"] == request
                assert found[f"query {attempt}"] == f"{job.__name__} {attempt}"
    finally:
        remove()
    assert seen == ["first request"] * 2 + ["second request"] * 2


# structlog


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_structlog_variables_are_the_callers_at_each_attempt(kind: str) -> None:
    """What an attempt binds its hooks see, and no other attempt or job."""
    structlog = pytest.importorskip("structlog")
    variables = structlog.contextvars
    lines: list[dict[str, Any]] = []

    def keep(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
        lines.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, processors=[variables.merge_contextvars, keep])

    class Plain(Job):
        retry, workers = TWICE, 1

        def work(self, order: int) -> None:
            log.info("begins")
            variables.bind_contextvars(order=order, attempt=self.attempt)
            log.info("bound")
            if self.attempt == 1:
                raise OSError

        def perform(self, order: int) -> None:
            self.work(order)

        def after(self) -> None:
            log.info("after")

    class Async(Plain):
        async def perform(self, order: int) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            self.work(order)

    job: Any = Plain if kind == "plain" else Async
    with variables.bound_contextvars(request="r1"):
        handle = job.perform_async(7)
    handle.result(LONG)
    job.perform_async(8).result(LONG)  # outside of any request
    expected: list[dict[str, Any]] = []
    for order, caller in ((7, {"request": "r1"}), (8, {})):
        for attempt in (1, 2):
            bound = {**caller, "order": order, "attempt": attempt}
            expected.append({**caller, "event": "begins"})
            expected += [{**bound, "event": "bound"}, {**bound, "event": "after"}]
    assert lines == expected
    assert variables.get_contextvars() == {}


# Sentry


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """What Sentry would have been sent."""
    sentry = pytest.importorskip("sentry_sdk")
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.transport import Transport

    sent: list[dict[str, Any]] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            event = envelope.get_event()
            if event is not None:
                sent.append(event)

    sentry.init(
        dsn="https://key@sentry.invalid/1",
        transport=Kept,
        default_integrations=False,
        integrations=[LoggingIntegration()],
        auto_session_tracking=False,
    )
    yield sent
    sentry.get_client().close(timeout=0)
    sentry.init()


@contextmanager
def own_scope(handle: Handle[Any]) -> Iterator[None]:
    """The recipe: the attempt goes on with a fork of its caller's scope, and is reported with it.

    Not taken back: each attempt has context variables of its own, and the record of its failure
    is made after this block."""
    import sentry_sdk

    sentry_sdk.Scope.set_isolation_scope(sentry_sdk.get_isolation_scope().fork())
    yield


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_sentry_has_a_scope_of_its_own_for_each_attempt(
    kind: str, events: list[dict[str, Any]]
) -> None:
    """Jobs of one request run beside each other, and each failure is reported with its own tags
    and those of the request. Of an attempt nothing is left in the next."""
    import sentry_sdk

    both = threading.Barrier(2)

    def work(attempt: int, customer: str) -> None:
        sentry_sdk.set_tag("customer", customer)
        sentry_sdk.set_tag(f"attempt{attempt}", "yes")
        sentry_sdk.add_breadcrumb(message=f"{customer} {attempt}")

    class Plain(Job):
        retry = TWICE

        def perform(self, customer: str) -> None:
            work(self.attempt, customer)
            both.wait(LONG)
            raise OSError(customer)

    class Async(Job):
        retry = TWICE

        async def perform(self, customer: str) -> None:
            work(self.attempt, customer)
            await asyncio.to_thread(both.wait, LONG)
            raise OSError(customer)

    job: Any = Plain if kind == "plain" else Async
    remove = around_perform(own_scope)
    try:
        with sentry_sdk.isolation_scope() as request:
            request.set_tag("request", "r1")
            handles = job.perform_bulk([("anna",), ("bert",)])
            for handle in handles:
                assert isinstance(handle.exception(LONG), OSError)
            assert request._tags == {"request": "r1"}, "nothing of a job is left in the request"
    finally:
        remove()
    failures = [event for event in events if "OSError" in str(event.get("exception"))]
    finals = [event for event in failures if event["level"] == "error"]
    assert {event["tags"]["customer"] for event in finals} == {"anna", "bert"}
    for event in finals:
        customer = event["tags"]["customer"]
        assert event["exception"]["values"][-1]["value"] == customer
        assert event["tags"] == {"request": "r1", "customer": customer, "attempt2": "yes"}
        trail = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
        assert f"{customer} 2" in trail
        assert f"{customer} 1" not in trail
