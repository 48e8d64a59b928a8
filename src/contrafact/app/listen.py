"""The server as it runs: a port of this machine, an address with a token, a browser, and Ctrl-C to end it."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from contrafact.app.desk import Desk
from contrafact.app.door import Door
from contrafact.app.server import application
from contrafact.app.wire import MOST_UPLOAD

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

EXPOSE = "expose-to-network"
_PATIENCE_SECONDS = 20.0


def check_host(host: str, exposed: bool) -> str:
    """The host to listen on, if that is this machine's own, or somebody says that others may come.

    Raises:
        ValueError: an address that other machines reach, without leave.

    >>> check_host("127.0.0.1", False)
    '127.0.0.1'
    """
    if not exposed and not _is_own(host):
        raise ValueError(
            f"on {host} other machines reach this page: whoever learns its address makes pictures with this generator, "
            "sends it pictures of theirs, reads and renames directions, and writes files into the run's folder, over "
            f"a connection that is not encrypted. If that is meant, add --{EXPOSE}"
        )
    return host


def _is_own(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        ValueError: the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}); choose another --port, or leave it out "
            "for a free one"
        ) from error
    return listening


def address_of(host: str, port: int) -> str:
    """Where a browser on this machine finds a server."""
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def serve(
    desk: Desk, host: str = "127.0.0.1", port: int = 0, exposed: bool = False, ready: Callable[[str], None] = print
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        desk: answers the pages.
        host: address to listen on.
        port: port, 0 for a free one.
        exposed: whether other machines may come.
        ready: called with the page's address once it is there.

    Raises:
        ValueError: as for :func:`check_host` and :func:`bind`, or packages that are missing.
    """
    try:
        serve_until_stopped(
            lambda door: application(desk, door),
            lambda base, door: ready(f"{base}/?token={door.token}"),
            check_host(host, exposed),
            port,
            exposed,
        )
    finally:
        desk.close()


def serve_until_stopped(
    make: Callable[[Door], Starlette],
    ready: Callable[[str, Door], None],
    host: str,
    port: int,
    exposed: bool,
    without_token: tuple[str, ...] = ("/static/",),
) -> None:
    """Serve an application until Ctrl-C.

    Args:
        make: the application behind a door.
        ready: called with the server's address, ``http://host:port``, and the door, once it is there.
        host: address to listen on.
        port: port, 0 for a free one.
        exposed: whether other machines may come.
        without_token: beginnings of paths that need no token of the door's.

    Raises:
        ValueError: as for :func:`bind`, or packages that are missing.
    """
    server, listening, door = _prepared(make, host, port, exposed, without_token)

    def tell() -> None:
        while not server.started:
            if server.should_exit:
                return
            time.sleep(0.02)
        ready(address_of(host, door.port), door)

    threading.Thread(target=tell, daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn has closed every connection, then passes it on
        pass
    finally:
        listening.close()


@contextmanager
def serving(desk: Desk, framed: bool = False) -> Iterator[str]:
    """Serve the page on a free port of this machine within the block, in a thread; yields its address."""
    stop, address = start(desk, framed)
    try:
        yield address
    finally:
        stop()


def start(desk: Desk, framed: bool = False) -> tuple[Callable[[], None], str]:
    """Serve the page on a free port of this machine, in a thread.

    Returns:
        What stops it, and its address.
    """
    server, listening, door = _prepared(lambda door: application(desk, door, framed), "127.0.0.1")
    address = f"{address_of('127.0.0.1', door.port)}/?token={door.token}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server", daemon=True)
    thread.start()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=_PATIENCE_SECONDS)
        desk.close()
        listening.close()

    return stop, address


def open_browser(address: str) -> None:
    """Open the page in the user's browser, if there is one."""
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _prepared(
    make: Callable[[Door], Starlette],
    host: str,
    port: int = 0,
    exposed: bool = False,
    without_token: tuple[str, ...] = ("/static/",),
) -> tuple[uvicorn.Server, socket.socket, Door]:
    try:
        import uvicorn
        import websockets  # noqa: F401 # what uvicorn takes for sockets, and says nothing when it is missing
    except ImportError as error:
        raise ValueError("a page needs a few packages more: pip install 'contrafact[explore]'") from error
    listening = bind(host, port)
    door = Door(listening.getsockname()[1], exposed, without_token=without_token)
    config = uvicorn.Config(
        make(door),
        access_log=False,  # a log of addresses would be one of tokens
        log_level="warning",
        lifespan="off",
        ws_max_size=MOST_UPLOAD + 2**16 + 4,
        ws_per_message_deflate=False,  # pictures are compressed already
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config), listening, door
