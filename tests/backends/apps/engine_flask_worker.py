"""What a worker of the Flask shop is given, as the README says: the app, held by a name."""

from __future__ import annotations

from engine_flask import broker, create_app

app = create_app()
__all__ = ["app", "broker"]
