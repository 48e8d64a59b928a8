"""Find the latents of photographs, so that they can be edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder, Folder
from contrafact.core.command import quoted
from contrafact.core.ranges import CountOrZero, Panels, Seed, Steps


@dataclass(frozen=True)
class Options:
    """Search the latents whose images are given pictures; writes them, and how near they come."""

    images: Positional[tuple[FileOrFolder, ...]]
    """Pictures, or folders of them."""
    generator: str | None = None
    """Generator: a shipped one's name, a checkpoint, or a run folder that holds one."""
    out: Folder = Path("inverted")
    """Folder to write."""
    fit: Literal["crop", "resize"] | None = None
    """What to do with a picture of another size: crop covers the image and cuts the rest off, resize squeezes."""
    background: str = "white"
    """Colour that see-through parts are laid on: a name or #rrggbb."""
    per_layer: bool = False
    """Give every style layer a latent of its own (W+): nearer to the picture, further from what was trained."""
    encoder: FileOrFolder | None = None
    """Run folder or encoder.safetensors to start from, whatever its codes mean."""
    train_encoder: CountOrZero = 0
    """Train an encoder from images to latents first, for so many steps; kept in OUT/encoder."""
    network: Literal["auto", "alex", "vgg", "gradients", "none"] = "auto"
    """Perceptual part of the loss: LPIPS with alex or vgg; auto takes it where it is at hand, else image gradients."""
    steps: Steps = 400
    """Descent steps; W+ takes as many again."""
    starts: Panels = 4
    """Starts tried for each picture."""
    label: CountOrZero | None = None
    """Class of a conditional generator."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    seed: Seed = 0
    """Seed of the starts."""
    device: str = "auto"
    """Where to search."""


def invert(arguments: Sequence[str]) -> None:
    """Write latents and pictures."""
    options = parse(Options, arguments, "invert")
    from contrafact.core.claim import hold
    from contrafact.core.pictures import save_png
    from contrafact.core.run import Run, find_device
    from contrafact.editing.encoder import fit_latent_encoder, load_encoder
    from contrafact.editing.inversion import InversionSettings, invert_photographs
    from contrafact.evaluation.regression import RegressionSettings
    from contrafact.generators.checkpoints import load_generator
    from contrafact.report.edits import inversion_sheet, save_images

    if options.generator is None:
        raise ValueError("name the generator with --generator: a name, a checkpoint or a run folder")
    if options.encoder is not None and options.train_encoder:
        raise ValueError("give --encoder or --train-encoder, one of the two")
    settings = InversionSettings(
        steps=options.steps, starts=options.starts, per_layer=options.per_layer, seed=options.seed
    )
    changes = changes_of(options.changes, label=options.label)
    generator = load_generator(options.generator, changes).to(find_device(options.device))
    encoder = None if options.encoder is None else load_encoder(options.encoder)
    hold(options.out)
    if options.train_encoder:
        budget = RegressionSettings(steps=options.train_encoder, batch_size=64, width=0.5)
        run = Run(options.out / "encoder", seed=options.seed, device=options.device, resume=True)
        encoder = fit_latent_encoder(generator, run, budget)
    stored, found = invert_photographs(
        generator, options.images, options.fit, encoder, settings, options.network, options.background
    )
    assert stored.targets is not None
    save_png(
        inversion_sheet(stored.targets, found.images, found.psnr.tolist(), stored.names), options.out / "inversion.png"
    )
    save_images(found.images, options.out, stored.names, "reconstruction")
    path = stored.save(options.out / "latents.safetensors")
    if found.note:
        print(f"note: {found.note}")
    for name, value in zip(stored.names, found.psnr.tolist(), strict=True):
        print(f"{name}: PSNR {value:.1f} dB")
    print(f"wrote {path}, {options.out / 'inversion.png'} and the reconstructions")
    print(f"next:\n  contrafact edit RUN --latents {quoted(path)} --direction 0 --by 2")
