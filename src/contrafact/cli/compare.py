"""Draw what several runs' directions do to the same images, beside each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._globals import answer
from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder
from contrafact.core.ranges import Panels, Positive, Seed, Share


@dataclass(frozen=True)
class Options:
    """Compare runs on one generator: the first run's directions, and of every other run those most like them."""

    runs: Positional[tuple[Folder, ...]]
    """Run folders, two or more."""
    directions: tuple[str, ...] = ()
    """Names or numbers of the first run's directions; by default those that change images most."""
    generator: tuple[str, ...] = ()
    """Generators of runs on modules of your own, which their folders cannot hold: FILE.py:FUNCTION that returns one."""
    changes: Assignments = ()
    """An argument of these generators: depth=3. May be repeated."""
    out: Folder = Path("comparison")
    """Folder of the pictures."""
    samples: Panels = 3
    """Images to start from."""
    frames: Panels = 7
    """Columns; odd, the middle one is the image unchanged."""
    span: Positive = 2.5
    """Largest step, in standard deviations of the latent space."""
    most: Panels = 6
    """Directions to compare when none are named."""
    seed: Seed = 0
    """Seed of the images to start from."""
    truncation: Share | None = None
    """Pulls the images to start from towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""


def compare(arguments: Sequence[str]) -> None:
    """Write the pictures."""
    options = parse(Options, arguments, "compare")
    from contrafact.core.claim import hold
    from contrafact.report.comparison import compare as compare_contenders
    from contrafact.report.comparison import contenders_of, write_comparison
    from contrafact.report.subject import find_runs

    runs = find_runs(options.runs, options.generator, changes_of(options.changes))
    hold(options.out)
    compared = compare_contenders(
        contenders_of(runs),
        options.directions,
        samples=options.samples,
        frames=options.frames,
        span=options.span,
        seed=options.seed,
        most=options.most,
        truncation=options.truncation,
    )
    written = write_comparison(compared, options.out)
    shown = compared.contenders
    answer(
        {
            "overview": str(written[0]),
            "strips": [str(path) for path in written[1:]],
            "contenders": [contender.label for contender in shown],
            "matches": [[dataclasses.asdict(match) for match in row] for row in compared.matches],
        }
    )
    print(f"wrote {written[0]} and {len(written) - 1} strips beside it")
