"""Who may look and who may act: what a guard is asked, and what its answer opens.

A guard is a plain function of the request. Only the value ``True`` opens: a response object, a
tuple, a coroutine and a function that somebody forgot to call are true as well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import Any
from urllib.parse import quote, urlsplit

from ..core.values.clock import monotonic
from ..core.values.errors import InvalidOption
from ..core.values.hooks import report
from ..core.values.short import from_a_signal, type_name
from .message import Request

__all__ = [
    "Answer", "Guard", "Redirect", "anyone", "ask", "host_of", "is_local", "local", "redirect",
]  # fmt: skip


@dataclass(frozen=True)
class Redirect:
    """What a guard answers to send the visitor elsewhere; see ``redirect``."""

    url: str

    def __post_init__(self) -> None:
        url: Any = self.url
        if not (isinstance(url, str) and url.isprintable() and _leads(url)):
            allowed = "a path such as '/login', or an address with http:// or https://"
            raise InvalidOption("dashboard.redirect", "url", url, allowed)
        object.__setattr__(self, "url", quote(url, safe="/:?#[]@!$&'()*+,;=%-._~"))


def _leads(url: str) -> bool:
    """Whether it is one or the other to every browser: "//name" and "/\\name" are another site."""
    try:
        split = urlsplit(url)
        whole = split.scheme in ("http", "https") and bool(split.hostname)
    except ValueError:
        return False
    return whole or (url.startswith("/") and not url.startswith(("//", "/\\")))


Answer = bool | Redirect
Guard = Callable[[Request], Answer]


def redirect(url: str) -> Redirect:
    """What ``can_view`` returns to send a visitor to a login page: ``redirect("/login")``.

    The answer is a 303 to ``url``. From ``authorize`` it sends who presses a button.

    Args:
        url: A path of the site, from its root, or a whole http(s) address.

    Raises:
        InvalidOption: (a ``ValueError``) for anything else.
    """
    return Redirect(url)


def anyone(request: Request) -> bool:
    """The guard that lets everybody in: ``can_view=dashboard.anyone``, where somebody else looks
    at who comes, or for ``probes``."""
    return True


#: A proxy says with one of these for whom it asks, or that it does; a browser sends none of them.
_FORWARDING = re.compile(
    r".*(forwarded|client-?ip|connecting-ip|real-ip|user-ip|proxyuser).*|via|cdn-loop|cf-ray|"
    r"front-end-https|tailscale-.*|"
    r"x-(amzn?|appengine|arr|azure|envoy|nginx|original|real|request-start|scheme|ssl|url-scheme)"
    r"(-.*)?"
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(:[0-9]*)?", re.ASCII)
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}", re.ASCII)


def local(request: Request) -> bool:
    """The guard of a mount without ``can_view``: a browser on this machine.

    The connection comes from a loopback address, the page was asked for by a local name (a page
    of another site that had its own name lead here would send that one), and nothing says that a
    proxy has passed it on. A proxy on this machine that hides all of this, name and headers,
    cannot be told from a browser: give ``can_view`` there.
    """
    headers = request.headers
    if any(map(_FORWARDING.fullmatch, headers)):
        return False
    peer = request.peer.lower().removeprefix("::ffff:")
    return is_local(headers.get("host", "")) and (peer == "::1" or bool(_LOOPBACK.fullmatch(peer)))


def host_of(netloc: str) -> str:
    """The name in a ``Host`` header, in lower case and without the port; "" if there is none."""
    match = _HOST.fullmatch(netloc.lower())
    return match[1].removesuffix(".") if match else ""


def is_local(netloc: str) -> bool:
    """True for a name that leads every browser to its own machine."""
    host = host_of(netloc)
    named = host == "localhost" or host.endswith(".localhost")
    return named or host == "[::1]" or bool(_LOOPBACK.fullmatch(host))


#: Seconds until a guard that raises is complained of again.
AGAIN = 3600.0


def ask(name: str, guard: Guard, request: Request, said: dict[str, float]) -> Answer:
    """The guard's answer; False for whatever is none, which is said once.

    Args:
        name: Of the option.
        guard: What to ask.
        request: For whom.
        said: Of the mount: until when each complaint is not repeated. A stranger's requests are
            not to fill the log.
    """
    try:
        answer: object = guard(request)
    except BaseException as exc:
        if from_a_signal(exc):
            raise
        if _is_news(said, f"{name} {type_name(type(exc))}", AGAIN):
            report(logging.ERROR, "dashboard: %s raised; taken for no", name, exc_info=exc)
        return False
    if type(answer) is bool or type(answer) is Redirect:
        return answer
    if type(answer) is CoroutineType:
        answer.close()  # or Python warns that nobody awaited it
    # Its type and no more: it may hold a session, and a proxy of one may raise.
    kind = type_name(type(answer))
    if _is_news(said, f"{name} {kind}", float("inf")):
        report(
            logging.ERROR,
            "dashboard: %s gave %s; taken for no. It has to be a plain function that returns True, "
            "False or dashboard.redirect(url)",
            name,
            "None" if answer is None else f"an object of {kind}",
        )
    return False


def _is_news(said: dict[str, float], what: str, pause: float) -> bool:
    now = monotonic()
    if said.get(what, now) > now or len(said) > 100:
        return False
    said[what] = now + pause
    return True
