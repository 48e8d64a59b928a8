"""Write directions, or latents, to one file: for contrafact anywhere, or as arrays that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder
from contrafact.core.command import quoted

if TYPE_CHECKING:
    from contrafact.core.generator import Generator


@dataclass(frozen=True)
class Options:
    """Write directions of a run or a file, with their names, or latents of a file, to a file of their own."""

    source: Positional[FileOrFolder]
    """Run folder, or a file of directions or latents; another program's too."""
    directions: tuple[str, ...] = ()
    """Names or numbers of the directions; by default all."""
    out: Path = Path("directions.safetensors")
    """File to write: *.safetensors for contrafact; *.npy, *.npz or *.pt (a torch file) for anybody."""
    form: Annotated[
        Literal["ganspace", "interfacegan", "sefa", "rosinality", "nvidia", "e4e"] | None, tyro.conf.arg(name="as")
    ] = None
    """Program that shall read the arrays: of directions ganspace, interfacegan, sefa or rosinality; of latents nvidia,
    e4e or rosinality."""
    kind: Literal["auto", "directions", "latents"] = "auto"
    """What a file holds; auto takes a plain array for directions."""
    generator: str | None = None
    """Generator instead of the run's: it says what a file leaves open, the mean latent and the number of layers."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""


def export(arguments: Sequence[str]) -> None:
    """Write the file."""
    options = parse(Options, arguments, "export")
    from contrafact.core.method import load_run
    from contrafact.editing.convert import is_latents
    from contrafact.generators.checkpoints import load_generator

    changes = changes_of(options.changes)
    if changes and options.generator is None:
        raise ValueError("--set is of the generator that --generator names; leave it out")
    generator = None if options.generator is None else load_generator(options.generator, changes)
    kind = options.kind
    if kind == "auto":
        kind = "latents" if options.source.is_file() and is_latents(options.source) else "directions"
    if kind == "latents":
        return _latents(options, generator)
    from contrafact.core.direction_files import choose
    from contrafact.editing.directions import load_directions
    from contrafact.editing.export import write_directions

    if options.form in ("nvidia", "e4e"):
        raise ValueError(f"--as {options.form} is for latents; of directions: ganspace, interfacegan, sefa, rosinality")
    run = load_run(options.source) if options.source.is_dir() else None
    if run is not None and generator is None and options.form is not None and run.has("generator"):
        generator = run.generator
    directions = run.directions if run is not None else load_directions(options.source, generator)
    few = choose(directions, options.directions or range(len(directions)))
    remarks = write_directions(few, options.out, options.form, generator)
    print(f"wrote {options.out}: {', '.join(few.names)}")
    for remark in remarks:
        print(f"note: {remark}")
    if options.out.suffix == ".safetensors":
        of_run = [] if run is None else run.generator_options() or ["--generator", str(options.source)]
        named = of_run if options.generator is None else ["--generator", options.generator]
        print(f"next:\n  contrafact traverse {quoted(*named, '--use', options.out, '--out', 'pictures')}")


def _latents(options: Options, generator: Generator | None) -> None:
    from contrafact.editing.export import write_latents
    from contrafact.editing.latents import load_latents

    if options.directions:
        raise ValueError(f"{options.source} holds latents, which have no --directions; leave them out")
    if options.form in ("ganspace", "interfacegan", "sefa"):
        raise ValueError(f"--as {options.form} is for directions; of latents: nvidia, e4e, rosinality")
    stored = load_latents(options.source, generator)
    remarks = write_latents(stored, options.out, options.form, None if generator is None else generator.num_layers)
    print(f"wrote {options.out}: {', '.join(stored.names)}")
    for remark in remarks:
        print(f"note: {remark}")
