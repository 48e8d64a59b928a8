"""Latent planes: what images hold over the plane that two directions span (DisCo, Figs 27, 28 and 30).

Disentangled directions give straight bands, one factor along each axis; random ones give none. Along a direction a
factor keeps its order but not its rate, which is why a sum of two good directions is no good direction (Fig. 30).

Shape suffixes: S steps along each axis, A attributes, T pictures along each axis, C channels, H, W sides, L latent
dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.direction_files import check_fit
from contrafact.core.directions import Directions
from contrafact.core.generator import Generator, images_at_once
from contrafact.core.pictures import save_png, to_bytes
from contrafact.core.progress import Progress
from contrafact.report.charts import INK, Figure, FloatArray, new_figure, save_chart
from contrafact.report.figures import magnitude_labels
from contrafact.report.sheets import sheet

if TYPE_CHECKING:
    from PIL.Image import Image

Reader = Callable[[Tensor], Any]
MOST = 6
_PALETTES = ("Greens", "Blues", "Reds")


@dataclass(frozen=True)
class Plane:
    """A latent plane and what was read off its images.

    Attributes:
        axes: names of the first (across) and the second (up) direction.
        magnitudes: ``(S,)`` in standard deviations, of both.
        values: ``(A, S, S)``: attribute, step up, step across.
        attributes: A names.
        pictures: ``(T, T, C, H, W)``, some of the images: step up, step across.
        picture_magnitudes: ``(T,)``.
    """

    axes: tuple[str, str]
    magnitudes: FloatArray
    values: FloatArray
    attributes: tuple[str, ...]
    pictures: Tensor
    picture_magnitudes: FloatArray


@torch.no_grad()
def plane(
    generator: Generator,
    directions: Directions,
    latent: Tensor,
    first: str | int,
    second: str | int,
    read: Reader,
    attributes: Sequence[str] | None = None,
    *,
    span: float = 4.0,
    steps: int = 41,
    pictures: int = 9,
    batch_size: int | None = None,
) -> Plane:
    """Images over a plane, and what ``read`` finds in them.

    Args:
        generator: makes the images.
        directions: two of them span the plane.
        latent: its middle, ``(L,)`` or ``(num_layers, L)``.
        first: name or number of the direction across.
        second: of the direction up; where directions depend on the latent it is taken after the first.
        read: images ``(n, C, H, W)`` to attributes ``(n, A)``: an encoder, a predictor of factors.
        attributes: A names; ``code 0`` … by default.
        span: largest magnitude, in standard deviations.
        steps: S.
        pictures: T, at most S.
        batch_size: images made at once; by default as suits their size.

    Raises:
        ValueError: directions that do not fit the generator or are the same one twice, an argument out of range, or a
            reader that does not return one row of finite numbers per image.
    """
    check_fit(directions, generator)
    across, up = directions.index(first), directions.index(second)
    if across == up:
        raise ValueError(f"two different directions span a plane, got {directions.names[up]!r} twice")
    if not (math.isfinite(span) and span > 0):
        raise ValueError(f"span is in standard deviations and must be positive, got {span}")
    if check_count("steps", steps) < 2 or not 1 < check_count("pictures", pictures) <= steps:
        raise ValueError(f"expected at least 2 steps, and 2 to {steps} pictures, got {steps} and {pictures}")
    magnitudes = np.linspace(-span, span, steps)
    shown = np.linspace(0, steps - 1, pictures).round().astype(np.int64)
    kept = torch.zeros(steps * steps, dtype=torch.bool)
    kept[torch.from_numpy(shown[:, None] * steps + shown).flatten()] = True
    grid = torch.tensor(magnitudes, dtype=torch.float32, device=latent.device)
    read_rows, thumbnails = [], []
    at_once = images_at_once(generator) if batch_size is None else check_count("batch_size", batch_size)
    with Progress("drawing the plane", steps * steps) as bar:
        for cells in torch.arange(steps * steps).split(at_once):
            rows, columns = cells // steps, cells % steps
            start = latent.expand(len(cells), *latent.shape)
            moved = directions(directions(start, across, grid[columns]), up, grid[rows])
            images = generator(moved.to(generator.device)).float()
            read_rows.append(_rows(read(images), len(images)))
            thumbnails.append(images.cpu()[kept[cells]])
            bar.advance(len(cells))
    values = np.concatenate(read_rows).T.reshape(-1, steps, steps)
    names = tuple(f"code {a}" for a in range(len(values))) if attributes is None else tuple(attributes)
    if len(names) != len(values):
        raise ValueError(f"the reader returns {len(values)} attributes, but {len(names)} names were given")
    return Plane(
        axes=(directions.names[across], directions.names[up]),
        magnitudes=magnitudes,
        values=values,
        attributes=names,
        pictures=torch.cat(thumbnails).unflatten(0, (pictures, pictures)),
        picture_magnitudes=magnitudes[shown],
    )


def _rows(answers: Any, count: int) -> FloatArray:
    values: FloatArray = np.asarray(answers.detach().cpu() if isinstance(answers, Tensor) else answers, np.float64)
    if values.ndim != 2 or len(values) != count or not np.isfinite(values).all():
        raise ValueError(
            f"the reader got {count} images and returned an array of shape {values.shape}; expected one row of finite "
            f"numbers per image, ({count}, A)"
        )
    return values


def strongest(mapped: Plane, most: int = MOST) -> list[int]:
    """Numbers of the attributes that change most along one axis or the other, whatever the other axis does."""
    explained = _explained(mapped.values)
    return [int(a) for a in np.argsort(-explained.max(axis=1), kind="stable")[:most]]


def _explained(values: FloatArray) -> FloatArray:
    """Variance of each attribute that each axis alone explains, ``(A, 2)``: across, then up."""
    explained: FloatArray = np.stack((values.mean(axis=1).var(axis=1), values.mean(axis=2).var(axis=1)), axis=1)
    return explained


def plane_chart(mapped: Plane, which: Sequence[int] | None = None, ink: str = INK) -> Figure:
    """A heat map of each attribute over the plane.

    Args:
        mapped: the plane.
        which: numbers of the attributes to draw; :func:`strongest` by default.
        ink: colour of text and lines.
    """
    chosen = strongest(mapped) if which is None else list(which)
    columns = min(3, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = new_figure(3.5 * columns, 3.2 * rows)
    edge = float(mapped.magnitudes[-1])
    explained = _explained(mapped.values)
    total = mapped.values.reshape(len(mapped.values), -1).var(axis=1)
    for number, a in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, number + 1)
        half = edge / (len(mapped.magnitudes) - 1)
        extent = (-edge - half, edge + half, -edge - half, edge + half)
        image = axes.imshow(mapped.values[a], origin="lower", extent=extent, cmap="viridis", aspect="equal")
        shares = explained[a] / total[a] if total[a] > 0 else (0.0, 0.0)
        axes.set_title(
            f"{mapped.attributes[a]}\n{shares[0]:.0%} across, {shares[1]:.0%} up", color=ink, fontsize=9, loc="left"
        )
        axes.set_xlabel(f"{mapped.axes[0]} (σ)", color=ink, fontsize=8.5)
        axes.set_ylabel(f"{mapped.axes[1]} (σ)", color=ink, fontsize=8.5)
        axes.tick_params(colors=ink, labelsize=8, length=2.5)
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
        bar.ax.tick_params(colors=ink, labelsize=7.5, length=2)
        bar.outline.set_visible(False)
    figure.tight_layout()
    return figure


def plane_sheet(mapped: Plane) -> Image:
    """The pictures of the plane, the first direction from left to right, the second from bottom to top."""
    labels = magnitude_labels(mapped.picture_magnitudes)
    title = f"across: {mapped.axes[0]} · up: {mapped.axes[1]}"
    return sheet(to_bytes(mapped.pictures.flip(0)), title, labels[::-1], labels)


def rate_chart(mapped: Plane, places: int = 3, points: int = 7, ink: str = INK) -> Figure:
    """Equal steps along the first direction, the second and both, and what becomes of them in the attributes (Fig. 30).

    Left: the points in the plane, around a grid of ``places`` by ``places`` places. Right: the same points by the two
    attributes that follow the two directions most. Lines along an axis stay along that attribute's axis whatever the
    spacing of their points; the diagonals do not stay parallel.

    Args:
        mapped: the plane; at least two attributes.
        places: places along each axis.
        points: points of a line.
        ink: colour of text and lines.

    Raises:
        ValueError: a plane with one attribute or with too few steps for so many points, or an even number of points.
    """
    steps, half = len(mapped.magnitudes), check_count("points", points) // 2
    stride = (steps // (2 * check_count("places", places)) - 1) // max(1, half)
    if len(mapped.values) < 2 or points % 2 == 0 or stride < 1:
        raise ValueError(
            f"{places}×{places} places with lines of an odd number of points, here {points}, need two attributes and "
            f"at least {places * (points + 1)} steps; the plane has {len(mapped.values)} and {steps}"
        )
    explained = _explained(mapped.values)
    x = int(explained[:, 0].argmax())
    y = int(np.where(np.arange(len(explained)) == x, -1.0, explained[:, 1]).argmax())
    centers = ((np.arange(places) + 0.5) * steps / places).astype(np.int64)
    offsets = stride * np.arange(-half, half + 1)
    figure = new_figure(8.2, 4.1)
    left, right = figure.subplots(1, 2)
    shades = np.linspace(0.35, 1.0, points)
    for across, up, palette in ((1, 0, _PALETTES[0]), (0, 1, _PALETTES[1]), (1, 1, _PALETTES[2])):
        for row in centers:
            for column in centers:
                rows, columns = row + up * offsets, column + across * offsets
                plane_xy = mapped.magnitudes[columns], mapped.magnitudes[rows]
                value_xy = mapped.values[x, rows, columns], mapped.values[y, rows, columns]
                for axes, (horizontal, vertical) in ((left, plane_xy), (right, value_xy)):
                    axes.plot(horizontal, vertical, color=ink, alpha=0.2, linewidth=0.7, zorder=1)
                    axes.scatter(horizontal, vertical, c=shades, cmap=palette, vmin=0, vmax=1, s=12, zorder=2)
    for axes, names, title in (
        (left, [f"{name} (σ)" for name in mapped.axes], "equal steps in the plane"),
        (right, [mapped.attributes[x], mapped.attributes[y]], "the same points by what the images show"),
    ):
        axes.set_xlabel(names[0], color=ink, fontsize=9)
        axes.set_ylabel(names[1], color=ink, fontsize=9)
        axes.set_title(title, color=ink, fontsize=9.5, loc="left")
        axes.tick_params(colors=ink, labelsize=8, length=2.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(ink)
    figure.tight_layout()
    return figure


def write_plane(mapped: Plane, folder: str | Path) -> list[Path]:
    """Write ``plane.png`` (heat maps), ``plane_images.png`` and, with two attributes or more, ``plane_rates.png``."""
    folder = Path(folder)
    written = [save_chart(plane_chart(mapped), folder / "plane.png")]
    written.append(save_png(plane_sheet(mapped), folder / "plane_images.png"))
    if len(mapped.values) > 1 and len(mapped.magnitudes) >= 24:
        written.append(save_chart(rate_chart(mapped), folder / "plane_rates.png"))
    return written
