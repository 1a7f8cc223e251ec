"""What a conformance test is given: where its jobs run, and how they are brought to run there."""

from __future__ import annotations

from typing import Any

import counterpunch
from counterpunch import Handle, testing

ENGINES = ("celery", "rq", "dramatiq")
BACKENDS = ("threads", "inline", "fake", *ENGINES)


class Place:
    """Where the jobs of one test run, and how they are brought to run there."""

    def __init__(self, backend: Any, recorder: testing.Fake | None) -> None:
        self.backend = backend
        self.name: str = backend.name
        self.can = backend.capabilities
        self.remote = self.name in ENGINES
        #: Seconds of a short delay; engines know whole seconds, or look once a second.
        self.moment = 1.0 if self.remote else 0.1
        self._recorder = recorder

    def enqueue(self, fn: Any) -> Handle[Any]:
        """The handle of the job that ``fn`` enqueues; ``inline`` raises what the job does."""
        known = set(counterpunch.jobs()) if self.name == "inline" else set()
        try:
            handle: Handle[Any] = fn()
        except BaseException:
            new = [handle for handle in counterpunch.jobs() if handle not in known]
            if self.name != "inline" or not new:
                raise
            (handle,) = new
        return handle

    def end(self, handle: Handle[Any]) -> Handle[Any]:
        """Let the job run to its end."""
        if self._recorder is not None:
            for _ in range(3):
                try:
                    self._recorder.advance(100)
                except BaseException:
                    pass  # the job's own: the test looks at the handle
        else:
            try:
                handle.exception(30)
            except counterpunch.Cancelled:
                pass
        assert handle.done()
        return handle

    def run(self, fn: Any) -> Handle[Any]:
        return self.end(self.enqueue(fn))
