"""Turn other programs' generators, directions and latents into contrafact's own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse, print_table
from contrafact.core.command import quoted

if TYPE_CHECKING:
    from contrafact.core.generator import Generator


@dataclass(frozen=True)
class Options:
    """Read another program's generator, directions or latents, running no code of the file, and write them anew."""

    source: Positional[str]
    """Checkpoint, run folder or name of a generator; or a file of directions or latents."""
    target: Positional[Path]
    """File to write, *.safetensors."""
    kind: Literal["auto", "generator", "directions", "latents"] = "auto"
    """What the source holds; auto takes a plain array for directions. A generator's directions are those it has by
    itself: StyleGAN3's translation and rotation, an analytic scene's true ones."""
    generator: str | None = None
    """Generator that directions or latents are for: it decides what their file leaves open."""
    space: Literal["z", "w"] | None = None
    """Edit space of directions or latents, whatever their file says."""
    rows: Literal["directions", "images", "layers"] | None = None
    """What the rows of an array (K, L) are: K directions or images, or one with a row for each style layer."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""


def convert(arguments: Sequence[str]) -> None:
    """Write the file and print what it holds."""
    options = parse(Options, arguments, "convert")
    from contrafact.editing.convert import holds, kinds_of

    first, *others = kinds_of(options.source) if options.kind == "auto" else (options.kind,)
    does = {"generator": _generator, "directions": _directions, "latents": _latents}
    try:
        does[first](options)
    except ValueError as error:
        found = next((kind for kind in others if holds(options.source, kind)), None)
        if found is None and len(others) > 1:
            raise ValueError(f"{error}. Nor does it hold directions or latents that are known here") from error
        if found is None:
            raise
        does[found](options)


def _generator(options: Options) -> None:
    from contrafact.generators.checkpoints import convert as convert_checkpoint

    for name in ("generator", "space", "rows"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is for directions and latents; a generator's arguments are set with --set")
    facts = convert_checkpoint(options.source, options.target, changes_of(options.changes))
    print_table(((key, str(value)) for key, value in facts.items() if value not in (None, {}, [])), indent="")
    print(f"wrote {options.target}\nnext:\n  contrafact show generator {quoted(options.target)}")


def _generator_of(source: str, changes: dict[str, Any]) -> Generator | None:
    from contrafact.generators.checkpoints import load_generator

    try:
        return load_generator(source, changes)
    except ValueError:  # what is said of it as a file of directions is nearer to what was asked
        return None


def _other(options: Options) -> tuple[Generator | None, bool | None]:
    """The generator that directions or latents are for, and what the rows of an array are."""
    from contrafact.generators.checkpoints import load_generator

    changes = changes_of(options.changes)
    if changes and options.generator is None:
        raise ValueError("--set is of the generator that --generator names; leave it out")
    generator = None if options.generator is None else load_generator(options.generator, changes)
    return generator, None if options.rows is None else options.rows == "layers"


def _directions(options: Options) -> None:
    from contrafact.editing.convert import holds
    from contrafact.editing.directions import convert_directions, write_own_directions

    source: Generator | None = None
    if options.kind == "directions" and options.generator is None and not holds(options.source, "directions"):
        source = _generator_of(options.source, changes_of(options.changes))
    if source is None:
        generator, per_layer = _other(options)
        written = convert_directions(
            options.source, options.target, generator, space=options.space, per_layer=per_layer
        )
    else:
        written = write_own_directions(source, options.target)
    layers = f", a vector for each of {written.num_layers} layers" if written.per_layer else ""
    said = {
        "program": written.note.get("program"),
        "directions": f"{len(written)} in {written.latent_dim} dimensions{layers}",
        "magnitude 1": written.note.get("unit"),
        "space": written.note.get("space"),
    }
    print_table(((key, str(value)) for key, value in said.items() if value is not None), indent="")
    named = ["--generator", options.generator or (options.source if source else "GENERATOR"), "--use", options.target]
    print(f"wrote {options.target}\nnext:\n  contrafact traverse {quoted(*named, '--out', 'pictures')}")


def _latents(options: Options) -> None:
    from contrafact.editing.latents import convert_latents

    generator, per_layer = _other(options)
    written = convert_latents(options.source, options.target, generator, space=options.space, per_layer=per_layer)
    layers = f", a latent for each of {written.latents.shape[1]} layers" if written.latents.ndim == 3 else ""
    said = {
        "latents": f"{len(written.names)} of {written.latents.shape[-1]} dimensions{layers}",
        "names": ", ".join(written.names[:6]) + (", …" if len(written.names) > 6 else ""),
        "space": written.space,
        "generator": written.generator,
    }
    print_table(((key, value) for key, value in said.items() if value), indent="")
    print(
        f"wrote {options.target}\nnext:\n  contrafact edit RUN --latents {quoted(options.target)} --direction 0 --by 2"
    )
