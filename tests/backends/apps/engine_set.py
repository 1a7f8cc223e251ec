"""Each engine with its own app or broker, as its users would write it."""

from __future__ import annotations

import os
from typing import Any


def celery(url: str, **options: Any) -> tuple[Any, Any]:
    from celery import Celery

    from counterpunch.backends.celery import CeleryBackend

    app = Celery("site", broker=os.environ.get("ENGINE_BROKER", url), backend=url)
    app.conf.worker_prefetch_multiplier = 1
    app.conf.broker_connection_retry_on_startup = True
    if "ENGINE_VISIBILITY" in os.environ:
        app.conf.broker_transport_options = {
            "visibility_timeout": float(os.environ["ENGINE_VISIBILITY"]),
            "unacked_restore_interval": 1,  # by default it looks every 100 s
            "unacked_restore_throttle": 1,
        }
    return app, CeleryBackend(app, **options)


def rq(url: str, **options: Any) -> tuple[Any, Any]:
    from counterpunch.backends.rq import RQBackend

    return None, RQBackend(url, **options)


def dramatiq(url: str, **options: Any) -> tuple[Any, Any]:
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results.backends import RedisBackend

    from counterpunch.backends.dramatiq import DramatiqBackend

    broker: Any
    if "ENGINE_BROKER" in os.environ:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        broker = RabbitmqBroker(url=os.environ["ENGINE_BROKER"], confirm_delivery=True)
    else:
        # A killed worker's messages come back soon, and surely.
        broker = RedisBroker(url=url, heartbeat_timeout=2000, maintenance_chance=1_000_000)
    return broker, DramatiqBackend(broker, results=RedisBackend(url=url), **options)


SETS = {"celery": celery, "rq": rq, "dramatiq": dramatiq}
