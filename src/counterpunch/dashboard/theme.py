"""Light, dark, or as the system has it: a choice that the browser keeps in a cookie."""

from __future__ import annotations

from urllib.parse import quote

from .message import Request

__all__ = ["THEMES", "cookie", "theme_of"]

THEMES = ("system", "light", "dark")
_COOKIE = "counterpunch_theme"
_YEAR = 365 * 24 * 3600


def theme_of(request: Request) -> str:
    """One of ``THEMES``; the first one unless a browser has chosen."""
    chosen = request.cookies.get(_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


def cookie(request: Request, theme: str) -> tuple[str, str]:
    """The header that has the browser keep it."""
    path = quote(request.prefix) or "/"
    return (
        "Set-Cookie",
        f"{_COOKIE}={theme}; Path={path}; Max-Age={_YEAR}; HttpOnly; SameSite=Strict",
    )
