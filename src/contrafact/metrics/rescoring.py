"""Rescoring: what an attribute predictor says before and after a step along each direction.

"LatentCLR", Table 1, after Shen et al. 2020: the same latents for every method, one step of ±α, mean and deviation of
the predictor's score.

Shape suffixes: N latents, L latent dimensions, D directions, A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.generator import Generator
from contrafact.core.metric import FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._edits import (
    Predictor,
    best_directions,
    check_names,
    predict,
    predict_shifted,
    scores_by_name,
    start_latents,
)

INFO = MetricInfo(kind="directions", low=0.0, high=math.inf, higher_is_better=True, source="LatentCLR, Table 1")


@dataclass(frozen=True, kw_only=True)
class RescoringResult(MetricResult):
    """``per_factor`` ``(A,)`` is the best direction's effect on each attribute, ``matrix`` ``(D, A)`` all effects.

    An effect is half the difference between the mean scores after +α and -α. Attributes below are in the
    predictor's unit.

    Attributes:
        best: the direction of largest |effect| on each attribute ``(A,)``.
        before: mean and deviation before the step ``(2, A)``.
        after_plus: mean and deviation after +α ``(2, D, A)``.
        after_minus: mean and deviation after -α ``(2, D, A)``.
        up: mean score of each attribute ``(A,)`` after the step of its best direction that raises it: the published
            table's ↑.
        down: after the other: its ↓.
        attributes: A names, empty when none were given.
    """

    best: IntArray
    before: FloatArray
    after_plus: FloatArray
    after_minus: FloatArray
    up: FloatArray
    down: FloatArray
    attributes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        return {"score": self.score, **scores_by_name(self.attributes, self.per_factor)}

    def details(self) -> list[str]:
        """Which direction is best for each attribute."""
        return best_directions(self.attributes, self.best)


@measured
def rescoring(
    generator: Generator,
    directions: Directions,
    predictor: Predictor,
    *,
    latents: Tensor | None = None,
    num_latents: int = 500,
    magnitude: float = 3.0,
    batch_size: int = 64,
    seed: int = 0,
    attributes: Sequence[str] = (),
) -> RescoringResult:
    """Change of a predictor's scores when latents move by ±``magnitude`` along each direction.

    Args:
        generator: what makes the images.
        directions: where to move.
        predictor: images ``(n, C, H, W)`` to scores ``(n, A)``, or ``(n,)`` for one attribute.
        latents: ``(N, L)``, the same for every method compared; None draws ``num_latents`` by the seed.
        num_latents: how many to draw.
        magnitude: α, in standard deviations of the edit space.
        batch_size: images per call.
        seed: of the draw.
        attributes: names of the predictor's A attributes, by which their scores are then reported too.

    Returns:
        score: the mean over attributes of the best direction's |effect|, in the predictor's unit; higher moves more.
        It does not see what else the step changed: see :func:`~contrafact.metrics.mds`.

    Raises:
        ValueError: directions and generator do not fit, the predictor misbehaves, or a setting is not positive.

    >>> import torch
    >>> import contrafact as cf
    >>> from contrafact.core.directions import GlobalDirections
    >>> pixels = cf.wrap(torch.nn.Unflatten(1, (1, 1, 2)), latent_dim=2, image_range=(-8.0, 8.0))
    >>> axes = GlobalDirections.of(torch.eye(2))  # each changes one of two pixels
    >>> result = rescoring(pixels, axes, lambda images: images.flatten(1), num_latents=20, magnitude=4.0)
    >>> result.matrix.round(4).tolist()  # 4 of the 16 between black and white
    [[0.25, 0.0], [0.0, 0.25]]
    """
    if not magnitude > 0:
        raise ValueError(f"magnitude must be positive, got {magnitude}")
    start = start_latents(generator, directions, latents, num_latents, seed)
    before_NA = predict(generator, predictor, start, batch_size).astype(np.float64)
    steps = np.array([magnitude, -magnitude])
    after_DSNA = predict_shifted(generator, directions, predictor, start, steps, batch_size).astype(np.float64)
    mean_DSA, deviation_DSA = after_DSNA.mean(axis=2), after_DSNA.std(axis=2)
    effect_DA = 0.5 * (mean_DSA[:, 0] - mean_DSA[:, 1])
    best_A = np.abs(effect_DA).argmax(axis=0)
    per_factor = np.abs(effect_DA).max(axis=0)
    ends_SA = mean_DSA[best_A, :, np.arange(len(best_A))].T
    return RescoringResult(
        score=float(per_factor.mean()),
        protocol=f"rescoring_n{len(start)}_magnitude{magnitude:g}",
        num_train=len(start),
        per_factor=per_factor,
        matrix=effect_DA,
        seed=seed if latents is None else None,
        best=best_A,
        before=np.stack([before_NA.mean(axis=0), before_NA.std(axis=0)]),
        after_plus=np.stack([mean_DSA[:, 0], deviation_DSA[:, 0]]),
        after_minus=np.stack([mean_DSA[:, 1], deviation_DSA[:, 1]]),
        up=ends_SA.max(axis=0),
        down=ends_SA.min(axis=0),
        attributes=check_names(attributes, len(per_factor)),
    )
