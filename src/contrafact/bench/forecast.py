"""How long the cells of a recipe may take, from those that are finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from contrafact.bench.cells import BEGUN, RECORD, record_of
from contrafact.bench.check import asked_rows
from contrafact.bench.plan import Bench, Cell, plan, spoken
from contrafact.bench.simulate import Work, Workers, simulate
from contrafact.core.files import read_json


class Line(NamedTuple):
    """A cell in a plan.

    Attributes:
        key: its name.
        what: row, seed, and what is done.
        state: ``done``, ``failed``, ``begun`` or ``to do``.
        seconds: how long it took, or may take; None where nothing like it has been computed.
        needs: keys of cells that must be finished before.
    """

    key: str
    what: str
    state: str
    seconds: float | None
    needs: tuple[str, ...]


def forecast(bench: Bench) -> list[Line]:
    """Every cell of a recipe, the most useful first, with what is known of its time.

    A cell is expected to take what the median of finished cells of its kind and method at its scale took, wherever they
    were computed.
    """
    taken: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for path in sorted(bench.cells.glob(f"*/{RECORD}")):
        record = read_json(path)
        if record["state"] == "done":
            taken[record["kind"], record["method"], record["scale"]].append(record["wall_seconds"])
    usual = {kind: float(np.median(seconds)) for kind, seconds in taken.items()}
    return [_line(bench, cell, usual) for cell in plan(bench, asked_rows(bench))]


def shared_among(lines: Sequence[Line], workers: int) -> float:
    """Seconds until the last cell is finished, where so many workers share what is left.

    Cells of which no time is known count nothing.

    >>> first, second = Line("a", "", "to do", 60.0, ()), Line("b", "", "to do", 30.0, ("a",))
    >>> shared_among([first, second, first._replace(key="c")], 2)
    90.0
    """
    left = {line.key: line for line in lines if line.state != "done"}
    places = {key: place for place, key in enumerate(left)}
    needs = [tuple(places[need] for need in line.needs if need in places) for line in left.values()]
    cells = [Work(line.seconds or 0.0, waits) for line, waits in zip(left.values(), needs, strict=True)]
    return simulate(cells, Workers(workers)).makespan


def _line(bench: Bench, cell: Cell, usual: Mapping[tuple[str, str, str], float]) -> Line:
    record = record_of(bench, cell)
    begun = (bench.cells / cell.key / BEGUN).exists()
    state = record["state"] if record is not None else "begun" if begun else "to do"
    seconds = usual.get((cell.kind, cell.method, bench.scale))
    if record is not None and state == "done":
        seconds = record["wall_seconds"]
    what = f"{cell.kind}: {spoken(cell)}"
    return Line(cell.key, what, state, seconds, tuple(need.key for need in cell.needs))
