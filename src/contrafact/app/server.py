"""The live page's server: one page, its modules, one socket; for this machine only unless it is told otherwise."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING

from contrafact.app.assets import MODULES, page
from contrafact.app.client import Client
from contrafact.app.desk import Desk
from contrafact.app.door import HEADERS, Door, Guarded, policy

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

MOST_PAGES = 64
_TYPES = {"css": "text/css", "js": "text/javascript"}


def application(desk: Desk, door: Door, framed: bool = False) -> Starlette:
    """The web application around a desk.

    Args:
        desk: answers the pages.
        door: who may come in.
        framed: whether another page, a notebook that knows the token, may show this one in a frame.

    Raises:
        ValueError: starlette is not installed; the message says how to get it.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse
        from starlette.routing import Route, WebSocketRoute
    except ImportError as error:
        raise ValueError("the page needs a few packages more: pip install 'contrafact[explore]'") from error

    async def show(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        rules = policy(nonce, request.headers["host"])
        text = page(
            csp=rules,
            title=desk.session.title,
            style='<link rel="stylesheet" href="/static/page.css">',
            data="",
            script=f'<script type="module" nonce="{nonce}" src="/static/serve.js"></script>',
        )
        rules += "" if framed else "; frame-ancestors 'none'"  # which only a header can say
        return HTMLResponse(text, headers={**HEADERS, "Content-Security-Policy": rules})

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in (*MODULES, "page.css"):
            return PlainTextResponse("no such file", 404, HEADERS)
        content = files("contrafact.app").joinpath(name).read_bytes()
        return PlainTextResponse(content, headers=HEADERS, media_type=_TYPES[name.rpartition(".")[2]])

    async def saved(request: Request) -> Response:
        path = desk.keeper.saved.get(request.path_params["name"])
        if path is None or not path.is_file():
            return PlainTextResponse("no such file", 404, HEADERS)
        return FileResponse(path, headers=HEADERS, filename=path.name)

    async def talk(websocket: WebSocket) -> None:
        if len(desk.clients) >= MOST_PAGES:
            await websocket.close(1013, f"{MOST_PAGES} pages are open already")
            return
        await websocket.accept()
        client = Client()
        sender = asyncio.create_task(_send(websocket, client, desk))
        try:
            desk.enter(client)
            while (message := await websocket.receive())["type"] == "websocket.receive":
                desk.receive(client, message["text"] if message.get("text") is not None else message["bytes"])
        finally:
            desk.leave(client)
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender

    app = Starlette(
        routes=[
            Route("/", show),
            Route("/static/{name}", static),
            Route("/saved/{name}", saved),
            WebSocketRoute("/socket", talk),
        ]
    )
    app.add_middleware(Guarded, door=door)
    return app


async def _send(websocket: WebSocket, client: Client, desk: Desk) -> None:
    """Bring messages to the page until it has gone."""
    from starlette.websockets import WebSocketDisconnect

    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        while True:
            message = await client.outbox.get()
            if isinstance(message, bytes):
                await websocket.send_bytes(message)
                if client.has_read():
                    desk.painter.line.wake()
            else:
                await websocket.send_text(message)
