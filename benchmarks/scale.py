"""From one laptop to 1,000 GPUs, for docs/scale.md: `python benchmarks/scale.py fit [CELLS] | flops | simulate`.

fit: what trainings took, by a folder of finished cells and by the tables in docs/results; a number of a table counts
only where the recipe's plan still has the cell that it came from, so that its settings and sides are known.
flops: what a step of DisCo takes, counted by torch on one image of each network. simulate: 10,000 cells on up to 1,000
workers that fail.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from contrafact.bench.cells import RECORD, source_of_cell
from contrafact.bench.plan import RUN, Bench, score_cells
from contrafact.bench.recipe import load_recipe
from contrafact.bench.simulate import Work, Workers, simulate
from contrafact.evaluation.run import CONTROL
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods import CATALOG
from contrafact.methods.disco import DisCo
from contrafact.nn.encoders import ConvEncoder

RESULTS = Path(__file__).parents[1] / "docs" / "results"
HOUR = 3600.0
SHORTEST = 0.5
HEAD = "| method | learns from | side | steps × images | s a run (least, most) | s a step | ms an image | cells |"
RULE = "|---|---|---|---|---|---|---|---|"


class Training(NamedTuple):
    """Trainings that take about as long: steps and images of a step are None where the method counts none."""

    method: str
    source: str
    side: int
    steps: int | None
    images: int | None

    @classmethod
    def of(cls, method: Any, source: str, side: int) -> Training:
        budget = method.budget()
        sees_images = method.source == "images" or "encoder" in method.yields
        return cls(method.name(), source, side, budget.steps, budget.images_per_step if sees_images else None)


def computed(folder: Path) -> Iterator[tuple[str, Training, float]]:
    """Key, kind and seconds of the finished trainings in a folder of cells, as their runs describe themselves."""
    for path in sorted(folder.glob(f"*/{RECORD}")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["kind"] == "train" and record["state"] == "done" and record["method"] in CATALOG:
            config = json.loads((path.parent / RUN / "config.json").read_text(encoding="utf-8"))
            method = CATALOG.get(record["method"]).of(**config["hyperparameters"])
            source = config["source"]
            yield record["key"], Training.of(method, source["name"], source["image_shape"][-1]), record["wall_seconds"]


def stored(path: Path) -> Iterator[tuple[str, Training, float]]:
    """The same of a table's numbers, as far as the plan has the cells that they came from."""
    results = json.loads(path.read_text(encoding="utf-8"))
    scores = {cell.get("key"): cell for row in results["rows"].values() for cell in row["cells"]}
    seeds = tuple(sorted({cell["seed"] for cell in scores.values()}))
    asked = re.search(r"--(?:source|generator) (\S+)", results["command"])
    recipe = load_recipe(results["recipe"])
    for source in {None, asked and asked[1]}:
        bench = Bench(results["recipe"], recipe, Path(), results["scale"], seeds, source)
        for cell in score_cells(bench, {row.name for row in recipe.rows}):
            if cell.key not in scores or cell.row.method == CONTROL:
                continue
            train, origin = cell.trained, cell.trained.origin
            name = str(origin.options["source"])
            name = name if origin is train else f"{origin.method} on {name}"
            side = source_of_cell(origin).image_shape[-1]
            yield train.key, Training.of(train.options["method"], name, side), scores[cell.key]["seconds"]


def costs(cells: Path | None = None) -> tuple[dict[str, str], int]:
    """What trainings took by method, source, side, steps and images a step, and how many they are.

    Returns:
        a table of the methods that learn from images, one of those that learn from a generator: median, least and most.
    """
    warnings.simplefilter("ignore")  # few labels, of which benches tell
    known: dict[str, tuple[Training, float]] = {}
    found = [computed(cells)] if cells else []
    for trainings in (*found, *(stored(path) for path in sorted(RESULTS.glob("*.json")))):
        for key, training, seconds in trainings:
            known.setdefault(key, (training, seconds))
    alike: dict[Training, list[float]] = defaultdict(list)
    for training, seconds in known.values():
        alike[training].append(seconds)
    tables = {
        kind: "\n".join(
            [HEAD, RULE]
            + [
                _line(one, alike[one])
                for one in sorted((one for one in alike if CATALOG.get(one.method).source == kind), key=str)
                if max(alike[one]) >= SHORTEST
            ]
        )
        for kind in ("images", "generator")
    }
    return tables, len(known)


def fit(cells: Path | None = None) -> None:
    """Print what trainings took."""
    tables, number = costs(cells)
    for table in tables.values():
        print(table, end="\n\n")
    print(f"{number} trainings; lines whose longest took less than {SHORTEST} s are left out")


def _line(one: Training, seconds: Sequence[float]) -> str:
    middle = float(np.median(seconds))
    cells = [one.method, one.source, one.side, "–", f"{middle:.1f} ({min(seconds):.1f}, {max(seconds):.1f})", "–", "–"]
    if (
        one.steps is not None and one.steps > 1
    ):  # with one step JointDiagonal trains no encoder, and finds directions alone
        cells[3] = f"{one.steps:,}" + (f" × {one.images}" if one.images else "")
        cells[5] = f"{middle / one.steps:.3f}"
        cells[6] = f"{1000 * middle / one.steps / one.images:.2f}" if one.images else "–"
    return f"| {' | '.join(map(str, cells))} | {len(seconds)} |"


def counted(module: torch.nn.Module, inputs: torch.Tensor) -> float:
    """Operations (two a multiplication with its addition) of one forward pass, by torch's counter."""
    counter = FlopCounterMode(display=False)
    module.requires_grad_(False)  # the counter follows graphs where there are some
    with counter:
        module(inputs)
    return float(counter.get_total_flops())


def flops() -> None:
    """A step of DisCo at its paper's settings: passes of generator and encoder over its images."""
    paper = DisCo.of()
    print("| side | generator, an image | encoder, an image | images a step | a step |\n|---|---|---|---|---|")
    for side in (64, 128, 256):
        generator = StyleGAN2(size=side)
        encoder = ConvEncoder((3, side, side), paper.code_dim or paper.num_directions)
        made = counted(generator, generator.sample(1, torch.Generator().manual_seed(0)))
        read = counted(encoder, torch.rand(1, 3, side, side))
        images = paper.budget().images_per_step or 0
        # The encoder forwards and backwards, which is three passes; edited images have a gradient to their latent.
        step = images * (3 * read + made) + images / 2 * made
        print(f"| {side} | {made / 1e9:.1f} G | {read / 1e9:.1f} G | {images} | {step / 1e12:.1f} T |")


def campaign(rng: np.random.Generator) -> list[Work]:
    """10,000 cells: 100 generators of half a day, on each 33 runs of hours, their encoders and scores."""
    cells: list[Work] = []
    generators = [Work(12 * HOUR * float(np.exp(rng.normal(0, 0.3)))) for _ in range(100)]
    for generator in generators:
        home = len(cells)
        cells.append(generator)
        for _ in range(33):
            train = len(cells)
            cells.append(Work(2 * HOUR * float(np.exp(rng.normal(-0.5, 1.0))), (home,)))
            cells.append(Work(HOUR / 3 * float(np.exp(rng.normal(0, 0.5))), (train,)))
            cells.append(Work(180.0 * float(np.exp(rng.normal(0, 0.5))), (train + 1,), has_checkpoints=False))
    return cells


def simulations() -> None:
    """Makespan and waste of the campaign: by workers, by their lifetime, by what lies between checkpoints."""
    cells = campaign(np.random.default_rng(0))
    useful = sum(cell.seconds for cell in cells)
    print(f"{len(cells):,} cells, {useful / HOUR:,.0f} hours of one worker\n")
    print("| workers | lifetime of one | checkpoint | failures | makespan | no order beats | wasted |")
    print("|---|---|---|---|---|---|---|")
    cases = [(count, np.inf, 60.0) for count in (1, 10, 100, 300, 1000)]
    cases += [(1000, hours * HOUR, 60.0) for hours in (1000, 100, 10, 2)]
    cases += [(1000, 10 * HOUR, 3600.0), (1000, 2 * HOUR, 3600.0)]
    for count, lifetime, checkpoint in cases:
        workers = Workers(count, lifetime, restart=300.0, checkpoint=checkpoint, overhead=10.0)
        courses = [simulate(cells, workers, seed) for seed in range(3 if np.isfinite(lifetime) else 1)]
        makespan = np.mean([course.makespan for course in courses]) / HOUR
        wasted = np.mean([course.wasted for course in courses]) / useful
        failures = np.mean([course.failures for course in courses])
        life = f"{lifetime / HOUR:,.0f} h" if np.isfinite(lifetime) else "for ever"
        print(
            f"| {count:,} | {life} | {checkpoint:.0f} s | {failures:,.0f} | {makespan:,.1f} h | "
            f"{courses[0].bound / HOUR:,.1f} h | {wasted:.2%} |"
        )


if __name__ == "__main__":
    {"fit": fit, "flops": flops, "simulate": simulations}[sys.argv[1]](*map(Path, sys.argv[2:]))
