"""Who may come in: requests with the token, that were meant for this server, from a page of its own.

Another website open in the same browser can send requests to any port of this machine. It does not know the token; and
should it learn it, the names it was reached by (``Host``, against rebinding a name to this machine) and the page it
comes from (``Origin``) are not ours.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Door:
    """The checks that every request passes first.

    Attributes:
        port: where the server listens.
        exposed: whether it listens on more than this machine's own addresses.
        token: what a request must know.
        without_token: beginnings of paths that need none: files that are everybody's, or pages that ask for another.
    """

    port: int
    exposed: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    without_token: tuple[str, ...] = ("/static/",)

    def refusal(self, path: str, query: str, headers: Mapping[str, str]) -> str | None:
        """Why a request may not come in, as a sentence; None if it may.

        Args:
            path: of the URL.
            query: of the URL, without the question mark.
            headers: names in lower case.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            return f"this page is served at http://localhost:{self.port}, not at {host[:80]!r}"
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return f"another page ({origin[:80]!r}) may not use this one"
        given = parse_qs(query).get("token", [""])[0]
        if not path.startswith(self.without_token) and not secrets.compare_digest(given.encode(), self.token.encode()):
            return "the address lacks its token; open the one that `contrafact explore` printed"
        return None

    def _is_ours(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or port != str(self.port):
            return False
        if name.lower() in ("localhost", "127.0.0.1", "[::1]"):
            return True
        # No name can be rebound to an address that is written out.
        return self.exposed and (name.lower() == socket.gethostname().lower() or _is_address(name.strip("[]")))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Guarded:
    """Shows the door to whom it is not open."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocketClose

        query = scope["query_string"].decode("latin-1")
        refusal = self.door.refusal(scope["path"], query, Headers(scope=scope))
        answer: Any
        if refusal is None:
            answer = self.app
        elif scope["type"] == "http":
            answer = PlainTextResponse(refusal, 403, HEADERS)
        else:
            answer = WebSocketClose(1008, refusal[:100])
        await answer(scope, receive, send)


def policy(nonce: str, host: str) -> str:
    """The content-security policy of the page: nothing comes from anywhere but this server.

    Args:
        nonce: of the scripts that stand in the page.
        host: the server's name and port, as the request has it.
    """
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data: blob:; "
        f"media-src blob:; worker-src blob:; connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'"
    )
