"""How long so many cells take on so many workers that fail now and then: the runner's rules, without the work.

The rules are those of :func:`contrafact.bench.runner.work`: a worker that is free takes the first cell whose needs are
finished; one that is killed frees its cell at once, and whoever takes it goes on from its last checkpoint. Workers fail
as if by lightning, at a constant rate, whatever they do.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Work:
    """A cell, as far as time goes.

    Attributes:
        seconds: of one worker, without a failure.
        needs: places of the cells that must be finished before; they come before it.
        has_checkpoints: whether it goes on where it was, as trainings do, or begins anew.
    """

    seconds: float
    needs: tuple[int, ...] = ()
    has_checkpoints: bool = True


@dataclass(frozen=True)
class Workers:
    """Who computes.

    Attributes:
        count: how many.
        lifetime: mean seconds between two failures of one; infinite for none.
        restart: seconds from a failure until its worker is back.
        checkpoint: seconds between two checkpoints.
        overhead: seconds that every start of a cell costs beside its work: claiming, reading the source.
    """

    count: int
    lifetime: float = math.inf
    restart: float = 120.0
    checkpoint: float = 60.0
    overhead: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what nobody has (ValueError)."""
        if self.count < 1:
            raise ValueError(f"there must be at least one worker, got {self.count}")
        if not (self.lifetime > 0 and self.checkpoint > 0 and self.restart >= 0 and self.overhead >= 0):
            raise ValueError(f"times must be positive, restart and overhead at least 0; got {self}")


@dataclass(frozen=True)
class Course:
    """What came of it.

    Attributes:
        makespan: seconds until the last cell was finished.
        useful: seconds of workers that finished cells needed.
        wasted: seconds of workers that were computed again, or spent on starting.
        failures: how often a worker died at work.
        bound: seconds that no order could have beaten: all work shared evenly, or the longest chain of needs.
    """

    makespan: float
    useful: float
    wasted: float
    failures: int
    bound: float


def simulate(cells: Sequence[Work], workers: Workers, seed: int = 0) -> Course:
    """One course of events.

    Args:
        cells: the most useful first, each behind those it needs.
        workers: who computes.
        seed: of the failures.

    Raises:
        ValueError: a cell that needs a later one.

    >>> course = simulate([Work(10.0), Work(20.0), Work(5.0, needs=(0,))], Workers(2))
    >>> course.makespan, course.bound, course.wasted
    (20.0, 20.0, 0.0)
    """
    missing, followers = _links(cells)
    rng = np.random.default_rng(seed)
    left = [cell.seconds for cell in cells]
    ready = [place for place, count in enumerate(missing) if count == 0]  # sorted, so a heap
    events: list[tuple[float, int, int, bool]] = []  # time, order, cell (-1: a worker is back), whether it is finished
    idle, order, now, wasted, failures = workers.count, 0, 0.0, 0.0, 0
    while True:
        while idle and ready:
            place = heapq.heappop(ready)
            needed = left[place] + workers.overhead
            life = rng.exponential(workers.lifetime) if math.isfinite(workers.lifetime) else math.inf
            lives = life >= needed
            if lives:
                wasted += workers.overhead
            else:
                done = max(0.0, life - workers.overhead)
                saved = done // workers.checkpoint * workers.checkpoint if cells[place].has_checkpoints else 0.0
                left[place] -= saved
                wasted += life - saved
                failures += 1
            idle, order = idle - 1, order + 1
            heapq.heappush(events, (now + (needed if lives else life), order, place, lives))
        if not events:
            break
        now, _, place, is_finished = heapq.heappop(events)
        if place < 0:
            idle += 1
        elif is_finished:
            idle += 1
            makespan = now
            for follower in followers[place]:
                missing[follower] -= 1
                if missing[follower] == 0:
                    heapq.heappush(ready, follower)
        else:
            heapq.heappush(ready, place)
            order += 1
            heapq.heappush(events, (now + workers.restart, order, -1, False))
    useful = sum(cell.seconds for cell in cells)
    return Course(makespan if cells else 0.0, useful, wasted, failures, max(useful / workers.count, _chain(cells)))


def _links(cells: Sequence[Work]) -> tuple[list[int], list[list[int]]]:
    """How many needs each cell waits for, and who waits for it."""
    followers: list[list[int]] = [[] for _ in cells]
    for place, cell in enumerate(cells):
        for need in cell.needs:
            if not 0 <= need < place:
                raise ValueError(f"cell {place} needs cell {need}; needs come first")
            followers[need].append(place)
    return [len(cell.needs) for cell in cells], followers


def _chain(cells: Sequence[Work]) -> float:
    """Seconds of the longest chain of needs."""
    ends: list[float] = []
    for cell in cells:
        ends.append(cell.seconds + max((ends[need] for need in cell.needs), default=0.0))
    return max(ends, default=0.0)
