"""How long the cells of a recipe may take, from those that are finished, here or elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from contrafact.bench.cells import BEGUN, record_of
from contrafact.bench.check import asked_rows
from contrafact.bench.plan import Bench, Cell, plan, spoken
from contrafact.bench.simulate import Work, Workers, simulate
from contrafact.bench.usual import Kind, Times, finished, shipped


class Line(NamedTuple):
    """A cell in a plan.

    Attributes:
        key: its name.
        what: row, seed, and what is done.
        state: ``done``, ``failed``, ``begun`` or ``to do``.
        seconds: how long it took, or may take; None where nothing like it has been computed.
        needs: keys of cells that must be finished before.
        is_elsewhere: whether those seconds were measured on another machine.
    """

    key: str
    what: str
    state: str
    seconds: float | None
    needs: tuple[str, ...]
    is_elsewhere: bool = False


def forecast(bench: Bench) -> list[Line]:
    """Every cell of a recipe, the most useful first, with what is known of its time.

    A cell is expected to take what the median of finished cells of its kind and method took, of the same recipe where
    there are some, else of any at its scale; where none is finished here, what those took that the package knows of.
    """
    return next(forecasts([bench]))[1]


def forecasts(benches: Iterable[Bench]) -> Iterator[tuple[Bench, list[Line]]]:
    """:func:`forecast` of each; the finished cells of a folder that they share are read once."""
    known: dict[Path, Times] = {}
    for bench in benches:
        if bench.cells not in known:
            known[bench.cells] = Times(finished(bench.cells), shipped())
        yield bench, [_line(bench, cell, known[bench.cells]) for cell in plan(bench, asked_rows(bench))]


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


def _line(bench: Bench, cell: Cell, times: Times) -> Line:
    record = record_of(bench, cell)
    begun = (bench.cells / cell.key / BEGUN).exists()
    state = record["state"] if record is not None else "begun" if begun else "to do"
    needs, what = tuple(need.key for need in cell.needs), f"{cell.kind}: {spoken(cell)}"
    if record is not None and state == "done":
        return Line(cell.key, what, state, record["wall_seconds"], needs)
    seconds, is_here = times.of(Kind(cell.kind, cell.method, bench.scale, bench.name)) or (None, True)
    return Line(cell.key, what, state, seconds, needs, not is_here)
