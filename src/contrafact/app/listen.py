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
from contrafact.app.server import application, settings_of_uvicorn

if TYPE_CHECKING:
    import uvicorn

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


def address_of(host: str, port: int, token: str) -> str:
    """What to open in a browser."""
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/?token={token}"


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
    server, listening, address = _prepared(desk, check_host(host, exposed), port, exposed, framed=False)

    def tell() -> None:
        while not server.started:
            if server.should_exit:
                return
            time.sleep(0.02)
        ready(address)

    threading.Thread(target=tell, daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn has closed every connection, then passes it on
        pass
    finally:
        desk.close()
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
    server, listening, address = _prepared(desk, "127.0.0.1", 0, False, framed)
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
    desk: Desk, host: str, port: int, exposed: bool, framed: bool
) -> tuple[uvicorn.Server, socket.socket, str]:
    try:
        import uvicorn
        import websockets  # noqa: F401 # what uvicorn takes for sockets, and says nothing when it is missing
    except ImportError as error:
        raise ValueError("the page needs a few packages more: pip install 'contrafact[explore]'") from error
    listening = bind(host, port)
    port = listening.getsockname()[1]
    door = Door(port, exposed)
    config = uvicorn.Config(application(desk, door, framed), **settings_of_uvicorn())
    return uvicorn.Server(config), listening, address_of(host, port, door.token)
