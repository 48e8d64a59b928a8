"""The thread that draws: what waits together goes through the generator together, a small picture first if it is slow.

Whatever goes wrong with a picture is said to whom it was for, and the next one is drawn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from contrafact.app.line import Ask, Line
from contrafact.app.session import Session
from contrafact.app.state import State
from contrafact.app.wire import webp
from contrafact.core.foreign import first_line
from contrafact.core.generator import images_at_once
from contrafact.core.pictures import to_bytes

SLOW_SECONDS = 0.15
"""A picture that takes longer than this is preceded by a small one, where there is a way to one."""
SMALL_SIDE = 64
"""Side of the small picture; half of it, down to :data:`LEAST_SIDE`, where it takes too long itself."""
LEAST_SIDE = 16
_AT_ONCE = 16

Answer = Callable[[Ask, dict[str, Any], bytes | None], None]


class Painter:
    """Draws what stands in its line, in a thread of its own that nothing a picture does can end.

    Args:
        session: what is drawn.
        answer: called from the thread with the ask, the message's facts, and the picture as WebP or None.
    """

    def __init__(self, session: Session, answer: Answer) -> None:
        self.session, self.answer = session, answer
        self.line = Line()
        self.seconds = self._timed()
        self.small_side = SMALL_SIDE
        if self.seconds > SLOW_SECONDS:  # the first picture may have had to wait for more than itself
            self.seconds = min(self.seconds, self._timed())
        if self.seconds > SLOW_SECONDS:
            for known in (session, *session.rivals.values()):
                known.learn_sketch(SMALL_SIDE, self.seconds)
            self._choose_small_side()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def _timed(self) -> float:
        start = time.perf_counter()
        self.session.render([State()])
        return time.perf_counter() - start

    def _choose_small_side(self) -> None:
        """So that the first small picture comes in time already."""
        latent = self.session.moved(State())
        while self.small_side > LEAST_SIDE:
            start = time.perf_counter()
            self.session.preview(State(), latent, self.small_side)
            if time.perf_counter() - start <= SLOW_SECONDS:
                break
            self.small_side //= 2

    def ask(self, ask: Ask) -> Ask | None:
        """Stand in line; returns the older ask of the same slot, if one waited."""
        return self.line.put(ask)

    def close(self) -> None:
        """Draw no more; waits for the picture in hand."""
        self.line.close()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while asks := self.line.take(self._at_once):
            left = {id(ask): ask for ask in asks}
            try:
                self._draw(asks, left)
            # The documented border: somebody's generator fails in any way, and may even ask to end the thread.
            except BaseException as error:
                for ask in left.values():
                    self.answer(ask, _error(f"the picture could not be drawn: {first_line(error)}"), None)

    def _at_once(self) -> int:
        """One picture at a time where each takes long: what waits meanwhile may be out of date."""
        return 1 if self.seconds > SLOW_SECONDS else min(_AT_ONCE, images_at_once(self.session.generator))

    def _draw(self, asks: Sequence[Ask], left: dict[int, Ask]) -> None:
        start = time.perf_counter()
        ready: list[tuple[Ask, Tensor]] = []
        for ask in asks:
            try:
                ready.append((ask, self.session.of(ask.state).moved(ask.state)))
            except ValueError as error:
                self.answer(left.pop(id(ask)), _error(str(error)), None)
        if self.seconds > SLOW_SECONDS:
            ready = [(ask, latent) for ask, latent in ready if not self._sketched(ask, latent, left)]
        if not ready:
            return
        began = time.perf_counter()
        images = self.session.images([(ask.state, latent) for ask, latent in ready])
        self.seconds = (time.perf_counter() - began) / len(ready)
        for (ask, _), image in zip(ready, images, strict=True):
            self._deliver(ask, image, start, left)

    def _sketched(self, ask: Ask, latent: Tensor, left: dict[int, Ask]) -> bool:
        """Send a small picture first; whether that is all there is to do."""
        start = time.perf_counter()
        side = self.small_side if ask.side is None or ask.side > SMALL_SIDE else ask.side
        small, is_rough = self.session.preview(ask.state, latent, side)
        if small is None:
            return False
        if ask.side is None and time.perf_counter() - start > SLOW_SECONDS:
            self.small_side = max(LEAST_SIDE, self.small_side // 2)
        enough = ask.side is not None and not is_rough and ask.side <= max(small.shape[-2:]) and not ask.codes
        self._deliver(ask, small, start, left, is_final=enough)
        if not enough and self.line.is_old(ask):
            self.answer(left.pop(id(ask)), {"type": "stale"}, None)
            return True
        return enough

    def _deliver(self, ask: Ask, image: Tensor, start: float, left: dict[int, Ask], is_final: bool = True) -> None:
        try:
            shown = image if ask.side is None else _reduced(image, ask.side)
            pixels = to_bytes(shown)
            session = self.session.of(ask.state)
            codes = None
            if ask.codes and is_final and session.encoder is not None:
                codes = session.codes(image[None])[0].tolist()
            facts = {
                "type": "picture",
                "slot": ask.slot,
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "codes": codes,
                "warnings": self.session.warnings(ask.state),
                "final": is_final,
                "format": "webp",
            }
            picture = webp(pixels)
        except ValueError as error:
            self.answer(left.pop(id(ask)), _error(str(error)), None)
            return
        if is_final:
            del left[id(ask)]
        self.answer(ask, {**facts, "seconds": round(time.perf_counter() - start, 4)}, picture)


def _reduced(image: Tensor, side: int) -> Tensor:
    """An image ``(C, H, W)`` averaged down to at most ``side`` pixels."""
    factor = side / max(image.shape[-2:])
    if factor >= 1:
        return image
    size = [max(1, round(length * factor)) for length in image.shape[-2:]]
    return F.interpolate(image[None], size, mode="area")[0]


def _error(message: str) -> dict[str, Any]:
    return {"type": "error", "message": message}
