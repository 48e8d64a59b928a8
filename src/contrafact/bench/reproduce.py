"""Computing what is outstanding of all tables, a bit at a time: ``bench --all --keep FOLDER``, ``make reproduce``.

What is finished lies in two places. Trainings are in ``runs/bench``, and a stopped one goes on from its checkpoint;
their scores also lie in a folder that is kept with the project, so that whoever comes next, on a machine that has none
of the runs, computes what is left and nothing twice. That folder is written every few minutes.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from contrafact.bench.check import asked_rows, why_nothing
from contrafact.bench.forecast import Line, forecasts
from contrafact.bench.kept import kept_cells
from contrafact.bench.plan import CELLS, Bench, plan
from contrafact.bench.recipe import Scale, load_recipe, recipe_names
from contrafact.bench.results import RESULTS, TABLE, collect
from contrafact.bench.runner import CellsFailed, run_bench
from contrafact.core.catalog import slug
from contrafact.core.files import write_text

FIRST = ("disco-table1", "disco-table4")
"""The tables that readers look for first."""
CALL_SECONDS = 570.0
"""After which what is under way is saved and the results are written, whatever the budget."""


@dataclass(frozen=True)
class Reproduction:
    """What to compute and where to keep it.

    Attributes:
        kept: folder of the results to keep.
        scale: of every recipe.
        runs: folder of runs and tables.
        seeds: of every row, the first one for all before the second one for any.
        jobs: worker processes.
        device: where to train.
        recipes: names; by default all, those of :data:`FIRST` first.
        finished: folder of results that are finished, of which nothing is computed again; it is only read.
    """

    kept: Path
    scale: Scale = "small"
    runs: Path = Path("runs", "bench")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    jobs: int = 1
    device: str = "auto"
    recipes: tuple[str, ...] = ()
    finished: Path | None = None

    def benches(self) -> Iterator[Bench]:
        """Every recipe at one seed, then at two: most tables soon have a number in each row."""
        for count in range(1, len(self.seeds) + 1):
            yield from filter(_has_cells, self._benches(count))

    def whole(self) -> list[Bench]:
        """Every recipe at all seeds."""
        return [*filter(_has_cells, self._benches(len(self.seeds)))]

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Recipes of which nothing can run at the scale, and why."""
        for bench in self._benches(1):
            if not _has_cells(bench):
                yield bench.name, why_nothing(bench, asked_rows(bench))

    def _benches(self, count: int) -> Iterator[Bench]:
        names = self.recipes or sorted(recipe_names(), key=lambda name: (name not in FIRST, name))
        for name in names:
            short = slug(Path(name).name)
            yield Bench(
                short,
                load_recipe(name),
                self.runs / f"{short}-{self.scale}",
                self.scale,
                self.seeds[:count],
                device=self.device,
                store=self.runs / CELLS,
                kept=self.kept / f"{short}-{self.scale}.json",
                finished=self.finished,
            )


def _has_cells(bench: Bench) -> bool:
    return bool(plan(replace(bench, kept=None, finished=None), asked_rows(bench)))


def keep(bench: Bench, seeds: tuple[int, ...]) -> None:
    """Collect what is finished and write it where it is kept, beside the seeds that are kept already."""
    assert bench.kept is not None
    known = {cell["seed"] for cell in kept_cells(bench.kept).values()}
    whole = replace(bench, seeds=tuple(dict.fromkeys([*seeds, *sorted(known)])))
    if collect(whole):
        bench.kept.parent.mkdir(parents=True, exist_ok=True)
        for name, target in ((RESULTS, bench.kept), (TABLE, bench.kept.with_suffix(".md"))):
            write_text(target, (bench.out / name).read_text(encoding="utf-8"))


def reproduce(asked: Reproduction, budget: float) -> list[str]:
    """Compute what is outstanding until the time is up; stop at any moment, and go on by calling it again.

    Args:
        asked: what to compute.
        budget: seconds.

    Returns:
        what went wrong, recipe by recipe; the others go on.

    Raises:
        KeyboardInterrupt: somebody stopped it; what was under way is saved, and what is finished is kept.
    """
    until = time.monotonic() + budget
    wrong: dict[str, str] = {}
    session = uuid.uuid4().hex
    for bench in asked.benches():
        while bench.name not in wrong and (left := until - time.monotonic()) > 0:
            if not plan(bench, asked_rows(bench)):
                break
            print(f"{bench.name}, {len(bench.seeds)} seeds: {left / 60:.1f} minutes are left", file=sys.stderr)
            begun = time.monotonic()
            try:
                run_bench(bench, asked.jobs, min(left, CALL_SECONDS), session)
            except CellsFailed as error:
                wrong[bench.name] = str(error)
            except ValueError as error:
                wrong[bench.name] = f"{bench.name}: {error}"
                break
            finally:
                keep(bench, asked.seeds)
            if time.monotonic() - begun < min(left, CALL_SECONDS):
                break  # all that could be computed is
    return list(wrong.values())


def outstanding(asked: Reproduction) -> tuple[int, float, int]:
    """Cells that are left, hours of one process that they may take, and of how many of them no time is known."""
    lines: dict[str, Line] = {}
    for _, found in forecasts(asked.whole()):
        lines |= {line.key: line for line in found if line.state != "done"}
    known = [line.seconds for line in lines.values() if line.seconds is not None]
    return len(lines), sum(known) / 3600, len(lines) - len(known)
