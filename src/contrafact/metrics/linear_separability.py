"""Linear separability: how much of each attribute is left unknown when a plane cuts the latent space in two?

Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019, Section 4.2.

Shape suffixes: N latents, A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.core.metric import BoolArray, FloatArray, MetricInfo, MetricResult, measured
from contrafact.metrics._edits import Predictor, check_names, predict, scores_by_name

INFO = MetricInfo(
    kind="generators",
    low=1.0,
    high=math.inf,
    higher_is_better=False,
    source="Karras et al. 2019, Section 4.2",
)
MOST_LATENTS = 200_000


@dataclass(frozen=True, kw_only=True)
class LinearSeparabilityResult(MetricResult):
    """``score`` is that of the edit space, ``per_factor`` ``(A,)`` each attribute's share of it: it is their product.

    A share is exp of the entropy of the attribute given the plane's side: 1 where the plane tells it, 2 where it tells
    nothing of an attribute that half the images have.

    Attributes:
        z: the score of the prior noise; the same where the edit space is the prior's.
        per_factor_z: each attribute's share of that ``(A,)``.
        attributes: A names, empty when none were given.
    """

    z: float
    per_factor_z: FloatArray
    attributes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "z": self.z, **scores_by_name(self.attributes, self.per_factor)}


def conditional_entropy(side_N: BoolArray, present_N: BoolArray) -> float:
    """What is left unknown of ``present`` when ``side`` is known, in nats.

    >>> side = np.array([True, True, False, False])
    >>> conditional_entropy(side, side), round(conditional_entropy(side, np.array([True, False, True, False])), 3)
    (0.0, 0.693)
    """
    total = 0.0
    for cell_N in (side_N, ~side_N):
        for answer_N in (present_N, ~present_N):
            both = (cell_N & answer_N).mean()
            if both > 0:
                total += both * math.log(cell_N.mean() / both)
    return float(total)


def _share(latents: FloatArray, present_N: BoolArray) -> float:
    """exp of the entropy left by the plane of a support vector machine."""
    from sklearn.svm import LinearSVC

    if present_N.all() or not present_N.any():
        return 1.0
    # The primal problem has the same optimum as the dual, is found without a seed and sooner for many latents.
    side_N = LinearSVC(C=1.0, dual=False).fit(latents, present_N).predict(latents)
    return math.exp(conditional_entropy(side_N.astype(bool), present_N))


@measured
def linear_separability(
    generator: Generator,
    predictor: Predictor,
    *,
    num_latents: int = MOST_LATENTS,
    keep: float = 0.5,
    threshold: float = 0.5,
    batch_size: int = 64,
    seed: int = 0,
    attributes: Sequence[str] = (),
) -> LinearSeparabilityResult:
    """exp of the summed conditional entropies of attributes, given on which side of the best plane a latent lies.

    Args:
        generator: a fixed class, where it has classes.
        predictor: images ``(n, C, H, W)`` to scores ``(n, A)``, or ``(n,)`` for one attribute: how probable it is.
        num_latents: N, how many to draw.
        keep: share of the latents that each attribute's plane is fitted to: those whose images the predictor is surest
            of, farthest from the threshold.
        threshold: above it an image has the attribute. 0 for a predictor of log odds.
        batch_size: images per call.
        seed: of the draw.
        attributes: names of the predictor's A attributes, by which their scores are then reported too.

    Returns:
        score in [1, 2^A], lower is more separable: of the edit space. ``z`` is the prior's.

    Raises:
        ValueError: the predictor misbehaves, answers that are no probabilities all lie on one side of the threshold, or
            a setting is out of range.

    >>> import torch
    >>> import contrafact as cf
    >>> pixels = cf.wrap(torch.nn.Unflatten(1, (1, 1, 2)), latent_dim=2, image_range=(-8.0, 8.0))
    >>> def bright(images):  # the first pixel, which is one of the latent's two dimensions
    ...     return images[:, 0, 0, 0]
    >>> def alike(images):  # both bright or both dark: no line tells
    ...     return 0.5 + 16 * (images.flatten(1) - 0.5).prod(dim=1)
    >>> [round(linear_separability(pixels, sees, num_latents=2000).score, 1) for sees in (bright, alike)]
    [1.0, 2.0]
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep must be above 0 and at most 1, got {keep}")
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be finite, got {threshold}")
    check_count("num_latents", num_latents)
    check_count("batch_size", batch_size)
    generator, rng, drawn = generator.eval(), torch.Generator().manual_seed(seed), []
    for start in range(0, num_latents, batch_size):
        with torch.no_grad():
            noise = generator.prior(min(batch_size, num_latents - start), rng)
            latents = generator.map(noise)
        answers = predict(generator, predictor, latents, batch_size)
        drawn.append((noise.float().cpu().numpy(), latents.float().cpu().numpy(), answers))
    noise_NZ, latents_NL, answers_NA = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    spaces = [latents_NL] if np.array_equal(noise_NZ, latents_NL) else [noise_NZ, latents_NL]
    margins_NA = answers_NA.astype(np.float64) - threshold
    names = check_names(attributes, margins_NA.shape[1])
    num_kept = max(1, round(keep * num_latents))
    shares, notes = [], []
    for a, margins_N in enumerate(margins_NA.T):
        kept = np.argsort(-np.abs(margins_N), kind="stable")[:num_kept]
        present_N = margins_N[kept] > 0
        if present_N.all() or not present_N.any():
            found = margins_N + threshold
            if found.min() < 0 or found.max() > 1:
                raise ValueError(
                    f"the predictor's answers, from {found.min():.3g} to {found.max():.3g}, are no probabilities, and "
                    f"none or all are above the threshold {threshold:g}; give one that divides them"
                )
            answer = "present in" if present_N.all() else "absent from"
            notes.append(
                f"{names[a] if names else f'attribute {a}'} is {answer} all images kept, and counts as separated"
            )
        shares.append([_share(space[kept], present_N) for space in spaces])
    z_A, w_A = np.array(shares).T[[0, -1]]
    return LinearSeparabilityResult(
        score=float(w_A.prod()),
        protocol=f"linear_separability_svm_C1_n{num_latents}_keep{keep:g}",
        num_train=num_kept,
        per_factor=w_A,
        seed=seed,
        notes=tuple(notes),
        z=float(z_A.prod()),
        per_factor_z=z_A,
        attributes=names,
    )
