"""Who may look, who may change something, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import logging
import re
from urllib.parse import quote, urlsplit

from ..core.values.hooks import report
from .message import Request
from .settings import Settings

__all__ = ["HEADERS", "cookie", "may_view", "may_write", "refusal", "token_of"]

COOKIE = "counterpunch_token"
#: The form field, and the header for clients without a form, that repeats the cookie.
FIELD, HEADER = "token", "x-csrf-token"

_TOKEN = re.compile(r"[0-9a-f]{32}", re.ASCII)

HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer": a form then sends the origin "null", which says nothing.
    ("Referrer-Policy", "same-origin"),
    ("Vary", "Accept, Cookie"),
)


def may_view(request: Request, settings: Settings) -> bool:
    """True unless ``can_view`` says no."""
    return settings.can_view is None or _ask("can_view", settings.can_view, request)


def may_write(request: Request, settings: Settings) -> bool:
    """True if ``authorize`` is given and says yes."""
    return settings.authorize is not None and _ask("authorize", settings.authorize, request)


def _ask(name: str, question: object, request: Request) -> bool:
    """True only for a real yes: a coroutine, which is true as well, is none."""
    try:
        answer = question(request)  # type: ignore[operator]
    except Exception as exc:
        report(logging.ERROR, "dashboard: %s raised; taken for no", name, exc_info=exc)
        return False
    if hasattr(answer, "__await__"):
        getattr(answer, "close", lambda: None)()
        report(logging.ERROR, "dashboard: %s must be a plain function; taken for no", name)
        return False
    return bool(answer)


def refusal(request: Request) -> str | None:
    """Why a write that is otherwise allowed is refused; None if it comes from our own page.

    Two locks: the browser says that the request comes from this origin, and the form repeats
    a random cookie that another site can neither read nor, ``SameSite=Strict``, send. The
    token is in the cookie, not in memory, so it holds across several server processes.
    """
    if not _same_origin(request):
        return "The request does not come from this page."
    sent = request.headers.get(HEADER) or request.form.get(FIELD, "")
    known = request.cookies.get(COOKIE, "")
    if not _TOKEN.fullmatch(known) or not hmac.compare_digest(known.encode(), sent.encode()):
        return "The form is out of date: go back, reload the page and try again."
    return None


def _same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Older browsers, and plain http on a name that is not localhost. The scheme is left
    # out: behind a proxy that ends TLS the server sees http where the browser says https.
    source = request.headers.get("origin") or request.headers.get("referer", "")
    host = request.headers.get("host", "").lower()
    try:
        return bool(host) and urlsplit(source).netloc.lower() == host
    except ValueError:
        return False


def token_of(request: Request) -> str:
    """The token for the forms of a page: the browser's own, or a new one."""
    known = request.cookies.get(COOKIE, "")
    if _TOKEN.fullmatch(known):
        return known
    import secrets

    return secrets.token_hex(16)


def cookie(request: Request, token: str) -> tuple[str, str]:
    """The header that gives the browser its token."""
    secure = "; Secure" if request.scheme == "https" else ""
    path = quote(request.prefix) or "/"
    value = f"{COOKIE}={token}; Path={path}; HttpOnly; SameSite=Strict{secure}"
    return "Set-Cookie", value
