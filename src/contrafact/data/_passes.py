"""The order in which shuffled passes go through shards, as a function of a random stream's state.

Pictures near each other in a shard are read together, so an order that leaps would read each shard once for each of
its pictures. A pass goes through blocks of pictures in a random order and mixes :data:`WINDOW` of them at a time, as a
shuffle buffer of that size does. Nothing of it is kept: how far a pass is, the random stream itself says, for its
state is a counter in disguise (O'Neill 2014, "PCG: A family of simple fast space-efficient statistically good
algorithms for random number generation", HMC-CS-2014-0905, section 4.3.1: the distance in a linear congruential
generator). So a run that saves its stream, as each does, goes on in the middle of a pass.

Shape suffixes: B blocks.
"""

from __future__ import annotations

import numpy as np

from contrafact.core.dataset import IntArray

WINDOW = 4096
"""Pictures that are mixed."""

_MULTIPLIER, _MODULUS = 0x2360ED051FC65DA44385DF649FCCF645, 2**128


class Passes:
    """Shuffled passes through blocks of pictures.

    Args:
        sizes_B: pictures in each block, of consecutive numbers.
        window: pictures that are mixed.
    """

    def __init__(self, sizes_B: IntArray, window: int = WINDOW) -> None:
        self.sizes_B, self.window = np.asarray(sizes_B, dtype=np.int64), window
        self.starts_B = np.cumsum(self.sizes_B) - self.sizes_B
        self.count = int(self.sizes_B.sum())
        self._known: dict[tuple[int, int], tuple[IntArray, IntArray, int]] = {}

    def draw(self, n: int, rng: np.random.Generator) -> IntArray:
        """The next ``n`` pictures ``(n,)`` of the pass that a stream is in; the stream moves on by as many draws.

        Streams of another kind than :func:`numpy.random.default_rng`'s give independent uniform draws.
        """
        found = move(rng, n)
        return rng.integers(self.count, size=n) if found is None else self.at(found[0], n, found[1])

    def at(self, place: int, n: int, stream: int) -> IntArray:
        """Pictures ``(n,)`` at places ``place``, ``place + 1``, ... of all passes one after the other.

        Args:
            place: from 0 on.
            n: how many.
            stream: which order, of many.
        """
        found = []
        while n > 0:
            turn, within = divmod(place, self.count)
            window, offset = divmod(within, self.window)
            first = window * self.window
            last = min(first + self.window, self.count)
            mixed = np.random.default_rng([1, *_words(stream), *_words(turn), window]).permutation(last - first)
            chosen = mixed[offset : offset + n]
            found.append(self._rows(first + chosen, turn, stream))
            place, n = place + len(chosen), n - len(chosen)
        return np.concatenate(found)

    def _rows(self, places: IntArray, turn: int, stream: int) -> IntArray:
        """Pictures at places of a pass: its blocks in a random order on a ring, from any picture on.

        Without the latter, the last pictures of large blocks would seldom be among the first of a pass.
        """
        if (turn, stream) not in self._known:
            if len(self._known) > 2:  # a batch may lie in two passes, and two streams draw in turn
                self._known.clear()
            rng = np.random.default_rng([0, *_words(stream), *_words(turn)])
            order, begin = rng.permutation(len(self.sizes_B)), int(rng.integers(self.count))
            self._known[turn, stream] = order, np.cumsum(self.sizes_B[order]), begin
        order, ends, begin = self._known[turn, stream]
        places = (places + begin) % self.count
        block = np.searchsorted(ends, places, side="right")
        return self.starts_B[order[block]] + places - (ends[block] - self.sizes_B[order[block]])


def move(rng: np.random.Generator, n: int) -> tuple[int, int] | None:
    """Place and number of the passes that a stream is in, which then moves on by ``n``; None where it has none."""
    place = position(rng)
    if place is None:
        return None
    rng.bit_generator.advance(n)  # type: ignore[attr-defined]
    return place, int(rng.bit_generator.state["state"]["inc"])


def position(rng: np.random.Generator) -> int | None:
    """How many steps a stream's state lies behind zero, from 0 to 2^128 - 1; each draw of 64 bits adds one.

    None for a stream whose generator is not PCG64, which ``default_rng`` gives.

    >>> rng = np.random.default_rng(0)
    >>> before = position(rng)
    >>> _ = rng.random(1000)
    >>> position(rng) - before
    1000
    """
    state = rng.bit_generator.state
    if state.get("bit_generator") != "PCG64":
        return None
    wanted, plus = int(state["state"]["state"]), int(state["state"]["inc"])
    multiplier, reached, distance, bit = _MULTIPLIER, 0, 0, 1
    while reached != wanted:  # the lowest bits of both agree more and more
        if (reached ^ wanted) & bit:
            reached = (reached * multiplier + plus) % _MODULUS
            distance |= bit
        plus = (multiplier + 1) * plus % _MODULUS
        multiplier = multiplier * multiplier % _MODULUS
        bit <<= 1
    return distance


def _words(number: int) -> tuple[int, int, int, int]:
    """A number of 128 bits in words of 32."""
    return tuple(number >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96))  # type: ignore[return-value]
