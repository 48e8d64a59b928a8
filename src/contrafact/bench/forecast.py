"""How long the cells of a recipe may take, from those that are finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from contrafact.bench.cells import BEGUN, RECORD, record_of
from contrafact.bench.check import asked_rows
from contrafact.bench.plan import Bench, Cell, plan, spoken
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


def _line(bench: Bench, cell: Cell, usual: Mapping[tuple[str, str, str], float]) -> Line:
    record = record_of(bench, cell)
    begun = (bench.cells / cell.key / BEGUN).exists()
    state = record["state"] if record is not None else "begun" if begun else "to do"
    seconds = usual.get((cell.kind, cell.method, bench.scale))
    if record is not None and state == "done":
        seconds = record["wall_seconds"]
    what = f"{cell.kind}: {spoken(cell)}"
    return Line(cell.key, what, state, seconds, tuple(need.key for need in cell.needs))
