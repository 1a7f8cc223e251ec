"""The same work given to counterpunch, to the standard library and to the peers.

``make(name, fn, workers)`` gives an object whose ``enqueue(n)`` is the call a user would
write to have ``fn(n)`` run in the background, with no wrapper of ours around it. A peer is
imported only when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["PEERS", "Contender", "installed", "make"]

Body = Callable[[int], object]

#: Peers and the module whose presence means that they are installed.
PEERS = {
    "flask-executor": "flask_executor",
    "apscheduler": "apscheduler",
    "huey": "huey",
    "dramatiq": "dramatiq",
    "starlette": "starlette",
    "django-tasks-local": "django_tasks_local",
}


def installed(name: str) -> bool:
    """True if ``make(name, ...)`` will find what it imports."""
    return name not in PEERS or importlib.util.find_spec(PEERS[name]) is not None


class Contender:
    """One way to run jobs in the background.

    Attributes:
        enqueue: ``enqueue(n)`` has ``fn(n)`` run by one of ``workers`` threads.
    """

    enqueue: Callable[[int], object]

    def close(self) -> None:
        """Stop it; called once, with no job waiting."""


class Counterpunch(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        import counterpunch

        class Benchmark(counterpunch.Job):
            def perform(self, n: int) -> None:
                fn(n)

        # The defaults, but for the number of threads that all contenders share; the bound
        # only where a measure goes past it (see ``unbounded``).
        Benchmark.workers = workers
        self.job = Benchmark
        self.enqueue = Benchmark.perform_async

    def unbounded(self) -> None:
        """Let more than 100,000 jobs wait."""
        self.job.max_jobs = None
        self.enqueue = self.job.perform_async


class Executor(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        self.executor = ThreadPoolExecutor(max_workers=workers)
        submit: Any = self.executor.submit
        self.enqueue = functools.partial(submit, fn)

    def close(self) -> None:
        self.executor.shutdown()


class QueueThreads(Contender):
    """``queue.Queue`` and threads that read it: no result, no context, no error handling."""

    def __init__(self, fn: Body, workers: int) -> None:
        self.queue: queue.Queue[int | None] = queue.Queue()
        self.enqueue = self.queue.put
        self.threads = [
            threading.Thread(target=self._work, args=(fn,), daemon=True) for _ in range(workers)
        ]
        for thread in self.threads:
            thread.start()

    def _work(self, fn: Body) -> None:
        while (n := self.queue.get()) is not None:
            fn(n)

    def close(self) -> None:
        for _ in self.threads:
            self.queue.put(None)
        for thread in self.threads:
            thread.join()


class FlaskExecutor(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        app = importlib.import_module("flask").Flask("benchmark")
        app.config["EXECUTOR_MAX_WORKERS"] = workers
        self.executor = importlib.import_module("flask_executor").Executor(app)
        app.test_request_context().push()  # it copies the request's context for each job
        self.enqueue = functools.partial(self.executor.submit, fn)


class APScheduler(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        background = importlib.import_module("apscheduler.schedulers.background")
        pool = importlib.import_module("apscheduler.executors.pool").ThreadPoolExecutor(workers)
        # Without the grace time it drops jobs that start more than a second late.
        defaults = {"misfire_grace_time": None}
        self.scheduler = background.BackgroundScheduler(
            executors={"default": pool}, job_defaults=defaults
        )
        self.scheduler.start()
        self.enqueue = lambda n: self.scheduler.add_job(fn, args=(n,))

    def close(self) -> None:
        self.scheduler.shutdown()


class Huey(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        huey = importlib.import_module("huey").MemoryHuey("benchmark")
        self.enqueue = huey.task()(fn)
        self.consumer = huey.create_consumer(workers=workers, periodic=False)
        self.consumer.start()

    def close(self) -> None:
        self.consumer.stop(graceful=True)


class Dramatiq(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        dramatiq: Any = importlib.import_module("dramatiq")
        stub = importlib.import_module("dramatiq.brokers.stub")
        broker = stub.StubBroker()
        dramatiq.set_broker(broker)
        self.enqueue = dramatiq.actor(fn, actor_name="benchmark").send
        self.worker = dramatiq.Worker(broker, worker_threads=workers)
        self.worker.start()

    def close(self) -> None:
        self.worker.stop()


_django_body: Body = print


def django_body(n: int) -> None:
    """Django finds a task by its module and name, so the body is put here."""
    _django_body(n)


class DjangoTasksLocal(Contender):
    def __init__(self, fn: Body, workers: int) -> None:
        global _django_body
        _django_body = fn
        backend = "django_tasks_local.ThreadPoolBackend"
        tasks = {"default": {"BACKEND": backend, "OPTIONS": {"MAX_WORKERS": workers}}}
        importlib.import_module("django.conf").settings.configure(TASKS=tasks)
        importlib.import_module("django").setup()
        self.enqueue = importlib.import_module("django.tasks").task(django_body).enqueue


_KINDS: dict[str, Callable[[Body, int], Contender]] = {
    "counterpunch": Counterpunch,
    "executor": Executor,
    "queue": QueueThreads,
    "flask-executor": FlaskExecutor,
    "apscheduler": APScheduler,
    "huey": Huey,
    "dramatiq": Dramatiq,
    "django-tasks-local": DjangoTasksLocal,
}


def make(name: str, fn: Body, workers: int = 2) -> Contender:
    """Start a contender, ready to enqueue."""
    return _KINDS[name](fn, workers)
