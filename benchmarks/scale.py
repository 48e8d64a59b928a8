"""From one laptop to 1,000 GPUs, for docs/scale.md: `python benchmarks/scale.py fit|flops|simulate`.

fit: seconds a step of every method and size in the tables of docs/results, by their cells. flops: what a step of DisCo
takes, counted by torch on one image of each network. simulate: 10,000 cells on up to 1,000 workers that fail.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from contrafact.bench.plan import Bench, can_run, method_of
from contrafact.bench.recipe import load_recipe
from contrafact.bench.simulate import Work, Workers, simulate
from contrafact.evaluation.run import CONTROL
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods import CATALOG
from contrafact.methods.disco import DisCo
from contrafact.nn.encoders import ConvEncoder

RESULTS = Path(__file__).parents[1] / "docs" / "results"
HOUR = 3600.0
SIZES = {"shapes3d": 64, "dsprites": 64, "fashion-mnist": 28}


def fit() -> None:
    """Seconds a step, by method and image side: the median over cells, and the spread of a power law over sides."""
    found: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
    for path in sorted(RESULTS.glob("*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        recipe = load_recipe(results["recipe"])
        bench = Bench(results["recipe"], recipe, Path(), results["scale"])
        for row in recipe.rows:
            line = results["rows"].get(row.name)
            if line is None or not line["cells"] or row.method == CONTROL or not can_run(bench, row):
                continue
            settings = method_of(bench, row).hyperparameters()
            steps, batch = (
                settings.get("steps"),
                settings.get("batch_size") or method_of(bench, row).budget().images_per_step,
            )
            side = {**recipe.data.get(results["scale"], {}), **row.data}.get("size", 32)
            if steps and batch and CATALOG.get(row.method).source == "images":
                found[row.method, side] += [(cell["seconds"] / steps, batch) for cell in line["cells"]]
    print("| method | side | images a step | s a step | ms an image | cells |\n|---|---|---|---|---|---|")
    for (method, side), cells in sorted(found.items()):
        seconds, batch = np.median([s for s, _ in cells]), int(np.median([b for _, b in cells]))
        print(f"| {method} | {side} | {batch} | {seconds:.3f} | {1000 * seconds / batch:.2f} | {len(cells)} |")


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
    {"fit": fit, "flops": flops, "simulate": simulations}[sys.argv[1]]()
