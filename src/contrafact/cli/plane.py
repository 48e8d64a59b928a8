"""Map what images show over the latent plane that two directions span."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder, Folder
from contrafact.core.ranges import Panels, Positive, Seed, Share

if TYPE_CHECKING:
    from torch import Tensor

    from contrafact.report.subject import Subject


@dataclass(frozen=True)
class Options:
    """Draw factors, or an encoder's codes, over a latent plane as heat maps, and the images there."""

    run: Positional[Folder]
    """Run folder."""
    across: Positional[str]
    """Name or number of the direction from left to right."""
    up: Positional[str]
    """Name or number of the direction from bottom to top."""
    predictor: str | None = None
    """Who reads the images: a run of attribute_predictor, FILE.py:FUNCTION, faces or silhouette."""
    encoder: FileOrFolder | None = None
    """Or a run folder or encoder.safetensors whose codes are mapped; by default the run's encoder."""
    out: Folder | None = None
    """Folder of the pictures; by default the run's figures."""
    span: Positive = 4.0
    """Largest step, in standard deviations of the latent space."""
    steps: Panels = 41
    """Steps along each axis."""
    pictures: Panels = 9
    """Images shown along each axis."""
    seed: Seed = 0
    """Seed of the image in the middle."""
    latents: Path | None = None
    """File of latents whose first is in the middle instead, of contrafact invert or another program."""
    truncation: Share | None = None
    """Pulls the middle towards the mean: 1 leaves it, 0 is the mean; by default the generator's own."""
    generator: str | None = None
    """Generator instead of the run's."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    use: FileOrFolder | None = None
    """File or run folder whose directions to use instead of the run's; GANSpace's, SeFa's, InterFaceGAN's … too."""
    device: str = "auto"
    """Where to make the images."""


def plane(arguments: Sequence[str]) -> None:
    """Write the maps."""
    options = parse(Options, arguments, "plane")
    import torch

    from contrafact.core.claim import hold
    from contrafact.core.generator import sample_latents
    from contrafact.editing.latents import load_latents
    from contrafact.report.figures import FIGURES
    from contrafact.report.planes import plane as map_plane
    from contrafact.report.planes import write_plane
    from contrafact.report.subject import find_subject

    changes = changes_of(options.changes)
    subject = find_subject(options.run, options.generator, options.use, options.device, options.truncation, changes)
    hold(options.out or options.run)
    read, attributes = _reader(options, subject)
    if options.latents is None:
        middle = sample_latents(subject.generator, 1, torch.Generator().manual_seed(options.seed))[0]
    else:
        middle = load_latents(options.latents, subject.generator).latents[0].to(subject.generator.device)
    mapped = map_plane(
        subject.generator,
        subject.directions,
        middle,
        options.across,
        options.up,
        read,
        attributes,
        span=options.span,
        steps=options.steps,
        pictures=options.pictures,
    )
    print(f"wrote {', '.join(map(str, write_plane(mapped, options.out or options.run / FIGURES)))}")


def _reader(options: Options, subject: Subject) -> tuple[Callable[[Tensor], Tensor], tuple[str, ...] | None]:
    """Images to attributes, and their names where they have any."""
    import torch

    from contrafact.core.encoder import Encoder
    from contrafact.core.generator import sample_latents
    from contrafact.editing.encoder import load_encoder
    from contrafact.nn.attributes import load_predictor

    home = subject.generator.device
    if options.predictor is not None:
        if options.encoder is not None:
            raise ValueError("give --predictor or --encoder, one of the two")
        predictor = load_predictor(options.predictor)
        if isinstance(predictor, Encoder):  # its codes are the factors' mean values, which move where labels jump
            named = predictor.to(home)
            return lambda images: named(images.clamp(0, 1)), predictor.names
        probe = subject.generator(sample_latents(subject.generator, 1, torch.Generator().manual_seed(0))).clamp(0, 1)
        return lambda images: predictor.scores(images.clamp(0, 1)), predictor.learn_names(probe)
    encoder = subject.encoder if options.encoder is None else load_encoder(options.encoder)
    if encoder is None:
        raise ValueError(
            f"{options.run} has no encoder to read the images with; name one with --encoder, or a predictor of factors "
            "with --predictor"
        )
    coded = encoder.to(home)
    return lambda images: coded(images.clamp(0, 1)), None
