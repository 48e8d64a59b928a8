"""Draw what each direction of a run changes: a strip per direction, overviews, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder, Folder
from contrafact.core.command import quoted
from contrafact.core.ranges import Panels, Positive, Seed, Share


@dataclass(frozen=True)
class Options:
    """Draw what a run's directions do, the strongest first; without directions, what its generator's latent axes do."""

    run: Positional[Folder | None] = None
    """Run folder."""
    directions: tuple[str, ...] = ()
    """Names or numbers of the directions to draw; by default all."""
    out: Folder | None = None
    """Folder of the pictures; by default the run's figures."""
    samples: Panels = 4
    """Images to start from."""
    frames: Panels = 9
    """Columns of a strip; odd, the middle one is the image unchanged."""
    span: Positive | None = None
    """Largest step, in standard deviations of the latent space; by default what the generator's edits need to be seen,
    2.5 of most and 8 of a diffusion model's h."""
    most: Panels = 32
    """Directions to draw at most."""
    seed: Seed = 0
    """Seed of the images to start from."""
    truncation: Share | None = None
    """Pulls the images to start from towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""
    latents: Path | None = None
    """File of latents to start from instead, such as contrafact invert or another program's projector writes."""
    video: bool = False
    """Also write an MP4 (needs: pip install 'contrafact[video]')."""
    generator: str | None = None
    """Generator instead of the run's."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    use: FileOrFolder | None = None
    """File or run folder whose directions to draw instead of the run's; GANSpace's, SeFa's, InterFaceGAN's … too."""
    device: str = "auto"
    """Where to make the images."""


def traverse(arguments: Sequence[str]) -> None:
    """Write the pictures."""
    options = parse(Options, arguments, "traverse")
    import torch

    from contrafact.core.claim import hold
    from contrafact.core.generator import sample_latents
    from contrafact.core.pictures import video_writer
    from contrafact.editing.latents import load_latents
    from contrafact.report.figures import FIGURES, magnitude_range, sweep, write_sweep
    from contrafact.report.subject import find_subject

    changes = changes_of(options.changes)
    subject = find_subject(options.run, options.generator, options.use, options.device, options.truncation, changes)
    if options.out is None and not subject.is_one_run:
        raise ValueError("these pictures are not of one run alone; name a folder for them with --out")
    folder = options.out or Path(subject.folder or ".", FIGURES)
    hold(options.out or subject.folder or ".")
    span = options.span or subject.generator.figure_span
    magnitude_range(options.frames, span)
    if options.video:
        video_writer()  # before the images are made, not after
    if options.latents is None:
        rng = torch.Generator().manual_seed(options.seed)
        latents = sample_latents(subject.generator, options.samples, rng)
    else:
        latents = load_latents(options.latents, subject.generator).latents
    smooth = sweep(
        subject.generator,
        subject.directions,
        latents,
        magnitude_range(2 * options.frames - 1, span),
        most=options.most,
        only=options.directions,
        max_side=128,
        kind=subject.kind,
    )
    written = write_sweep(smooth, 2, folder, options.video)
    strips = len(smooth.names)
    print(f"wrote {', '.join(map(str, written[:-strips]))} and {strips} strip{'s' * (strips != 1)} beside them")
    if subject.folder is not None and subject.kind == "direction":
        first = quoted(subject.folder, smooth.indices[0])
        print(f"next: call what you recognise by a name\n  contrafact name {first} ...")
