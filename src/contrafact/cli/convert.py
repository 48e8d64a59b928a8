"""Turn other programs' generators, directions and latents into contrafact's own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse, print_table
from contrafact.core.command import quoted


@dataclass(frozen=True)
class Options:
    """Read another program's generator or directions without running code from the file, and write them anew."""

    source: Positional[str]
    """Checkpoint, run folder or name of a generator; or a file of directions."""
    target: Positional[Path]
    """File to write, *.safetensors."""
    kind: Literal["auto", "generator", "directions"] = "auto"
    """What the source holds; auto takes an array for directions."""
    generator: str | None = None
    """Generator that directions are for: it decides what their file leaves open."""
    space: Literal["z", "w"] | None = None
    """Edit space of directions, whatever their file says."""
    rows: Literal["directions", "layers"] | None = None
    """What the rows of an array (K, L) are: K directions, or one with a vector for each style layer."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""


def convert(arguments: Sequence[str]) -> None:
    """Write the file and print what it holds."""
    options = parse(Options, arguments, "convert")
    from contrafact.editing.convert import holds_directions, kinds_of
    from contrafact.editing.foreign_directions import EXPECTED

    kinds = kinds_of(options.source) if options.kind == "auto" else (options.kind,)
    if kinds == ("directions",):
        return _directions(options)
    try:
        _generator(options)
    except ValueError as error:
        if "directions" not in kinds:
            raise
        if not holds_directions(options.source):
            raise ValueError(f"{error}. Nor does it hold directions known here; expected {EXPECTED}") from error
        _directions(options)


def _generator(options: Options) -> None:
    from contrafact.generators.checkpoints import convert as convert_checkpoint

    for name in ("generator", "space", "rows"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is for directions; a generator's arguments are set with --set")
    facts = convert_checkpoint(options.source, options.target, changes_of(options.changes))
    print_table(((key, str(value)) for key, value in facts.items() if value not in (None, {}, [])), indent="")
    print(f"wrote {options.target}\nnext:\n  contrafact show generator {quoted(options.target)}")


def _directions(options: Options) -> None:
    from contrafact.editing.directions import convert_directions
    from contrafact.generators.checkpoints import load_generator

    changes = changes_of(options.changes)
    if changes and options.generator is None:
        raise ValueError("--set is of the generator that --generator names; leave it out")
    generator = None if options.generator is None else load_generator(options.generator, changes)
    per_layer = None if options.rows is None else options.rows == "layers"
    written = convert_directions(options.source, options.target, generator, space=options.space, per_layer=per_layer)
    layers = f", a vector for each of {written.num_layers} layers" if written.per_layer else ""
    said = {
        "program": written.note.get("program"),
        "directions": f"{len(written)} in {written.latent_dim} dimensions{layers}",
        "magnitude 1": written.note.get("unit"),
        "space": written.note.get("space"),
    }
    print_table(((key, str(value)) for key, value in said.items() if value is not None), indent="")
    named = ["--generator", options.generator or "GENERATOR", "--use", options.target]
    print(f"wrote {options.target}\nnext:\n  contrafact traverse {quoted(*named, '--out', 'pictures')}")
