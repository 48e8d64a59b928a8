"""Sheets of pictures: rows and columns of images with captions, and the contact sheets of datasets and generators.

Shape suffixes: N images, R rows, Q columns, C channels, H height, W width, K factors.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, ImageDataset, check_count
from contrafact.core.generator import Generator, sample_latents
from contrafact.core.pictures import ByteArray, enlarge, to_bytes

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

PAPER, INK, FAINT = (255, 255, 255), (34, 34, 34), (110, 110, 110)
TEXT_SIZE, MARGIN, GAP = 13, 14, 4
COMFORTABLE_SIDE = 96  # pixels on screen below which small images are hard to judge


def comfortable_factor(height: int, width: int) -> int:
    """Whole factor that brings an image to at least about 96 pixels, where a person sees what is in it."""
    return max(1, round(COMFORTABLE_SIDE / min(height, width)))


def sheet(
    pixels: ByteArray,
    title: str = "",
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    captions: Sequence[str] = (),
    upscale: int | None = None,
    min_label_width: int = 0,
) -> Image:
    """A captioned grid of pictures on white.

    Args:
        pixels: RGB bytes ``(R, Q, H, W, 3)``.
        title: line above the grid.
        row_labels: R labels left of the rows; lines after the first are set in grey.
        column_labels: Q labels above the columns.
        captions: up to R·Q captions below the cells, row by row; cells without one, at the end, stay blank.
        upscale: whole factor for small images; None picks one at which they can be judged.
        min_label_width: room for the row labels at least, so that stacked sheets stand in line.

    Raises:
        ValueError: numbers of labels that do not fit the grid.
    """
    from PIL import Image as pil
    from PIL import ImageDraw

    rows, columns, height, width, _ = pixels.shape
    if len(row_labels) not in (0, rows) or len(column_labels) not in (0, columns) or len(captions) > rows * columns:
        raise ValueError(
            f"labels do not fit a grid of {rows} rows and {columns} columns: got {len(row_labels)} row labels, "
            f"{len(column_labels)} column labels and {len(captions)} captions"
        )
    factor = comfortable_factor(height, width) if upscale is None else check_count("upscale", upscale)
    font, line = _font(), TEXT_SIZE + 5
    room = max(label_width(row_labels), min_label_width)
    text_width = max((int(font.getlength(text)) for text in (*captions, *column_labels)), default=0)
    cell_width = max(width * factor, text_width + GAP if text_width else 0) + GAP
    cell_height = height * factor + GAP + (line if captions else 0)
    # Labels may be higher than a row of small images.
    cell_height = max(cell_height, *(line * (1 + text.count("\n")) + GAP for text in row_labels), 0)
    left = 2 * MARGIN + room if row_labels or room else MARGIN
    top = MARGIN + line * (bool(title) + bool(column_labels)) + (GAP if title else 0)
    full_width = max(left + columns * cell_width - GAP, MARGIN + int(font.getlength(title))) + MARGIN
    picture = pil.new("RGB", (full_width, top + rows * cell_height - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN - 2), title, INK, font)
    large = enlarge(pixels, factor)
    for column, text in enumerate(column_labels):
        middle = left + column * cell_width + (cell_width - GAP) / 2
        draw.text((middle, top - 5), text, FAINT, font, anchor="ms")
    for row in range(rows):
        y = top + row * cell_height
        for number, part in enumerate(row_labels[row].split("\n") if row_labels else ()):
            draw.text((MARGIN, y + 2 + number * line), part, FAINT if number else INK, font)
        for column in range(columns):
            x = left + column * cell_width + (cell_width - GAP - width * factor) // 2
            picture.paste(pil.fromarray(large[row, column]), (x, y))
            if (cell := row * columns + column) < len(captions):
                middle = left + column * cell_width + (cell_width - GAP) / 2
                draw.text((middle, y + height * factor + 2), captions[cell], FAINT, font, anchor="ma")
    return picture


def label_width(labels: Sequence[str]) -> int:
    """Pixels that the widest line of the labels takes; 0 for none."""
    return max((int(_font().getlength(part)) for text in labels for part in text.split("\n")), default=0)


def stack(pictures: Sequence[Image]) -> Image:
    """Pictures below each other on white, left-aligned.

    Raises:
        ValueError: no pictures.
    """
    from PIL import Image as pil

    if not pictures:
        raise ValueError("there are no pictures to stack")
    whole = pil.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), PAPER)
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


@functools.cache
def _font() -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    # matplotlib carries this font, so minus signs and Greek letters come out the same on every machine.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", TEXT_SIZE)


def contact_sheet(
    images: Tensor,
    columns: int | None = None,
    captions: Sequence[str] = (),
    title: str = "",
    upscale: int | None = None,
) -> Image:
    """Images ``(N, C, H, W)`` side by side.

    Args:
        images: float, black 0 and white 1.
        columns: images per row; None makes the sheet about twice as wide as high.
        captions: none, or one per image.
        title: line above the sheet.
        upscale: whole factor for small images; None picks one.

    Raises:
        ValueError: no images, or another number of captions.
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(f"a contact sheet needs images (N, C, H, W) with N >= 1, got shape {tuple(images.shape)}")
    if len(captions) not in (0, len(images)):
        raise ValueError(f"expected one caption per image ({len(images)}), got {len(captions)}")
    columns = min(len(images), round((2 * len(images)) ** 0.5) if columns is None else check_count("columns", columns))
    pixels = to_bytes(images)
    blank = np.full((-len(pixels) % columns, *pixels.shape[1:]), 255, dtype=np.uint8)
    cells = np.concatenate((pixels, blank))
    return sheet(cells.reshape(-1, columns, *pixels.shape[1:]), title, captions=captions, upscale=upscale)


def dataset_sheet(dataset: ImageDataset, rng: np.random.Generator, columns: int = 10) -> Image:
    """What a dataset holds: a row per factor swept alone, or a row of random images per class, or just random images.

    Args:
        dataset: any.
        rng: draws the images.
        columns: images per row.
    """
    check_count("columns", columns)
    if isinstance(dataset, FactorDataset):
        return _factor_sheet(dataset, rng, columns)
    labels = dataset.labels
    if labels is None:
        images = dataset.random_batch(4 * columns, rng)
        return contact_sheet(images, columns, title=_heading(dataset))
    classes = np.unique(labels)
    picks = np.concatenate([rng.choice(np.flatnonzero(labels == c), columns) for c in classes])
    names = [dataset.class_names[c] if dataset.class_names else f"class {c}" for c in classes]
    cells = to_bytes(dataset.batch(picks).unflatten(0, (len(classes), columns)))
    return sheet(cells, _heading(dataset), names)


def _factor_sheet(dataset: FactorDataset, rng: np.random.Generator, columns: int) -> Image:
    names, sizes = dataset.factor_names, np.asarray(dataset.factor_sizes)
    values = [np.linspace(0, size - 1, min(columns, size)).round().astype(np.int64) for size in sizes]
    lengths = [*map(len, values), columns]
    swept = np.repeat(dataset.sample(1, rng), sum(lengths) - columns, axis=0)
    swept[np.arange(len(swept)), np.repeat(np.arange(len(names)), lengths[:-1])] = np.concatenate(values)
    shown = to_bytes(dataset.images(np.concatenate((swept, dataset.sample(columns, rng)))))
    cells = np.full((len(lengths), columns, *shown.shape[1:]), 255, dtype=np.uint8)
    for row, part in zip(cells, np.split(shown, np.cumsum(lengths)), strict=False):
        row[: len(part)] = part
    labels = [f"{name}\n{size} values" for name, size in zip(names, sizes, strict=True)]
    return sheet(cells, _heading(dataset), [*labels, "random"])


def _heading(dataset: ImageDataset) -> str:
    return f"{dataset.name}: {len(dataset):,} images {_shape(dataset.image_shape)} ({dataset.source_name})"


@torch.no_grad()
def generator_sheet(generator: Generator, rng: torch.Generator, count: int | None = None) -> Image:
    """``count`` random samples of a generator; by default 40, or 12 where they are larger than 128 pixels."""
    count = count or (40 if max(generator.image_shape[1:]) <= 128 else 12)
    latents = sample_latents(generator, count, rng)
    # Few at a time: activations of 40 large images would not fit into memory.
    at_once = max(1, 2**18 // (generator.image_shape[1] * generator.image_shape[2]))
    images = torch.cat([generator(part) for part in latents.split(at_once)])
    dimensions = f"{generator.latent_dim} latent dimensions"
    return contact_sheet(images, title=f"{generator.name}: images {_shape(generator.image_shape)}, {dimensions}")


def _shape(image_shape: tuple[int, int, int]) -> str:
    channels, height, width = image_shape
    return f"{height}×{width}{' grey' if channels == 1 else ''}"
