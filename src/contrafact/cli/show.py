"""Draw a contact sheet of a dataset or a generator, and say what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from contrafact.cli._globals import answer
from contrafact.cli._parse import Assignments, changes_of, parse, print_table
from contrafact.core.command import quoted
from contrafact.core.ranges import Seed, Side

if TYPE_CHECKING:
    from contrafact.core.dataset import ImageDataset


@dataclass(frozen=True)
class Options:
    """Draw a contact sheet: each factor of a dataset along a row, or random samples; and print what it is."""

    what: Positional[Literal["data", "generator"]]
    """What to show."""
    name: Positional[str]
    """Its name (contrafact list), file or folder."""
    out: Path | None = None
    """PNG to write; by default NAME.png."""
    size: Side | None = None
    """Side to load a dataset's images at."""
    split: str | None = None
    """Part of a dataset."""
    background: str | None = None
    """Colour that see-through parts of a folder's pictures are laid on: a name or #rrggbb; by default white."""
    channels: Literal[1, 3, 4] | None = None
    """Of a folder's pictures: 3 (RGB, the default), 1 (grey), 4 (RGB and opacity)."""
    skip_damaged: bool = False
    """Leave out a folder's pictures that cannot be used, instead of refusing the folder."""
    seed: Seed = 0
    """Seed of what is drawn."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""


def show(arguments: Sequence[str]) -> None:
    """Write the sheet and print the facts."""
    _say_what_was_meant(arguments)
    options = parse(Options, arguments, "show")
    from contrafact.core.catalog import slug
    from contrafact.core.pictures import save_png

    facts: Mapping[str, Any]
    if options.what == "data":
        if options.changes:
            raise ValueError("--set is of a generator; leave it out for data")
        import numpy as np

        from contrafact.data.load import load_dataset
        from contrafact.report.sheets import dataset_sheet

        dataset = load_dataset(
            options.name,
            size=options.size,
            split=options.split,
            background=options.background,
            channels=options.channels,
            skip_damaged=options.skip_damaged,
        )
        facts, sheet = _describe(dataset), dataset_sheet(dataset, np.random.default_rng(options.seed))
    else:
        import torch

        from contrafact.generators.checkpoints import describe, load_generator
        from contrafact.report.sheets import generator_sheet

        generator = load_generator(options.name, changes_of(options.changes))
        facts, sheet = describe(generator), generator_sheet(generator, torch.Generator().manual_seed(options.seed))
    path = options.out or Path(f"{slug(Path(options.name).name)}.png")
    save_png(sheet, path)
    answer({"facts": dict(facts), "sheet": str(path)})
    print_table(((key, str(value)) for key, value in facts.items() if value not in (None, "", {}, [])), indent="")
    print(f"wrote {path}")


def _say_what_was_meant(arguments: Sequence[str]) -> None:
    """Refuse a run, and a name that the kind is missing before (ValueError)."""
    what, following = ([*arguments[:2], "-", "-"])[:2]
    if what.startswith("-") or what in ("data", "generator"):
        return
    from contrafact.core.record import CONFIG

    if (Path(what) / CONFIG).is_file():
        run = quoted(what)
        raise ValueError(
            f"show draws data or a generator, and {what} is a run: contrafact report {run} draws all of it, contrafact "
            f"traverse {run} its directions, contrafact show generator {run} samples of its generator"
        )
    if following.startswith("-"):
        raise ValueError(
            f"show takes data or generator before the name: contrafact show data {quoted(what)}, or contrafact show "
            f"generator {quoted(what)}"
        )


def _describe(dataset: ImageDataset) -> dict[str, str]:
    from contrafact.core.dataset import FactorDataset

    channels, height, width = dataset.image_shape
    facts = {
        "name": dataset.name,
        "images": f"{len(dataset):,} of {height}×{width}, {channels} channel{'s' * (channels > 1)}",
        "source": dataset.source,
        "classes": ", ".join(dataset.class_names),
    }
    if isinstance(dataset, FactorDataset):
        pairs = zip(dataset.factor_names, dataset.factor_sizes, strict=True)
        facts["factors"] = ", ".join(f"{name} {size}" for name, size in pairs)
    return facts
