"""Rerun a table of a paper: our numbers, mean and spread over seeds, beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from contrafact.cli._parse import parse, print_table
from contrafact.cli._types import Folder
from contrafact.core.ranges import Panels


@dataclass(frozen=True)
class Options:
    """Run every row of a recipe at every seed; finished cells are kept, so a stopped bench goes on where it was."""

    name: Positional[str | None] = None
    """Recipe, such as disco-table4; without one, the recipes are listed."""
    scale: Literal["small", "paper"] = "small"
    """small is what two cores do; paper is the paper's own settings."""
    seeds: Panels = 5
    """Number of seeds."""
    rows: tuple[str, ...] = ()
    """Rows to run, by name or a part of it; by default all. Others are in the table where they are finished."""
    out: Folder | None = None
    """Folder of results and runs; by default runs/bench/NAME-SCALE."""
    source: Annotated[str | None, tyro.conf.arg(aliases=["--generator"])] = None
    """Generator, or data for rows on images, to use instead of the recipe's; rows that cannot use it are refused."""
    data: str | None = None
    """Images to score on, instead of those the generator was trained on."""
    predictor: str | None = None
    """Who judges edited images (as in evaluate); by default the recipe's, or a predictor is trained on the images."""
    device: str = "auto"
    """Where to train."""


def bench(arguments: Sequence[str]) -> None:
    """Run a recipe and print its table."""
    options = parse(Options, arguments, "bench")
    from contrafact.bench.recipe import load_recipe, recipe_names
    from contrafact.bench.suite import Bench, run_bench
    from contrafact.core.catalog import slug

    if options.name is None:
        print("recipes:")
        print_table((name, load_recipe(name).title) for name in recipe_names())
        return
    recipe = load_recipe(options.name)
    name = slug(Path(options.name).name)
    out = options.out or Path("runs", "bench", f"{name}-{options.scale}")
    job = Bench(
        name,
        recipe,
        out,
        options.scale,
        options.seeds,
        options.source,
        options.data,
        options.device,
        options.predictor,
        options.rows,
    )
    print(f"{recipe.title}\n\n{run_bench(job)}\n\nwrote {out}/results.md, {out}/results.json")
