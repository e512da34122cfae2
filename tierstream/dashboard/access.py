"""Who is let in: programs on this machine, and elsewhere who knows the token; and what answers may do in a browser."""

import hashlib
import hmac
import time
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "tierstream_dashboard"
LOGIN: Final = "/login"
HEALTH: Final = "/health"
_OPEN: Final = (LOGIN, HEALTH, "/static/")
"""Paths that show nothing of the deployment."""
_SESSION_S: Final = 7 * 86_400
_DIGITS: Final = 12
"""Of a moment in a cookie, at most."""
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # A form's POST has the header Origin by it, and no address of ours reaches other sites.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Access:
    """Decides by the token; without one, by the name that this machine is called in a request.

    A page of another site can have its own name lead to 127.0.0.1, and its scripts ask then as if they were ours: the
    name in the header Host gives that away. Cookies belong to a name, so where there is a token any name will do.
    """

    def __init__(self, token: str | None, names: Iterable[str] = ()) -> None:
        """Take the token, and names of this machine besides those of loopback."""
        self._token = token.encode() if token else None
        self._names = _LOCAL_NAMES | set(names)

    @property
    def has_token(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    def knows(self, token: str) -> bool:
        """Whether this is the token; takes as long for any other one."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token)

    def new_session(self, now: float | None = None) -> str:
        """Make the value of a cookie, which holds for a week and tells nothing of the token."""
        until = str(int((time.time() if now is None else now) + _SESSION_S))
        return f"{until}.{self._signed(until)}"

    def cookie(self, session: str, *, secure: bool) -> str:
        """Write the cookie as a header's value."""
        return f"{COOKIE}={session}; Path=/; Max-Age={_SESSION_S}; HttpOnly; SameSite=Strict{'; Secure' * secure}"

    def lets_name(self, host: str) -> bool:
        """Whether a request may call this machine so."""
        return self.has_token or _name(host) in self._names

    def lets_in(self, headers: Headers, now: float | None = None) -> bool:
        """Whether who sends these headers may see the pages."""
        if self._token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.knows(given.strip())
        until, _, signature = _session(headers.get("cookie", "")).partition(".")
        number = int(until) if until.isascii() and until.isdigit() and len(until) <= _DIGITS else 0
        alive = number > (time.time() if now is None else now)
        return alive and hmac.compare_digest(signature.encode(), self._signed(until).encode())

    def _signed(self, until: str) -> str:
        return hmac.new(self._token or b"", f"{COOKIE} {until}".encode(), hashlib.sha256).hexdigest()


class Guard:
    """Asks `Access` before anything else sees a request, and has every answer say what a browser may do with it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_marked)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._access.lets_name(headers.get("host", "")):
            return Response(
                "This address is not one that the dashboard answers to. Use http://127.0.0.1 or http://localhost with "
                "its port, or set a token (docs/dashboard.md).\n",
                421,
                media_type="text/plain",
            )
        path: str = scope["path"]
        if path.startswith(_OPEN) or self._access.lets_in(headers):
            return None
        if path.startswith("/api/"):
            return Response(
                "Send the token: Authorization: Bearer …\n",
                401,
                {"www-authenticate": "Bearer"},
                media_type="text/plain",
            )
        return RedirectResponse(LOGIN, 303)


def _name(host: str) -> str:
    """The host of a header Host, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _session(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
