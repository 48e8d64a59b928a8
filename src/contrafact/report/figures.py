"""Traversals: what each direction does to the picture, as strips, sheets and animations.

Shape suffixes: D directions, S base samples, M magnitudes, C channels, H height, W width, L latent dimensions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.direction_files import check_fit
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.generator import Generator, images_at_once, sample_latents
from contrafact.core.method import FinishedRun
from contrafact.core.pictures import save_gif, save_mp4, save_png, to_bytes, video_writer
from contrafact.core.progress import Progress
from contrafact.report.copies import copies
from contrafact.report.sheets import comfortable_factor, sheet

if TYPE_CHECKING:
    from PIL.Image import Image

FloatArray = npt.NDArray[np.float64]
FIGURES = "figures"
MOST = 64
"""Directions drawn at most unless asked otherwise: pages and folders of more are no longer looked at."""
TURN = 0.9 * math.pi
"""How far figures turn around a circle each way, in radians: not by half a turn, where both ends are the same image."""
STILL = 1 / 32
"""A direction does nothing visible when no pixel of any frame changes by more than this (8 grey levels of 255)."""


@dataclass(frozen=True)
class Sweep:
    """Directions swept over magnitudes, the one that changes the picture most first, those that do nothing last.

    Attributes:
        frames: ``(D, S, M, C, H, W)``, black 0 and white 1; the middle frame is the unchanged image.
        magnitudes: ``(M,)`` in standard deviations.
        names: D names.
        indices: D numbers of the directions in the artefact.
        change: ``(D,)`` mean absolute pixel change, in [0, 1].
        moving: how many, the first ones, change the picture visibly.
        found: directions the artefact holds; more than D when only the strongest are shown.
        kind: ``direction``, or ``code`` for a generator's latent axes; names the files.
        copy_of: for each of the D the name of the stronger one that changes pictures alike, or None; empty where nobody
            looked.
        angles: ``(M,)`` in radians, for the directions that turn around circles.
        circles: for each of the D whether it does; empty where nobody looked.
    """

    frames: Tensor
    magnitudes: FloatArray
    names: tuple[str, ...]
    indices: tuple[int, ...]
    change: FloatArray
    moving: int
    found: int
    kind: str = "direction"
    copy_of: tuple[str | None, ...] = ()
    angles: FloatArray | None = None
    circles: tuple[bool, ...] = ()

    @property
    def labels(self) -> list[str]:
        """Each direction's name and change, how far it turns, and whose copy it is, on lines of their own."""
        texts = [f"{name}\nchange {change:.3f}" for name, change in zip(self.names, self.change, strict=True)]
        for position in np.flatnonzero(self.circles):
            texts[position] += f"\n{turn_label(self.step_labels(int(position)))}"
        same = self.copy_of or [None] * len(texts)
        return [text if of is None else f"{text}\nlike {of}" for text, of in zip(texts, same, strict=True)]

    def step_labels(self, position: int) -> list[str]:
        """The magnitudes of one direction, counted from the strongest, with their unit."""
        if self.angles is not None and self.circles and self.circles[position]:
            return magnitude_labels(self.angles, "rad")
        return magnitude_labels(self.magnitudes)

    def thinned(self, step: int) -> Sweep:
        """The same sweep with only every ``step``-th magnitude; the middle one must stay."""
        angles = None if self.angles is None else self.angles[::step]
        return dataclasses.replace(
            self, frames=self.frames[:, :, ::step], magnitudes=self.magnitudes[::step], angles=angles
        )


def magnitude_range(frames: int, span: float) -> FloatArray:
    """``frames`` magnitudes from ``-span`` to ``span`` standard deviations, the middle one 0.

    Raises:
        ValueError: an even number, fewer than three, or a span that is not positive.

    >>> magnitude_range(5, 2.0).tolist()
    [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    if check_count("frames", frames) < 3 or frames % 2 == 0:
        raise ValueError(f"frames must be odd and at least 3, so that the middle one is the image itself; got {frames}")
    if not (np.isfinite(span) and span > 0):
        raise ValueError(f"span is in standard deviations and must be positive, got {span}")
    return np.linspace(-span, span, frames)


def angles_of(generator: Generator, magnitudes: FloatArray) -> FloatArray:
    """The angles ``(M,)``, in radians, by which figures turn circles where they move other directions by magnitudes.

    :data:`TURN` each way where these end at the generator's ``figure_span`` or beyond, a part of it where before.
    """
    return TURN * magnitudes / max(generator.figure_span, float(np.abs(magnitudes).max()))


def steps_of(
    generator: Generator, directions: Directions, magnitudes: FloatArray, indices: Sequence[int] | npt.NDArray[np.int64]
) -> FloatArray:
    """What figures move each of the chosen directions by, ``(D, M)``: magnitudes, or angles where it is a circle."""
    turns = np.array([directions.is_circle(int(number)) for number in indices], dtype=bool)
    return np.where(turns[:, None], angles_of(generator, magnitudes), magnitudes)


def latent_axes(generator: Generator) -> GlobalDirections:
    """The generator's own latent axes as directions: ``code 0`` …, or by the part of its latents they belong to."""
    axes = torch.eye(generator.edit_dim)
    names = [f"code {j}" for j in range(generator.edit_dim)]
    parts: Mapping[str, tuple[int, int]] = getattr(generator, "parts", {})
    for part, (first, last) in parts.items():
        names[first:last] = [part] if last - first == 1 else [f"{part} {k}" for k in range(last - first)]
    # Between two positions of a class knob there is nothing: it is turned in a sheet of its own.
    moved = [j for j in range(generator.edit_dim) if not generator.class_range[0] <= j < generator.class_range[1]]
    return GlobalDirections.of(
        axes[moved], generator.latent_scale(), [names[j] for j in moved], columns=generator.edit_columns
    )


@torch.no_grad()
def traversal(
    generator: Generator,
    directions: Directions,
    latents: Tensor,
    magnitudes: FloatArray | Sequence[float],
    *,
    indices: Sequence[int] | None = None,
    max_side: int | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Images of every latent moved along every direction by every magnitude.

    Args:
        generator: makes the images.
        directions: moves the latents.
        latents: base latents ``(S, L)``, or ``(S, num_layers, L)``.
        magnitudes: ``(M,)``, in standard deviations, or radians of a circle; or ``(D, M)``, each direction's own.
        indices: directions to sweep; all by default.
        max_side: area-average images down to at most this side, for overviews of large generators.
        batch_size: images made at once; by default as suits their size.

    Returns:
        ``(D, S, M, C, H, W)`` float32 on the CPU, not clamped.

    Raises:
        ValueError: directions that do not fit the generator, or magnitudes of another number of directions.
    """
    check_fit(directions, generator)
    home = next(chain(directions.parameters(), directions.buffers()), latents).device
    chosen = torch.arange(directions.num_directions) if indices is None else torch.as_tensor(list(indices))
    steps_DM = torch.as_tensor(np.atleast_2d(magnitudes), dtype=torch.float32, device=home)
    if len(steps_DM) not in (1, len(chosen)):
        raise ValueError(f"magnitudes are of {len(steps_DM)} directions, but {len(chosen)} are swept; give a row each")
    steps_DM = steps_DM.expand(len(chosen), -1)
    grid = (len(chosen), len(latents), steps_DM.shape[1])
    latents = latents.to(home)
    parts = []
    total = int(np.prod(grid))
    at_once = images_at_once(generator) if batch_size is None else check_count("batch_size", batch_size)
    with Progress("drawing images", total) as bar:
        for cell in torch.arange(total).split(at_once):
            d, s, m = (axis.to(home) for axis in torch.unravel_index(cell, grid))
            moved = directions(latents[s], chosen.to(home)[d], steps_DM[d, m])
            images = generator(moved.to(generator.device)).float()
            if max_side is not None and max(images.shape[-2:]) > max_side:
                factor = max_side / max(images.shape[-2:])
                images = F.interpolate(images, [round(side * factor) for side in images.shape[-2:]], mode="area")
            parts.append(images.cpu())
            bar.advance(len(images))
    frames: Tensor = torch.cat(parts).unflatten(0, grid)
    return frames


def pixel_change(frames: Tensor) -> tuple[FloatArray, FloatArray]:
    """Absolute change of pixels from the middle frame, over a sweep ``(D, S, M, C, H, W)``.

    Returns:
        mean ``(D,)`` and largest ``(D,)``, both in [0, 1]. A small object that changes altogether has a small mean.

    >>> frames = torch.zeros(2, 1, 3, 1, 1, 1)
    >>> frames[1, 0, :, 0, 0, 0] = torch.tensor([0.5, 0.0, 1.0])
    >>> mean, largest = pixel_change(frames)
    >>> mean.tolist(), largest.tolist()
    ([0.0, 0.75], [0.0, 1.0])
    """
    steps = frames.shape[2]
    shown = frames.clamp(0, 1)  # what a person can see of them
    # In place: sweeps of large generators fill a good part of the memory.
    change = shown.sub_(shown[:, :, steps // 2 : steps // 2 + 1].clone()).abs_().flatten(1)
    others = steps / (steps - 1)  # the middle frame has changed by nothing and does not count
    return others * change.mean(dim=1, dtype=torch.float64).numpy(), change.amax(dim=1).double().numpy()


def sweep(
    generator: Generator,
    directions: Directions,
    latents: Tensor,
    magnitudes: FloatArray,
    *,
    most: int = MOST,
    only: Sequence[str | int] = (),
    max_side: int | None = None,
    kind: str = "direction",
) -> Sweep:
    """:func:`traversal` of the ``most`` directions that change the picture most, strongest first.

    Those that turn around a circle are turned as :func:`angles_of` says.

    Args:
        generator: makes the images.
        directions: moves the latents.
        latents: base latents ``(S, L)``.
        magnitudes: ``(M,)``, M odd, the middle one 0.
        most: directions to keep.
        only: names or numbers of the directions to sweep; none for all.
        max_side: area-average images down to at most this side.
        kind: ``direction`` or ``code``.

    Raises:
        ValueError: a direction asked for does not exist.
    """
    asked = dict.fromkeys(directions.index(name) for name in only)
    chosen = np.array([*asked]) if asked else np.arange(directions.num_directions)
    if not asked and directions.num_directions > check_count("most", most):
        # Hundreds of full sweeps would not fit in memory: the two ends of one or two samples rank them well enough.
        ends = steps_of(generator, directions, magnitudes[[0, len(magnitudes) // 2, -1]], chosen)
        glimpse = traversal(generator, directions, latents[:2], ends, max_side=32)
        chosen = np.argsort(-pixel_change(glimpse)[0], kind="stable")[:most]
    steps_DM = steps_of(generator, directions, magnitudes, chosen)
    frames = traversal(generator, directions, latents, steps_DM, indices=chosen.tolist(), max_side=max_side)
    change, largest = pixel_change(frames)
    order = np.lexsort((-change, largest <= STILL))
    frames = frames[torch.from_numpy(order)]
    names = tuple(directions.names[i] for i in chosen[order])
    moves = largest[order] > STILL
    alike = [names[e] if e is not None and moves[d] else None for d, e in enumerate(copies(frames))]
    return Sweep(
        frames=frames,
        magnitudes=magnitudes,
        names=names,
        indices=tuple(chosen[order].tolist()),
        change=change[order],
        moving=int((largest > STILL).sum()),
        found=len(asked) or directions.num_directions,
        kind=kind,
        copy_of=tuple(alike),
        angles=angles_of(generator, magnitudes),
        circles=tuple(directions.is_circle(int(number)) for number in chosen[order]),
    )


def sweep_run(
    run: FinishedRun,
    samples: int = 4,
    frames: int = 9,
    span: float | None = None,
    *,
    seed: int = 0,
    most: int = MOST,
    only: Sequence[str | int] = (),
    max_side: int | None = None,
    truncation: float | None = None,
) -> Sweep:
    """Sweep a run's directions, or its generator's latent axes where it yields no directions (a VAE).

    Args:
        run: a finished run with a generator.
        samples: base samples S.
        frames: magnitudes M; odd.
        span: largest magnitude, in standard deviations of the latent space; by default the generator's ``figure_span``.
        seed: seed of the base samples.
        most: directions to keep, the strongest.
        only: names or numbers of the directions to sweep; none for all.
        max_side: area-average images down to at most this side.
        truncation: of the base samples; by default the generator's own.

    Raises:
        ValueError: the run has no generator, no such direction, or an argument is out of range.
    """
    generator = run.generator.truncated(truncation)
    magnitudes = magnitude_range(frames, generator.figure_span if span is None else span)
    rng = torch.Generator().manual_seed(seed)
    latents = sample_latents(generator, check_count("samples", samples), rng)
    found = run.has("directions")
    directions = run.directions if found else latent_axes(generator)
    kind = "direction" if found else "code"
    return sweep(generator, directions, latents, magnitudes, most=most, only=only, max_side=max_side, kind=kind)


def magnitude_labels(magnitudes: FloatArray, unit: str = "σ") -> list[str]:
    """``−2.5 σ`` … ``0`` … ``+2.5 σ``.

    >>> magnitude_labels(np.array([-1.25, 0.0, 2.0]))
    ['−1.25 σ', '0', '+2 σ']
    """
    texts = [f"{m:+.2f}".rstrip("0").rstrip(".").replace("-", "−") for m in magnitudes]
    return ["0" if text in ("+0", "−0") else f"{text} {unit}" for text in texts]


def turn_label(labels: Sequence[str]) -> str:
    """How far a circle is turned each way, from the labels of its steps.

    >>> turn_label(magnitude_labels(np.array([-2.0, 0.0, 2.0]), "rad"))
    'turns ±2 rad'
    """
    return f"turns ±{labels[-1].removeprefix('+')}"


def strip(swept: Sweep, position: int) -> Image:
    """One direction: a row per base sample, a column per magnitude. ``position`` counts from the strongest."""
    title = f"{swept.names[position]} · mean pixel change {swept.change[position]:.3f}"
    labels = [f"sample {s}" for s in range(swept.frames.shape[1])]
    return sheet(to_bytes(swept.frames[position]), title, labels, swept.step_labels(position))


def traversal_sheet(swept: Sweep, sample: int = 0) -> Image:
    """All directions on one base sample, the strongest first, each with its mean pixel change."""
    shown = f"the {len(swept.names)} strongest of {swept.found}" if swept.found > len(swept.names) else str(swept.found)
    title = f"{shown} {swept.kind}s, the strongest first"
    return sheet(to_bytes(swept.frames[:, sample]), title, swept.labels, magnitude_labels(swept.magnitudes))


def sample_sheet(swept: Sweep) -> Image:
    """Directions × samples: a row per direction, for every sample its image at both ends of the sweep.

    The first row holds the unchanged images. It tells what a direction does to every image from what it does to one.
    """
    num_directions, num_samples, steps = swept.frames.shape[:3]
    ends = swept.frames[:, :, [0, steps - 1]].flatten(1, 2)
    middle = swept.frames[:1, :, steps // 2].repeat_interleave(2, dim=1)
    low, high = magnitude_labels(swept.magnitudes)[:: steps - 1]
    rows = ["unchanged", *swept.labels]
    title = f"{num_directions} {swept.kind}s on {num_samples} samples, at {low} and {high}"
    return sheet(to_bytes(torch.cat((middle, ends))), title, rows, [low, high] * num_samples)


def animation(swept: Sweep, position: int | None = None) -> list[Image]:
    """Frames of an endless loop there and back: a row per direction, a column per sample.

    Args:
        swept: the sweep.
        position: one direction, counted from the strongest; None shows the six strongest.
    """
    rows = slice(0, 6) if position is None else slice(position, position + 1)
    pixels = to_bytes(swept.frames[rows])
    factor = comfortable_factor(*pixels.shape[3:5])
    there = [sheet(pixels[:, :, m], row_labels=swept.names[rows], upscale=factor) for m in range(len(swept.magnitudes))]
    return [*there, *there[-2:0:-1]]


def write_traversal(
    run: FinishedRun,
    out: str | Path | None = None,
    *,
    samples: int = 4,
    frames: int = 9,
    span: float | None = None,
    seed: int = 0,
    most: int = MOST,
    only: Sequence[str | int] = (),
    truncation: float | None = None,
    video: bool = False,
) -> list[Path]:
    """Write a run's traversal: what :func:`write_sweep` writes, of what :func:`sweep_run` sweeps.

    Args:
        run: a finished run with a generator.
        out: folder; the run's ``figures`` by default.
        samples: base samples.
        frames: columns of a strip; odd.
        span: largest magnitude, in standard deviations of the latent space; by default the generator's ``figure_span``.
        seed: seed of the base samples.
        most: directions to draw, the strongest.
        only: names or numbers of the directions to draw; none for all.
        truncation: of the base samples; by default the generator's own.
        video: also write ``traversal.mp4``.

    Returns:
        The files, overview first.

    Raises:
        ValueError: as for :func:`sweep_run` and :func:`write_sweep`.
    """
    magnitude_range(frames, 1.0 if span is None else span)
    if video:
        video_writer()  # before the images are made, not after
    smooth = sweep_run(
        run, samples, 2 * frames - 1, span, seed=seed, most=most, only=only, max_side=128, truncation=truncation
    )
    return write_sweep(smooth, 2, run.folder / FIGURES if out is None else Path(out), video)


def write_sweep(smooth: Sweep, step: int, folder: Path, video: bool = False) -> list[Path]:
    """Write a sweep: ``traversal.png`` (all directions on one sample), ``traversal.gif``, ``samples.png`` (directions ×
    samples) and a strip ``direction_03.png`` (or ``code_03.png``) for each direction.

    Args:
        smooth: the sweep, with enough frames for a smooth animation.
        step: strips show every ``step``-th frame of it; divides the frames left and right of the middle.
        folder: where to.
        video: also write ``traversal.mp4``.

    Returns:
        The files, overview first.

    Raises:
        ValueError: a video is asked for and the package that writes it is not installed.
    """
    swept = smooth.thinned(step)
    digits = max(2, len(str(swept.found - 1)))
    written = [save_png(traversal_sheet(swept), folder / "traversal.png")]
    frames = animation(smooth.thinned(max(1, step // 2)))
    written.append(save_gif(frames, folder / "traversal.gif"))
    if video:
        written.append(save_mp4(frames, folder / "traversal.mp4"))
    written.append(save_png(sample_sheet(swept), folder / "samples.png"))
    for position, index in enumerate(swept.indices):
        written.append(save_png(strip(swept, position), folder / f"{swept.kind}_{index:0{digits}}.png"))
    return written
