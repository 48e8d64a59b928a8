"""What each direction does to the picture, measured once before a page opens.

How strong it is, which others it is nearly a copy of, how far it may go before the image leaves the data, and which
codes of the encoder it moves.

Shape suffixes: N samples, L latent dimensions, D directions, J codes, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator, images_at_once, sample_latents
from contrafact.core.progress import Progress

SAMPLES = 16
"""Images that each direction is tried on; fewer where images are so large, or directions so many, that it would take
minutes."""
MOST = 64
"""Directions that get a slider: those that change the picture most."""
MOST_CODES = 64
"""An encoder of more codes is not drawn as bars, nor asked whether an image is like the data."""
COPY = 0.9
"""Absolute cosine of two directions' mean image changes from which they count as copies."""
GRID: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Magnitudes that are tried for the limit, in standard deviations."""
WITHIN = 0.99
"""Share of samples whose distance is taken for that of the data."""

_PIXELS = 2**22
_SIDE = 64
_STATISTICS = 4096
_CODED = 512
_JUDGED = 4
_SHRINKAGE = 0.1
_MOST_MOVES = 8


@dataclass(frozen=True)
class Surveyed:
    """A direction as a page lists it.

    Attributes:
        number: of the direction.
        strength: mean absolute change of a pixel at ±1 standard deviation, in [0, 1].
        group: number of the strongest direction it is nearly a copy of; its own where it is none.
        limit: largest magnitude, of those in :data:`GRID`, up to which the image is like the data; of a circle at most
            half a turn.
        moves: codes and their signed change per standard deviation, those that move most of their range first; empty
            without an encoder.
    """

    number: int
    strength: float
    group: int
    limit: float
    moves: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Survey:
    """Directions, the strongest first, the members of a group next to each other.

    Attributes:
        directions: at most :data:`MOST`.
        codes: 1st and 99th percentile of each code over samples; None without an encoder, or with one of too many.
        notes: what a reader should know.
    """

    directions: tuple[Surveyed, ...]
    codes: tuple[tuple[float, float], ...] | None
    notes: tuple[str, ...]


class Spread:
    """How far points lie from those of a sample: the Mahalanobis distance, and the distance most of the sample keeps.

    The covariance is shrunk by a tenth towards its diagonal, so that few points suffice.

    Args:
        sample: ``(N, L)``.

    >>> rng = torch.Generator().manual_seed(0)
    >>> spread = Spread(torch.randn(4000, 3, generator=rng))
    >>> spread.holds(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 5.0]])).tolist()
    [True, False]
    """

    def __init__(self, sample: Tensor) -> None:
        points = sample.double()
        self.mean = points.mean(dim=0)
        centred = points - self.mean
        covariance = centred.T @ centred / max(1, len(points) - 1)
        diagonal = covariance.diagonal()
        floor = 1e-6 * diagonal.mean().clamp_min(1e-12)
        covariance = (1 - _SHRINKAGE) * covariance + torch.diag(_SHRINKAGE * diagonal + floor)
        self.factor = torch.linalg.cholesky(covariance)
        self.bound = float(self.distance(sample).quantile(WITHIN))

    def distance(self, points: Tensor) -> Tensor:
        """Distance of ``(N, L)`` points from the mean ``(N,)``, in standard deviations of the sample."""
        scaled = torch.linalg.solve_triangular(self.factor, (points.double() - self.mean).T, upper=False)
        length: Tensor = torch.linalg.vector_norm(scaled, dim=0)
        return length

    def holds(self, points: Tensor) -> Tensor:
        """Whether points ``(N, L)`` are no further out than 99 % of the sample ``(N,)``."""
        return self.distance(points) <= self.bound


@torch.no_grad()
def survey(
    generator: Generator, directions: Directions, encoder: Encoder | None, read: Callable[[Tensor], Tensor] | None
) -> Survey:
    """Measure directions on a generator's own samples, the same every time.

    An image counts as like the data where its latent, and the encoder's reading of it if there is an encoder, lie no
    further from those of samples than 99 % of the samples do (:class:`Spread`). A direction's limit is the largest
    magnitude of :data:`GRID` up to which that holds for half of the samples on both sides, and the smallest of them if
    there is none. Where edits are added to a layer's activations, all samples' latents stay the same there and say
    nothing: an encoder judges then, no further than figures go, or nobody.

    Args:
        generator: makes the images.
        directions: what is measured.
        encoder: reads the images; None for no codes.
        read: the encoder's codes ``(N, J)`` of images ``(N, C, H, W)`` of any range, None without an encoder.
    """
    notes: list[str] = []
    images = _Images(generator)
    numbers = list(range(directions.num_directions))
    if len(numbers) > MOST:
        glimpse = _strengths(images, directions, numbers, _samples(generator, 2))
        numbers = sorted(sorted(numbers, key=lambda number: -glimpse[number])[:MOST])
        notes.append(f"the {MOST} strongest of {directions.num_directions} directions are listed")
    affordable = _PIXELS // (generator.image_shape[1] * generator.image_shape[2] * len(numbers))
    latents = _samples(generator, max(2, min(SAMPLES, affordable // 3)))
    if len(latents) < SAMPLES:
        notes.append(f"measured on {len(latents)} images")
    if encoder is not None and encoder.code_dim > MOST_CODES:
        notes.append(f"the encoder's {encoder.code_dim} codes are too many to show")
        read = None
    angles = () if encoder is None else encoder.angles
    strengths, changes, moved = _measure(images, directions, numbers, latents, read, angles)
    codes, spread = None, None
    if read is not None:
        coded = _codes_of_samples(images, read)
        low, high = torch.quantile(coded.double(), torch.tensor([0.01, 0.99], dtype=torch.float64), dim=0).tolist()
        codes, spread = tuple(zip(low, high, strict=True)), Spread(coded)
    judged = min(_JUDGED, affordable // (2 * len(GRID)))
    if spread is not None and not judged:
        notes.append("limits are judged by latents alone: images are large, or directions many")
    bounds, grid = None, GRID
    if generator.edit_layer is None:
        bounds = Spread(_samples(generator, _STATISTICS))
    else:
        further = generator.figure_span / Generator.figure_span
        grid = tuple(round(further * step, 1) for step in GRID if step <= Generator.figure_span)
        if spread is None or not judged:
            notes.append(f"limits are where figures end: nothing says how far edits of {generator.edit_layer} may go")

    def likely(moved: Tensor) -> bool:
        if spread is None or read is None or not judged:
            return True
        return _mostly(spread.holds(read(images(moved[:judged]))))

    limits = {number: _limit(directions, number, latents, grid, bounds, likely) for number in numbers}
    if not images.all_finite:
        notes.append("some images hold NaN or infinite values; check the generator")
    groups = group_copies(strengths, changes)
    listed = sorted(numbers, key=lambda n: (-strengths[groups[n]], groups[n], -strengths[n]))
    found = tuple(
        Surveyed(n, strengths[n], groups[n], limits[n], _moves(moved[n], codes) if codes is not None else ())
        for n in listed
    )
    return Survey(found, codes, tuple(notes))


def group_copies(strengths: dict[int, float], changes: dict[int, Tensor]) -> dict[int, int]:
    """The direction that each is nearly a copy of, greedily from the strongest; its own number where it is none.

    Args:
        strengths: of each direction.
        changes: of each direction, the mean change of the image, flat.

    >>> right, down = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    >>> group_copies({0: 0.1, 1: 0.3, 2: 0.2}, {0: -right, 1: right, 2: down})
    {1: 1, 2: 2, 0: 1}
    """
    groups: dict[int, int] = {}
    for number in sorted(strengths, key=lambda n: (-strengths[n], n)):
        leaders = [leader for leader in groups if groups[leader] == leader]
        alike = (n for n in leaders if abs(float(F.cosine_similarity(changes[number], changes[n], dim=0))) >= COPY)
        groups[number] = next(alike, number)
    return groups


def _samples(generator: Generator, count: int) -> Tensor:
    return sample_latents(generator, count, torch.Generator().manual_seed(0))


class _Images:
    """Makes images ``(N, C, H, W)`` within [0, 1] of latents, and notes whether some were not finite.

    NaN becomes black: one bad image must not cost the measures of all others.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator, self.all_finite = generator, True

    def __call__(self, latents: Tensor) -> Tensor:
        parts = latents.to(self.generator.device).split(images_at_once(self.generator))
        images = torch.cat([self.generator(part).float() for part in parts])
        self.all_finite &= bool(torch.isfinite(images).all())
        return images.nan_to_num(nan=0.0).clamp(0, 1)


def _small(images: Tensor) -> Tensor:
    height, width = (min(_SIDE, side) for side in images.shape[-2:])
    return F.adaptive_avg_pool2d(images, (height, width))


def _strengths(images: _Images, directions: Directions, numbers: Sequence[int], latents: Tensor) -> list[float]:
    base = images(latents)
    return [float((images(directions(latents, n, 1.0)) - base).abs().mean()) for n in numbers]


def _measure(
    images: _Images,
    directions: Directions,
    numbers: Sequence[int],
    latents: Tensor,
    read: Callable[[Tensor], Tensor] | None,
    angles: Sequence[int],
) -> tuple[dict[int, float], dict[int, Tensor], dict[int, Tensor]]:
    """Of each direction its strength, the mean change of the image, and of the codes per standard deviation."""
    strengths, changes, moved = {}, {}, {}
    base = images(latents)
    with Progress("measuring directions", len(numbers)) as bar:
        for number in numbers:
            forward, backward = (images(directions(latents, number, step)) for step in (1.0, -1.0))
            strengths[number] = float(((forward - base).abs().mean() + (backward - base).abs().mean()) / 2)
            changes[number] = _small(forward - base).mean(dim=0).flatten().cpu()
            moved[number] = torch.zeros(0)
            if read is not None:
                change = read(forward) - read(backward)
                turned = change[:, list(angles)]
                change[:, list(angles)] = torch.atan2(turned.sin(), turned.cos())
                moved[number] = (change / 2).mean(dim=0)
            bar.advance()
    return strengths, changes, moved


def _codes_of_samples(images: _Images, read: Callable[[Tensor], Tensor]) -> Tensor:
    generator = images.generator
    count = max(64, min(_CODED, _PIXELS // 8 // (generator.image_shape[1] * generator.image_shape[2])))
    parts = _samples(generator, count).split(images_at_once(generator))
    return torch.cat([read(images(part)) for part in parts])


def _limit(
    directions: Directions,
    number: int,
    latents: Tensor,
    grid: Sequence[float],
    bounds: Spread | None,
    likely: Callable[[Tensor], bool],
) -> float:
    limit, is_circle = grid[0], directions.is_circle(number)
    for magnitude in [step for step in grid if step < math.pi] + [math.pi] if is_circle else grid:
        for signed in (magnitude, -magnitude):
            moved = directions(latents, number, signed)
            if not (_all_layers_lie_in(bounds, moved) and likely(moved)):
                return limit
        limit = magnitude
    return limit


def _all_layers_lie_in(bounds: Spread | None, latents: Tensor) -> bool:
    if bounds is None:
        return True
    layers = latents if latents.ndim == 3 else latents[:, None]
    return _mostly(bounds.holds(layers.flatten(0, 1)).unflatten(0, layers.shape[:2]).all(dim=1))


def _mostly(held: Tensor) -> bool:
    return float(held.float().mean()) >= 0.5


def _moves(change: Tensor, codes: Sequence[tuple[float, float]]) -> tuple[tuple[int, float], ...]:
    ranges = torch.tensor([max(high - low, 1e-9) for low, high in codes])
    order = (change.cpu().abs() / ranges).argsort(descending=True)[:_MOST_MOVES].tolist()
    return tuple((code, float(change[code])) for code in order)
