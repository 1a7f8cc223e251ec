import os

import counterpunch

wsgi_app = "shop:create_app()"
bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers, threads = 2, 8
# Longer than shutdown_timeout (8 s): past it gunicorn kills, and nothing is reported.
graceful_timeout = 20


def post_worker_init(worker: object) -> None:
    counterpunch.start()  # periodic jobs do not wait for the first request
