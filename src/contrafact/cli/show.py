"""Draw a contact sheet of a dataset or a generator, and say what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from contrafact.cli._parse import parse, print_table

if TYPE_CHECKING:
    from torch import Tensor

    from contrafact.core.dataset import ImageDataset
    from contrafact.core.generator import Generator

_COLUMNS, _ROWS = 10, 6
_SHEET_PIXELS = 128  # images smaller than this are enlarged by whole pixels


@dataclass(frozen=True)
class Options:
    """Draw a contact sheet: each factor of a dataset along a row, or random samples; and print what it is."""

    what: Positional[Literal["data", "generator"]]
    """What to show."""
    name: Positional[str]
    """Its name (contrafact list), file or folder."""
    out: Path | None = None
    """PNG to write; by default NAME.png."""
    size: int | None = None
    """Side to load a dataset's images at."""
    split: str | None = None
    """Part of a dataset."""
    seed: int = 0
    """Seed of the random samples."""


def show(arguments: Sequence[str]) -> None:
    """Write the sheet and print the facts."""
    options = parse(Options, arguments, "show")
    if options.what == "data":
        from contrafact.data.load import load_dataset

        dataset = load_dataset(options.name, size=options.size, split=options.split)
        facts = _dataset_facts(dataset)
        labels, rows = _dataset_rows(dataset, options.seed)
    else:
        from contrafact.generators.checkpoints import load_generator

        generator = load_generator(options.name)
        facts = _generator_facts(generator)
        labels, rows = _generator_rows(generator, options.seed)
    print_table(facts, indent="")
    path = options.out or Path(Path(options.name).stem.replace(":", "-") + ".png")
    _write_sheet(labels, rows, path)
    print(f"wrote {path}")


def _dataset_facts(dataset: ImageDataset) -> list[tuple[str, str]]:
    from contrafact.core.dataset import FactorDataset

    channels, height, width = dataset.image_shape
    facts = [
        ("name", dataset.name),
        ("images", f"{len(dataset):,} of {height}×{width}, {channels} channel{'s' * (channels > 1)}"),
        ("source", dataset.source),
    ]
    if isinstance(dataset, FactorDataset):
        pairs = zip(dataset.factor_names, dataset.factor_sizes, strict=True)
        facts.append(("factors", ", ".join(f"{name} {size}" for name, size in pairs)))
    elif dataset.class_names:
        facts.append(("classes", ", ".join(dataset.class_names)))
    return facts


def _dataset_rows(dataset: ImageDataset, seed: int) -> tuple[list[str], Tensor]:
    """Row labels and images ``(rows, columns, C, H, W)``: a factor grid's factors one by one, else random images."""
    import numpy as np

    from contrafact.core.dataset import FactorDataset

    rng = np.random.default_rng(seed)
    if isinstance(dataset, FactorDataset):
        start = dataset.sample(1, rng)[0]
        factors = np.tile(start, (len(dataset.factor_sizes), _COLUMNS, 1))
        shown = [min(size, _COLUMNS) for size in dataset.factor_sizes]
        for k, size in enumerate(dataset.factor_sizes):
            factors[k, : shown[k], k] = np.linspace(0, size - 1, shown[k]).round()
        images = dataset.images(factors.reshape(-1, len(start))).unflatten(0, (-1, _COLUMNS))
        for k, count in enumerate(shown):
            images[k, count:] = 1.0  # no more values: blank paper
        return list(dataset.factor_names), images
    if (labels := dataset.labels) is not None and dataset.class_names:
        picks = [rng.choice(np.flatnonzero(labels == c), _COLUMNS) for c in range(len(dataset.class_names))]
        return list(dataset.class_names), dataset.batch(np.concatenate(picks)).unflatten(0, (-1, _COLUMNS))
    return [""] * _ROWS, dataset.random_batch(_ROWS * _COLUMNS, rng).unflatten(0, (-1, _COLUMNS))


def _generator_facts(generator: Generator) -> list[tuple[str, str]]:
    channels, height, width = generator.image_shape
    facts = [
        ("name", generator.name),
        ("architecture", type(generator).__name__),
        ("images", f"{height}×{width}, {channels} channel{'s' * (channels > 1)}"),
        ("edit space", f"{generator.space}, {generator.latent_dim} dimensions, {generator.num_layers} layer(s)"),
        ("parameters", f"{sum(p.numel() for p in generator.parameters()):,}"),
    ]
    return facts + [
        (key, value if isinstance(value, str) else json.dumps(value)) for key, value in generator.note.items()
    ]


def _generator_rows(generator: Generator, seed: int) -> tuple[list[str], Tensor]:
    import torch

    rng = torch.Generator().manual_seed(seed)
    count = _ROWS * _COLUMNS
    labels = torch.arange(count) % generator.num_classes if generator.num_classes else None
    with torch.no_grad():
        images = generator(generator.sample(count, rng, labels))
    return [""] * _ROWS, images.unflatten(0, (-1, _COLUMNS))


def _write_sheet(labels: Sequence[str], rows: Tensor, path: Path) -> None:
    """Tile images ``(rows, columns, C, H, W)``, each row under its label, into a PNG."""
    from PIL import Image, ImageDraw, ImageFont

    from contrafact.core.pictures import enlarge, save_png, tile, to_bytes

    gap, font = 2, ImageFont.load_default(14)
    pixels = to_bytes(rows)
    factor = max(1, _SHEET_PIXELS // pixels.shape[-3])
    strips = [Image.fromarray(tile(enlarge(row[None], factor), gap)) for row in pixels]
    band = 22 if any(labels) else gap
    sheet = Image.new("RGB", (strips[0].width, len(strips) * (strips[0].height + band)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (label, strip) in enumerate(zip(labels, strips, strict=True)):
        top = number * (strip.height + band)
        draw.text((2, top + 2), label, fill="black", font=font)
        sheet.paste(strip, (0, top + band))
    save_png(sheet, path)
