"""A page's end of the socket, as the threads that work for it see it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from typing import Any

_MOST_UNREAD = 4


class Left(Exception):
    """Somebody cancelled the work, or closed the page."""


class Client:
    """Messages on their way to one page; may be sent from any thread.

    Attributes:
        outbox: what the socket sends next.
    """

    def __init__(self) -> None:
        self.outbox: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._unread, self._counting = 0, threading.Lock()
        self._jobs: dict[int, threading.Event] = {}

    @property
    def is_behind(self) -> bool:
        """Whether pictures lie unread."""
        return self._unread >= _MOST_UNREAD

    def say(self, **message: Any) -> None:
        """Send JSON."""
        self._post(json.dumps(message, allow_nan=False))

    def show(self, message: bytes) -> None:
        """Send a picture, which counts as unread until it is on its way."""
        with self._counting:
            self._unread += 1
        self._post(message)

    def has_read(self) -> bool:
        """Note that a picture was sent; whether the page was behind and is not any more."""
        with self._counting:
            self._unread -= 1
            return self._unread == _MOST_UNREAD - 1

    def _post(self, message: str | bytes) -> None:
        with suppress(RuntimeError):  # the server has stopped; nobody reads
            self._loop.call_soon_threadsafe(self.outbox.put_nowait, message)

    def begin(self, number: int, most: int) -> threading.Event:
        """Note a job under its number; the event says when to stop.

        Raises:
            ValueError: that many jobs of this page are at work already.
        """
        if len(self._jobs) >= most:
            raise ValueError(f"{most} things of this page are being worked on; wait until one is done")
        return self._jobs.setdefault(number, threading.Event())

    def end(self, number: int) -> None:
        """A job is done."""
        self._jobs.pop(number, None)

    def cancel(self, number: int | None = None) -> bool:
        """Stop a job, or all of them; whether there was one."""
        stopped = [event for job, event in self._jobs.items() if number in (None, job)]
        for event in stopped:
            event.set()
        return bool(stopped)
