"""Draw the codes of images that traverse three factors: a cube, when three codes follow them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder
from contrafact.core.ranges import MetricSeed, Panels


@dataclass(frozen=True)
class Options:
    """Place every combination of three factors' values at its codes, coloured by the values."""

    run: Positional[Folder]
    """Run folder."""
    factors: tuple[str, ...] = ()
    """Names of three factors; by default the three that codes of their own follow best."""
    data: str | None = None
    """Images with known factors; by default what the run, or its generator, was trained on."""
    generator: str | None = None
    """Generator of a run on a module of your own, which its folder cannot hold: FILE.py:FUNCTION that returns it."""
    changes: Assignments = ()
    """An argument of that generator: depth=3. May be repeated."""
    out: Path | None = None
    """PNG to write; by default figures/cube.png in the run."""
    values: Panels = 8
    """Values of each factor at most."""
    seed: MetricSeed = 0
    """Seed of the other factors' values."""


def cube(arguments: Sequence[str]) -> None:
    """Write the picture."""
    options = parse(Options, arguments, "cube")
    import numpy as np

    from contrafact.core.claim import hold
    from contrafact.core.dataset import FactorDataset
    from contrafact.evaluation.sampling import dataset_of
    from contrafact.report.charts import save_chart
    from contrafact.report.cube import cube_chart, factor_cube
    from contrafact.report.figures import FIGURES
    from contrafact.report.subject import find_run

    run = find_run(options.run, options.generator, changes_of(options.changes))
    hold(options.out or options.run)
    dataset = dataset_of(run, options.data)
    if not isinstance(dataset, FactorDataset):
        raise ValueError(f"the factors behind the images of {options.run} are not known; name a dataset with --data")
    rng = np.random.default_rng(options.seed)
    found = factor_cube(run.encoder, dataset, rng, options.factors, values=options.values)
    chart = cube_chart(found, f"{run.config['method']} on {dataset.name}")
    path = save_chart(chart, options.out or options.run / FIGURES / "cube.png")
    for factor, code, share in zip(found.factors, found.codes, found.explained, strict=True):
        print(f"{factor}: code {code}, of whose variance it explains {share:.0%}")
    print(f"wrote {path}")
