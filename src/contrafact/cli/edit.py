"""Edit photographs, or samples of a generator, along a run's directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder, Folder
from contrafact.core.command import quoted
from contrafact.core.ranges import Layer, Seed, Share, Steps

if TYPE_CHECKING:
    from contrafact.editing.latents import StoredLatents
    from contrafact.report.subject import Subject


@dataclass(frozen=True)
class Options:
    """Move images along directions: contrafact edit RUN --image face.png --direction smile --by 2."""

    run: Positional[Folder | None] = None
    """Run folder."""
    image: tuple[FileOrFolder, ...] = ()
    """Pictures, or folders of them; their latents are searched first, and kept in OUT/latents.safetensors."""
    latents: Path | None = None
    """Instead of pictures: a file of latents, such as contrafact invert or another program's projector writes."""
    latent: tuple[Seed, ...] = ()
    """Instead of pictures: seeds, a latent is drawn with each."""
    direction: tuple[str, ...] = ()
    """Names or numbers of the directions, taken one after the other."""
    by: tuple[float, ...] = (2.0,)
    """How far, in standard deviations of the latent space: a number for all directions, or one for each."""
    layers: tuple[Layer, Layer] | None = None
    """Style layers to act on, first and last (excluded), instead of the directions' own."""
    out: Folder = Path("edited")
    """Folder to write."""
    fit: Literal["crop", "resize"] | None = None
    """What to do with a picture of another size: crop covers the image and cuts the rest off, resize squeezes."""
    per_layer: bool = False
    """Search pictures with a latent for every style layer (W+)."""
    encoder: FileOrFolder | None = None
    """Run folder or encoder.safetensors the search starts from; by default the run's encoder, where it has one."""
    network: Literal["auto", "alex", "vgg", "gradients", "none"] = "auto"
    """Perceptual part of the search's loss: LPIPS; auto takes it where it is at hand, else image gradients."""
    steps: Steps = 400
    """Steps of the search."""
    truncation: Share | None = None
    """Pulls drawn latents towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""
    seed: Seed = 0
    """Seed of the search's starts."""
    generator: str | None = None
    """Generator instead of the run's."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    use: FileOrFolder | None = None
    """File or run folder whose directions to take instead of the run's; GANSpace's, SeFa's, InterFaceGAN's … too."""
    device: str = "auto"
    """Where to work."""


def edit(arguments: Sequence[str]) -> None:
    """Write edited images, and a sheet of before and after."""
    options = parse(Options, arguments, "edit")
    import torch

    from contrafact.core.claim import hold
    from contrafact.core.pictures import save_png
    from contrafact.editing.latents import StoredLatents
    from contrafact.editing.latents import edit as move
    from contrafact.report.edits import edit_sheet, save_images
    from contrafact.report.subject import find_subject

    if (bool(options.image) + bool(options.latent) + (options.latents is not None)) != 1:
        raise ValueError("say what to edit: --image FILE, --latents FILE or --latent SEED, one of the three")
    if not options.direction:
        raise ValueError("name a direction with --direction (contrafact name RUN lists them)")
    if len(options.by) not in (1, len(options.direction)):
        raise ValueError(
            f"--by takes one number, or one for each direction ({len(options.direction)}); got {len(options.by)}"
        )
    changes = changes_of(options.changes)
    subject = find_subject(options.run, options.generator, options.use, options.device, options.truncation, changes)
    generator, directions = subject.generator, subject.directions
    hold(options.out)
    by = options.by * len(options.direction) if len(options.by) == 1 else options.by
    steps = [(directions.index(d), m) for d, m in zip(options.direction, by, strict=True)]
    start = _start(options, subject)
    moved = move(generator, directions, start.latents.to(generator.device), steps, options.layers)
    with torch.no_grad():
        before, after = (generator(latents.to(generator.device)).cpu() for latents in (start.latents, moved))
    said = ", ".join(f"{directions.names[d]} {m:+g} {'rad' if directions.is_circle(d) else 'σ'}" for d, m in steps)
    columns = [("before", before), ("after", after)]
    if start.targets is not None:
        columns = [("photograph", start.targets), ("reconstruction", before), ("edited", after)]
    written = save_images(after, options.out, start.names, "edited")
    save_png(edit_sheet(columns, start.names, said), options.out / "edit.png")
    facts = {**start.facts, "edit": [[directions.names[d], m] for d, m in steps]}
    StoredLatents.of(generator, moved, start.names, facts=facts).save(options.out / "edited.safetensors")
    print(f"wrote {options.out / 'edit.png'}, {written[0]}" + (" …" if len(written) > 1 else ""))
    if options.image:
        again = quoted(options.run or "RUN", *_generator(options), "--latents", options.out / "latents.safetensors")
        print(f"the search need not be repeated:\n  contrafact edit {again} ...")


def _generator(options: Options) -> list[str]:
    """The options that name the generator, for a command to come."""
    named = [] if options.generator is None else ["--generator", options.generator]
    return [*named, *(part for change in options.changes for part in ("--set", change))]


def _start(options: Options, subject: Subject) -> StoredLatents:
    """Latents to move: read, drawn or searched."""
    import torch

    from contrafact.core.generator import sample_latents
    from contrafact.editing.encoder import load_encoder
    from contrafact.editing.inversion import InversionSettings, invert_photographs
    from contrafact.editing.latents import StoredLatents, load_latents

    generator = subject.generator
    if options.latents is not None:
        return load_latents(options.latents, generator)
    if options.latent:
        rngs = [torch.Generator().manual_seed(seed) for seed in options.latent]
        drawn = torch.cat([sample_latents(generator, 1, rng) for rng in rngs])
        return StoredLatents.of(generator, drawn, [f"seed {seed}" for seed in options.latent])
    encoder = subject.encoder if options.encoder is None else load_encoder(options.encoder)
    settings = InversionSettings(steps=options.steps, per_layer=options.per_layer, seed=options.seed)
    stored, found = invert_photographs(generator, options.image, options.fit, encoder, settings, options.network)
    stored.save(options.out / "latents.safetensors")
    if found.note:
        print(f"note: {found.note}")
    for name, value in zip(stored.names, found.psnr.tolist(), strict=True):
        print(f"{name}: PSNR {value:.1f} dB")
    return stored
