"""Draw what each direction of a run changes: a strip per direction, an overview, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import parse


@dataclass(frozen=True)
class Options:
    """Draw what a run's directions do, the strongest first; without directions, what its generator's latent axes do."""

    run: Positional[Path]
    """Run folder."""
    directions: tuple[str, ...] = ()
    """Names or numbers of the directions to draw; by default all."""
    out: Path | None = None
    """Folder of the pictures; by default the run's figures."""
    samples: int = 4
    """Images to start from."""
    frames: int = 9
    """Columns of a strip; odd, the middle one is the image unchanged."""
    span: float = 2.5
    """Largest step, in standard deviations of the latent space."""
    most: int = 32
    """Directions to draw at most."""
    seed: int = 0
    """Seed of the images to start from."""


def traverse(arguments: Sequence[str]) -> None:
    """Write the pictures."""
    options = parse(Options, arguments, "traverse")
    from contrafact.core.method import load_run
    from contrafact.report.figures import write_traversal

    written = write_traversal(
        load_run(options.run),
        options.out,
        samples=options.samples,
        frames=options.frames,
        span=options.span,
        seed=options.seed,
        most=options.most,
        only=options.directions,
    )
    print(f"wrote {written[0]}, {written[1]} and {len(written) - 2} strips beside them")
