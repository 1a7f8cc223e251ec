"""The lines that the README gives for gunicorn."""

import counterpunch


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    counterpunch.start()


def worker_abort(worker):  # type: ignore[no-untyped-def]
    counterpunch.shutdown(timeout=0.5)


def worker_exit(server, worker):  # type: ignore[no-untyped-def]
    counterpunch.shutdown()
