"""Manipulation disentanglement score: does a growing edit change its attribute before it changes others?

Li et al., "Transforming the Latent Space of StyleGAN for Real Face Editing", 2021, as "DisCo" Table 3 uses it: sweep
the magnitude, x = share of images whose target attribute changed as wished, y = 1 - mean share of the other attributes
that changed; the score is the area under y(x).

Shape suffixes: N latents, L latent dimensions, D directions, A attributes, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.generator import Generator
from contrafact.core.metric import FloatArray, IntArray, MetricInfo, MetricResult, check_factors, measured
from contrafact.metrics._edits import (
    Predictor,
    best_directions,
    check_names,
    predict,
    predict_shifted,
    scores_by_name,
    start_latents,
)

INFO = MetricInfo(kind="directions", low=0.0, high=1.0, higher_is_better=True, source="Li et al. 2021; DisCo, Table 3")
MAGNITUDES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
Wish = Literal["change", "increase", "decrease"]


@dataclass(frozen=True, kw_only=True)
class MdsResult(MetricResult):
    """``per_factor`` ``(A,)`` is the best direction's score at each attribute, ``matrix`` ``(D, A)`` all scores.

    Attributes:
        best: the best direction for each attribute ``(A,)``.
        changed: share of images whose target attribute changed as wished ``(D, S, A)``.
        kept: 1 - mean share of the other attributes that changed ``(D, S, A)``.
        attributes: A names, empty when none were given.
    """

    best: IntArray
    changed: FloatArray
    kept: FloatArray
    attributes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        return {"score": self.score, **scores_by_name(self.attributes, self.per_factor)}

    def details(self) -> list[str]:
        """Which direction is best for each attribute."""
        return best_directions(self.attributes, self.best)


def area_under(changed_S: FloatArray, kept_S: FloatArray) -> float:
    """Area under kept over changed, from (0, 1), where no edit is, to as far as the sweep gets.

    >>> area_under(np.array([0.5, 1.0]), np.array([1.0, 1.0])), area_under(np.array([0.5]), np.array([0.0]))
    (1.0, 0.25)
    """
    x, y = np.append(0.0, changed_S), np.append(1.0, kept_S)
    order = np.lexsort((-y, x))
    x, y = x[order], y[order]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2.0).sum())


def _as_wished(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64], wish: Wish) -> FloatArray:
    """Share over images of labels that changed as wished, of those that could."""
    axis = -2
    if wish == "increase":
        hits, able = after > before, before < np.maximum(before, after).max(axis=axis, keepdims=True)
    elif wish == "decrease":
        hits, able = after < before, before > np.minimum(before, after).min(axis=axis, keepdims=True)
    else:
        hits, able = after != before, np.ones_like(after, dtype=bool)
    return np.asarray((hits & able).sum(axis=axis) / np.maximum(1, np.broadcast_to(able, hits.shape).sum(axis=axis)))


@measured
def mds(
    generator: Generator,
    directions: Directions,
    predictor: Predictor,
    *,
    latents: Tensor | None = None,
    num_latents: int = 200,
    magnitudes: Sequence[float] = MAGNITUDES,
    both_signs: bool = True,
    wish: Wish = "change",
    batch_size: int = 64,
    seed: int = 0,
    attributes: Sequence[str] = (),
) -> MdsResult:
    """Area under "other attributes kept" over "target attribute changed", for the best direction of each attribute.

    Args:
        generator: what makes the images.
        directions: where to move.
        predictor: images ``(n, C, H, W)`` to whole-number labels ``(n, A)``, at least two attributes.
        latents: ``(N, L)``, the same for every method compared; None draws ``num_latents`` by the seed.
        num_latents: how many to draw.
        magnitudes: the sweep, positive, in standard deviations of the edit space.
        both_signs: also sweep backwards, and count the better sign for each attribute.
        wish: what counts as changed: any other label, a higher one (0 to 1: the attribute appears), a lower one.
        batch_size: images per call.
        seed: of the draw.
        attributes: names of the predictor's A attributes, by which their scores are then reported too.

    Returns:
        score in [0, 1], higher is better: the mean over attributes of the best direction's area.

    Raises:
        ValueError: directions and generator do not fit, labels are not whole numbers, fewer than two attributes, or a
            setting is out of range.

    >>> import torch
    >>> import contrafact as cf
    >>> from contrafact.core.directions import GlobalDirections
    >>> pixels = cf.wrap(torch.nn.Unflatten(1, (1, 1, 2)), latent_dim=2, image_range=(-8.0, 8.0))
    >>> axes = GlobalDirections.of(torch.eye(2))  # each changes one of two pixels
    >>> dark = torch.full((20, 2), -0.5)
    >>> mds(pixels, axes, lambda images: (images.flatten(1) > 0.5).long(), latents=dark).score
    1.0
    """
    sweep = np.asarray(magnitudes, dtype=np.float64)
    if sweep.ndim != 1 or not len(sweep) or not (np.isfinite(sweep) & (sweep > 0)).all():
        raise ValueError(f"magnitudes must be positive numbers, got {list(magnitudes)}")
    if wish not in ("change", "increase", "decrease"):
        raise ValueError(f"wish must be 'change', 'increase' or 'decrease', got {wish!r}")
    start = start_latents(generator, directions, latents, num_latents, seed)
    given_NA = predict(generator, predictor, start, batch_size)
    before_NA = check_factors(given_NA, len(start), "the predictor's labels")
    num_attributes = before_NA.shape[1]
    if num_attributes < 2:
        raise ValueError("the score weighs one attribute against the others; the predictor must return at least two")
    areas, curves = [], []
    for sign in (1.0, -1.0) if both_signs else (1.0,):
        after = predict_shifted(generator, directions, predictor, start, sign * sweep, batch_size)
        after_DSNA = check_factors(after.reshape(-1, num_attributes), after.size // num_attributes, "labels").reshape(
            after.shape
        )
        changed_DSA = _as_wished(before_NA, after_DSNA, wish)
        any_DSA = (after_DSNA != before_NA).mean(axis=2)
        kept_DSA = 1.0 - (any_DSA.sum(axis=2, keepdims=True) - any_DSA) / (num_attributes - 1)
        area_DA = np.array(
            [
                [area_under(c[:, a], k[:, a]) for a in range(num_attributes)]
                for c, k in zip(changed_DSA, kept_DSA, strict=True)
            ]
        )
        areas.append(area_DA)
        curves.append((changed_DSA, kept_DSA))
    better_DA = np.argmax(np.stack(areas), axis=0)
    area_DA = np.max(np.stack(areas), axis=0)
    pick = better_DA[None, :, None, :]
    changed_DSA, kept_DSA = (np.take_along_axis(np.stack(c), pick, axis=0)[0] for c in zip(*curves, strict=True))
    per_factor = area_DA.max(axis=0)
    return MdsResult(
        score=float(per_factor.mean()),
        protocol=f"mds_n{len(start)}_steps{len(sweep)}to{sweep.max():g}_{wish}",
        num_train=len(start),
        per_factor=per_factor,
        matrix=area_DA,
        seed=seed if latents is None else None,
        best=area_DA.argmax(axis=0),
        changed=changed_DSA,
        kept=kept_DSA,
        attributes=check_names(attributes, num_attributes),
    )
