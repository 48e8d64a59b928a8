"""What computing tables cell by cell costs: `python benchmarks/tables.py`.

Three figures: seconds to tabulate 10,000 finished cells; seconds that a cell takes beyond its own work, by cells that
do next to nothing; and the time of two workers over that of one, on sixteen trainings of the same length.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from contrafact.bench.cells import RECORD
from contrafact.bench.plan import Bench, plan, score_cells
from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.results import collect
from contrafact.bench.runner import run_bench
from contrafact.evaluation.regression import RegressionSettings

MANY, ROWS = 10_000, 20


def tabulating(folder: Path) -> float:
    """Seconds to read and print 10,000 finished cells, whose records are written here."""
    rows = tuple(Row(f"row {number}", "random", settings={"num_directions": number + 1}) for number in range(ROWS))
    recipe = Recipe("many", "none", rows, {"MDS": ("mds", "score")}, predictor="nobody")
    bench = Bench("many", recipe, folder, seeds=tuple(range(MANY // ROWS)), source="shapes3d", device="cpu")
    for cell in score_cells(bench, {row.name for row in rows}):
        target = bench.cells / cell.key
        target.mkdir(parents=True)
        result = {"scores": {"MDS": cell.seed / MANY}, "seconds": 1.0, "source": "shapes3d"}
        record = {"key": cell.key, "state": "done", "seed": cell.seed, "result": result}
        (target / RECORD).write_text(json.dumps({**record, "environment": {"device": "cpu (x)"}}))
    begin = time.perf_counter()
    table = collect(bench)
    seconds = time.perf_counter() - begin
    assert table.count("| 500 |") == ROWS
    return seconds


def overhead(folder: Path) -> float:
    """Seconds of wall time per cell that its own record does not account for."""
    rows = (Row("random", "random", settings={"num_directions": 2}),)
    recipe = Recipe("small", "none", rows, {"recovery": ("recovery", "score")})
    bench = Bench("small", recipe, folder, seeds=tuple(range(20)), source="analytic", device="cpu")
    begin = time.perf_counter()
    run_bench(bench)
    seconds = time.perf_counter() - begin
    records = [json.loads((bench.cells / cell.key / RECORD).read_text()) for cell in plan(bench, {"random"})]
    return (seconds - sum(record["wall_seconds"] for record in records)) / len(records)


def speedup(folder: Path) -> float:
    """Two workers' time over one's, sixteen trainings of some 20 s on one thread each."""
    settings = {"latent_dim": 10, "steps": 600, "batch_size": 64}
    row = Row("VAE", "beta_vae", settings=settings, source="shapes3d", regression=RegressionSettings())
    recipe = Recipe("sixteen", "none", (row,), {"loss": ("log", "loss")}, data={"small": {"size": 32}})
    seconds = []
    for jobs in (1, 2):
        bench = Bench("sixteen", recipe, folder / str(jobs), seeds=tuple(range(16)), device="cpu")
        begin = time.perf_counter()
        run_bench(bench, jobs, budget=1e6)  # in workers of their own, one too
        seconds.append(time.perf_counter() - begin)
        print(f"{jobs} workers: {seconds[-1]:.0f} s", file=sys.stderr)
    return seconds[1] / seconds[0]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"tabulating {MANY:,} finished cells: {tabulating(Path(folder, 'many')):.1f} s")
        print(f"a cell beyond its own work: {1000 * overhead(Path(folder, 'small')):.0f} ms")
        print(f"sixteen trainings, two workers over one: {speedup(Path(folder, 'speed')):.2f}")


if __name__ == "__main__":
    main()
