"""Attribute dependency: what an edit changes of one attribute, and what else it changes, in one table.

Wu, Lischinski and Shechtman, "StyleSpace Analysis: Disentangled Controls for StyleGAN Image Generation", CVPR 2021:
mean-AD and max-AD against the change of the target.

Shape suffixes: N latents, D directions, A attributes, S steps.
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
    check_names,
    predict,
    predict_shifted,
    scores_by_name,
    start_latents,
)

INFO = MetricInfo(
    kind="directions",
    low=0.0,
    high=math.inf,
    higher_is_better=False,
    source="Wu et al. 2021, attribute dependency (mean-AD)",
)
MAGNITUDES = (1.0, 2.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class AttributeDependencyResult(MetricResult):
    """``per_factor`` ``(A,)`` is each attribute's side effect for one unit of change, ``score`` its mean.

    Changes are absolute, per image, over both signs of a step, and in standard deviations of the attribute among the
    images before. ``matrix`` ``(D, A)`` has the mean change of each attribute by each direction at the largest step.

    Attributes:
        best: the direction of largest mean effect on each attribute ``(A,)``.
        target: mean change of each attribute by its best direction at every step ``(A, S)``.
        mean_dependency: change of the other attributes meanwhile, their mean (mean-AD) ``(A, S)``.
        max_dependency: of the one that changes most, image by image (max-AD) ``(A, S)``.
        worst: the other attribute that changes most at the largest step ``(A,)``.
        attributes: A names, empty when none were given.
    """

    best: IntArray
    target: FloatArray
    mean_dependency: FloatArray
    max_dependency: FloatArray
    worst: IntArray
    attributes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        return {"score": self.score, **scores_by_name(self.attributes, self.per_factor)}

    def details(self) -> list[str]:
        """A line per attribute: its best direction, how far it goes, and what goes along."""
        names = self.attributes or tuple(f"attribute {a}" for a in range(len(self.best)))
        return [
            f"{name}: direction {self.best[a]} changes it by {self.target[a, -1]:.2f} σ, others by "
            f"{self.mean_dependency[a, -1]:.2f} σ, most of all {names[self.worst[a]]}"
            for a, name in enumerate(names)
        ]


@measured
def attribute_dependency(
    generator: Generator,
    directions: Directions,
    predictor: Predictor,
    *,
    latents: Tensor | None = None,
    num_latents: int = 500,
    magnitudes: Sequence[float] = MAGNITUDES,
    batch_size: int = 64,
    seed: int = 0,
    attributes: Sequence[str] = (),
) -> AttributeDependencyResult:
    """Side effects of the best direction for each attribute, relative to what it does to the attribute itself.

    Args:
        generator: what makes the images.
        directions: where to move.
        predictor: images ``(n, C, H, W)`` to scores ``(n, A)`` of at least two attributes: logits, not labels.
        latents: ``(N, L)``, the same for every method compared; None draws ``num_latents`` by the seed.
        num_latents: how many to draw.
        magnitudes: steps, rising, in standard deviations of the edit space; each is taken forwards and backwards.
        batch_size: images per call.
        seed: of the draw.
        attributes: names of the predictor's A attributes, by which their scores are then reported too.

    Returns:
        score in [0, ∞), lower is better: the mean over attributes of mean-AD over target change, both summed over the
        steps: 0 when nothing else changes, 1 when the others change as much as the target.

    Raises:
        ValueError: directions and generator do not fit, fewer than two attributes, magnitudes that do not rise from
            above 0, an attribute that is the same for all images, or one that no direction changes.

    >>> import torch
    >>> import contrafact as cf
    >>> from contrafact.core.directions import GlobalDirections
    >>> pixels = cf.wrap(torch.nn.Unflatten(1, (1, 1, 2)), latent_dim=2, image_range=(-8.0, 8.0))
    >>> edits = GlobalDirections.of(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))  # of one pixel, and of both
    >>> latents = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    >>> result = attribute_dependency(pixels, edits, lambda images: images.flatten(1), latents=latents)
    >>> result.per_factor.round(4).tolist()
    [0.0, 0.75]
    """
    sweep = np.asarray(magnitudes, dtype=np.float64)
    if sweep.ndim != 1 or not len(sweep) or not np.isfinite(sweep).all() or (np.diff(sweep, prepend=0.0) <= 0).any():
        raise ValueError(f"magnitudes must rise from above 0, got {list(magnitudes)}")
    start = start_latents(generator, directions, latents, num_latents, seed)
    before_NA = predict(generator, predictor, start, batch_size).astype(np.float64)
    num_attributes = before_NA.shape[1]
    names = check_names(attributes, num_attributes)
    if num_attributes < 2:
        raise ValueError("side effects are on other attributes; the predictor must return at least two")
    deviation_A = before_NA.std(axis=0)
    if (deviation_A == 0).any():
        raise ValueError(
            f"attribute {int(np.argmin(deviation_A))} is the same for all images, so a change of it has no unit; "
            "leave it out of the predictor, or draw more latents"
        )
    steps = np.concatenate([sweep, -sweep])
    after_DSNA = predict_shifted(generator, directions, predictor, start, steps, batch_size).astype(np.float64)
    change_DSNA = (after_DSNA - before_NA) / deviation_A
    mean_DSA = change_DSNA.mean(axis=2)
    best_A = np.abs(mean_DSA[:, len(sweep) - 1] - mean_DSA[:, -1]).argmax(axis=0)
    both_DSNA = np.abs(change_DSNA)
    target_AS, mean_AS, max_AS = (np.zeros((num_attributes, len(sweep))) for _ in range(3))
    worst_A = np.zeros(num_attributes, dtype=np.int64)
    for a, d in enumerate(best_A):
        others = np.delete(np.arange(num_attributes), a)
        per_image_SNA = both_DSNA[d].reshape(2, len(sweep), len(start), num_attributes)
        target_AS[a] = per_image_SNA[..., a].mean(axis=(0, 2))
        mean_AS[a] = per_image_SNA[..., others].mean(axis=(0, 2, 3))
        max_AS[a] = per_image_SNA[..., others].max(axis=3).mean(axis=(0, 2))
        worst_A[a] = others[per_image_SNA[:, -1][..., others].mean(axis=(0, 1)).argmax()]
    if (target_AS.sum(axis=1) == 0).any():
        unmoved = int(np.argmin(target_AS.sum(axis=1)))
        raise ValueError(f"no direction changes attribute {unmoved} at all; leave it out of the predictor")
    per_factor = mean_AS.sum(axis=1) / target_AS.sum(axis=1)
    return AttributeDependencyResult(
        score=float(per_factor.mean()),
        protocol=f"attribute_dependency_n{len(start)}_steps{len(sweep)}to{sweep[-1]:g}",
        num_train=len(start),
        per_factor=per_factor,
        matrix=both_DSNA.reshape(len(both_DSNA), 2, len(sweep), len(start), -1)[:, :, -1].mean(axis=(1, 2)),
        seed=seed if latents is None else None,
        best=best_A,
        target=target_AS,
        mean_dependency=mean_AS,
        max_dependency=max_AS,
        worst=worst_A,
        attributes=names,
    )
