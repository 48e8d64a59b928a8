"""Write a run's report: one page with its directions to play with, its scores, curves and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder
from contrafact.core.ranges import MetricSeed, Panels, Positive


@dataclass(frozen=True)
class Options:
    """Write report.html, which needs nothing beside it, and its figures."""

    run: Positional[Folder]
    """Run folder."""
    data: str | None = None
    """Images with known factors for the heat map; by default what the run, or its generator, was trained on."""
    generator: str | None = None
    """Generator of a run on a module of your own, which its folder cannot hold: FILE.py:FUNCTION that returns it."""
    changes: Assignments = ()
    """An argument of that generator: depth=3. May be repeated."""
    out: Path | None = None
    """Page to write; by default the run's report.html."""
    samples: Panels = 4
    """Images the traversals start from."""
    span: Positive | None = None
    """Largest step, in standard deviations of the latent space; by default what the generator's edits need to be seen,
    2.5 of most and 8 of a diffusion model's h."""
    seed: MetricSeed = 0
    """Seed of the images to start from."""


def report(arguments: Sequence[str]) -> None:
    """Write the page."""
    options = parse(Options, arguments, "report")
    from contrafact.core.claim import hold
    from contrafact.core.dataset import FactorDataset
    from contrafact.evaluation.sampling import dataset_of
    from contrafact.report.page import write_report
    from contrafact.report.subject import find_run

    run = find_run(options.run, options.generator, changes_of(options.changes))
    hold(options.run if options.out is None else options.out.parent)
    dataset = dataset_of(run, options.data)
    if options.data is not None and not isinstance(dataset, FactorDataset):
        raise ValueError(f"{options.data} has no known factors, which the heat map needs; leave --data out")
    factors = dataset if isinstance(dataset, FactorDataset) else None
    path = write_report(
        run,
        factors,
        samples=options.samples,
        span=options.span,
        seed=options.seed,
        out=options.out,
        images=None if isinstance(dataset, FactorDataset) else dataset,
    )
    print(f"wrote {path}: open it in a browser")
