"""Pictures that are waited for: the newest of a slot counts, and everybody's turn comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from contrafact.app.state import State


class Reader(Protocol):
    """Somebody who reads pictures, perhaps slowly."""

    @property
    def is_behind(self) -> bool:
        """Whether pictures lie unread, so that another would only lie beside them."""


@dataclass(frozen=True)
class Ask:
    """A picture asked for.

    Attributes:
        reader: who asked.
        number: what they call it.
        slot: the place on their page that shows it.
        state: what it shows.
        side: longest side in pixels that is enough; None for the generator's own.
        codes: whether the encoder's codes are wanted too.
    """

    reader: Reader
    number: int
    slot: str
    state: State
    side: int | None = None
    codes: bool = False


class Line:
    """Asks in the order they came; a newer one of the same slot takes the older's place, so that who moves quickly
    keeps their turn and nobody else's."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Reader, str], Ask] = {}
        self._changed = threading.Condition()
        self._closed = False

    def put(self, ask: Ask) -> Ask | None:
        """Stand in line; returns the older ask of the slot, which is not drawn any more."""
        with self._changed:
            older = self._waiting.get((ask.reader, ask.slot))
            self._waiting[ask.reader, ask.slot] = ask
            self._changed.notify()
        return older

    def leave(self, reader: Reader) -> None:
        """Forget all that somebody waits for."""
        with self._changed:
            for key in [key for key in self._waiting if key[0] is reader]:
                del self._waiting[key]

    def withdraw(self, reader: Reader, number: int) -> Ask | None:
        """Forget one ask; returns it if it still waited."""
        with self._changed:
            key = next((k for k, ask in self._waiting.items() if k[0] is reader and ask.number == number), None)
            return None if key is None else self._waiting.pop(key)

    def is_old(self, ask: Ask) -> bool:
        """Whether a newer ask of the same slot waits."""
        with self._changed:
            return (ask.reader, ask.slot) in self._waiting

    def wake(self) -> None:
        """Look again: somebody who was behind has read on."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, most: Callable[[], int]) -> list[Ask]:
        """The first asks whose readers keep up, as soon as there are any; none once the line is closed."""
        with self._changed:
            while not self._closed:
                ready = [key for key in self._waiting if not key[0].is_behind][: most()]
                if ready:
                    return [self._waiting.pop(key) for key in ready]
                self._changed.wait()
        return []
