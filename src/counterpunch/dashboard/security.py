"""Who may look, who may change something, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import re
from urllib.parse import quote, urlsplit

from ..core.values.short import clean, from_a_signal, shorten
from .guards import Answer, ask, host_of, is_local
from .message import Request
from .plain import clip
from .settings import Settings

__all__ = [
    "HEADERS", "OUTDATED", "answers_to", "cookie", "foreign", "may_view", "may_write", "outdated",
    "token_of",
]  # fmt: skip

COOKIE = "counterpunch_token"
#: The form field, and the header for clients without a form, that repeats the cookie.
FIELD, HEADER = "token", "x-csrf-token"

OUTDATED = "The form is out of date: go back, reload the page and try again."

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


def may_view(request: Request, settings: Settings, probe: bool) -> Answer:
    """What the guard of the page says."""
    return ask(
        "probes" if probe and settings.probes else "can_view",
        settings.guard(probe),
        request,
        settings.said,
    )


def may_write(request: Request, settings: Settings) -> Answer:
    """What ``authorize`` says; no if it is not given."""
    if settings.authorize is None:
        return False
    return ask("authorize", settings.authorize, request, settings.said)


def answers_to(request: Request, settings: Settings) -> bool:
    """False if the page was asked for by a name that is not one of ``hosts``."""
    hosts = settings.hosts
    return hosts is None or host_of(request.headers.get("host", "")) in hosts


def actor(request: Request, settings: Settings) -> str:
    """Who acts, for the log: a text of one line."""
    somebody = f"somebody at {shorten(request.peer)[1:-1] or 'this machine'}"
    if settings.actor is None:
        return somebody
    try:
        who = settings.actor(request)
    except BaseException as exc:
        if from_a_signal(exc):
            raise
        return f"{somebody}, for actor raised {type(exc).__name__}"
    return clean(clip(who, 200)) if isinstance(who, str) else shorten(who)


def foreign(request: Request) -> str | None:
    """Why a write that is otherwise allowed is refused before its body is read; None if its
    headers say that it comes from our own page.

    Two locks: the browser says that the request comes from this origin, and the form repeats
    a random cookie that another site can neither read nor, ``SameSite=Strict``, send. The
    token is in the cookie, not in memory, so it holds across several server processes.
    """
    if not _same_origin(request):
        return "The request does not come from this page."
    return None if _TOKEN.fullmatch(request.cookies.get(COOKIE, "")) else OUTDATED


def outdated(request: Request) -> bool:
    """True if the form does not repeat the cookie."""
    sent = request.headers.get(HEADER) or request.form.get(FIELD, "")
    known = request.cookies.get(COOKIE, "")
    return not hmac.compare_digest(known.encode(), sent.encode())


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
    secure = "; Secure" if _secure(request) else ""
    path = quote(request.prefix) or "/"
    value = f"{COOKIE}={token}; Path={path}; HttpOnly; SameSite=Strict{secure}"
    return "Set-Cookie", value


def _secure(request: Request) -> bool:
    """True if the browser speaks https, though a proxy in between may not have told the server: to
    another machine only then does a browser send Sec-Fetch-Site."""
    if request.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https":
        return True
    return "sec-fetch-site" in request.headers and not is_local(request.headers.get("host", ""))
