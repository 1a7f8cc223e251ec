"""What people write who come from other libraries: the error names our word."""

from __future__ import annotations

__all__ = ["missing"]

_ENQUEUE = "{0}.perform_async(...)"
_OPTIONS = "{0}.using(delay=..., priority=...).perform_async(...)"
_NOW = "{0}.perform_now(...)"
_IN_TESTS = "in a test, recorder.{} within `with counterpunch.testing.fake() as recorder:`"
_LATER = "functools.partial({0}.perform_async, ...); for jobs together, counterpunch.Batch"
_INSIDE = "inside a job, self.{}"
_PROGRESS = "inside a job, self.progress(done, total) and self.set_status(key=value)"
#: Of Sidekiq and ActiveJob, Celery, Dramatiq, RQ, Huey, Taskiq and executors.
_OURS = {
    "perform_later": _ENQUEUE, "delay": _ENQUEUE, "enqueue": _ENQUEUE, "send": _ENQUEUE,
    "push": _ENQUEUE,
    "submit": _ENQUEUE, "kiq": _ENQUEUE, "defer": _ENQUEUE, "schedule": "{0}.perform_in(60, ...)",
    "enqueue_in": "{0}.perform_in(60, ...)", "enqueue_at": "{0}.perform_at(when, ...)",
    "apply_async": f"{_ENQUEUE}, or {_OPTIONS}", "send_with_options": _OPTIONS, "set": _OPTIONS,
    "perform_sync": _NOW, "perform_inline": _NOW, "apply": _NOW, "call_local": _NOW, "run": _NOW,
    "map": "{0}.perform_bulk([(1,), (2,)])", "push_bulk": "{0}.perform_bulk([(1,), (2,)])",
    "enqueue_many": "{0}.perform_bulk([(1,), (2,)])",
    "jobs": f"counterpunch.jobs({{0}}), or {_IN_TESTS.format('jobs')}",
    "drain": _IN_TESTS.format("drain()"), "perform_one": _IN_TESTS.format("perform_one()"),
    "clear": f"{{0}}.cancel_all(), or {_IN_TESTS.format('clear()')}",
    "delay_on_commit": "{0}.using(after_commit=True).perform_async(...)", "s": _LATER, "si": _LATER,
    "signature": _LATER, "retry_on": "the option retry = counterpunch.Retry(on=...)",
    "handle": (
        "inside a job only; to have perform() run as one, call {0}.perform_now(...), or enqueue it "
        "within counterpunch.testing.inline()"
    ),
    "wait": "counterpunch.wait_idle(), or result() of the handle",
    "result": "result() of the handle that {0}.perform_async(...) returns",
    "id": _INSIDE.format("handle.id"), "jid": _INSIDE.format("handle.id"),
    "job_id": _INSIDE.format("handle.id"), "executions": _INSIDE.format("attempt"),
    "request": f"{_INSIDE.format('handle')}, self.attempt", "log": _INSIDE.format("logger"),
    "is_aborted": _INSIDE.format("cancelled"), "total": _PROGRESS, "at": _PROGRESS,
    "update_progress": _PROGRESS, "set_progress": _PROGRESS, "update_state": _PROGRESS,
    "store": _PROGRESS, "save_meta": _PROGRESS,
}  # fmt: skip


def missing(owner: str, kind: str, name: str, obj: object) -> AttributeError:
    """What to raise, with our word for it if there is one."""
    text, ours = f"{kind} has no attribute {name!r}", _OURS.get(name)
    if ours is None:
        return AttributeError(text, name=name, obj=obj)
    # Without the object Python adds no guess of its own, which would be another word.
    return AttributeError(f"{text}: here it is {ours.format(owner)}", name=name)
