"""The one line that the README gives for gunicorn."""


def worker_exit(server, worker):  # type: ignore[no-untyped-def]
    import counterpunch

    counterpunch.shutdown()
