"""Fréchet distance of image features: Gaussians fitted to real and to generated images, and how far apart they are.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, Eq. 6. It is called FID when the features
are Inception's; with another extractor the protocol carries its name.

Shape suffixes: N images, D features.
"""

from __future__ import annotations

import math

import numpy as np

from contrafact.core.metric import FloatArray, MetricInfo, MetricResult, measured
from contrafact.core.moments import Moments
from contrafact.nn.features import Extractor, Images, check_pair, extractor_for, feature_parts, named_extractor

INFO = MetricInfo(kind="images", low=0.0, high=math.inf, higher_is_better=False, source="Heusel et al. 2017, Eq. 6")


def frechet_distance(
    mean_D: FloatArray, covariance_DD: FloatArray, other_mean_D: FloatArray, other_covariance_DD: FloatArray
) -> float:
    """``‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁^½ Σ₂ Σ₁^½)^½)``, never negative.

    >>> frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2))
    4.0
    """
    values_D, vectors_DD = np.linalg.eigh(covariance_DD)
    root_DD = vectors_DD * np.sqrt(values_D.clip(min=0.0))
    cross_D = np.linalg.eigvalsh(root_DD.T @ other_covariance_DD @ root_DD).clip(min=0.0)
    trace = np.trace(covariance_DD) + np.trace(other_covariance_DD) - 2.0 * np.sqrt(cross_D).sum()
    return max(0.0, float(((mean_D - other_mean_D) ** 2).sum() + trace))


@measured
def fid(
    real: Images | Moments,
    generated: Images | Moments,
    *,
    extractor: Extractor | str = "inception",
    batch_size: int = 64,
) -> MetricResult:
    """Fréchet distance between features of real and generated images.

    Args:
        real: images ``(N, C, H, W)`` in [0, 1], an iterable of such batches, which is read once and of which nothing is
            kept, features ``(N, D)``, or the :class:`~contrafact.core.moments.Moments` of features, added up over
            shards of a set too large for one machine.
        generated: the same.
        extractor: ``"inception"``, ``"dinov2:PATH"`` of its weights (see :func:`~contrafact.nn.dinov2.dinov2`), or a
            function from images to features ``(n, D)``.
        batch_size: images per call of the extractor.

    Returns:
        score in [0, ∞), lower is better. Biased upward for small samples: compare equal sizes only, 50,000 by custom.

    Raises:
        ValueError: Inception or weights are not at hand, shapes do not fit, values are not finite, or a side has fewer
            than 2.

    >>> features = np.random.default_rng(0).normal(size=(100, 4))
    >>> round(fid(features, features).score, 6), round(fid(features, features + 1.0).score, 6)
    (0.0, 4.0)
    """
    function, name = extractor_for((real, generated), extractor)
    first, second = (
        images if isinstance(images, Moments) else feature_moments(images, function, of, batch_size)
        for images, of in ((real, "real"), (generated, "generated"))
    )
    check_pair((first.count, len(first.mean_D)), (second.count, len(second.mean_D)))
    return MetricResult(
        score=frechet_distance(first.mean_D, first.covariance_DD, second.mean_D, second.covariance_DD),
        protocol=f"fid_{name}_real{first.count}_generated{second.count}",
        num_train=first.count,
        num_test=second.count,
    )


def feature_moments(
    images: Images, extractor: Extractor | str | None = None, name: str = "images", batch_size: int = 64
) -> Moments:
    """Moments of images' features, for :func:`fid`: one shard's, to be added to those of others.

    Args:
        images: images, batches of them, or features ``(N, D)``, as for :func:`fid`.
        extractor: of features, as for :func:`fid`; None where features are given.
        name: what to call the images in errors.
        batch_size: images per call of the extractor.

    Raises:
        ValueError: as :func:`fid`.

    >>> shards = np.random.default_rng(0).normal(size=(3, 100, 4))
    >>> whole = sum((feature_moments(shard) for shard in shards[1:]), feature_moments(shards[0]))
    >>> whole.count, round(fid(whole, shards.reshape(300, 4)).score, 6)
    (300, 0.0)
    """
    function = named_extractor(extractor, "2048")[0] if isinstance(extractor, str) else extractor
    return Moments.sum(Moments.of(part) for part in feature_parts(images, function, name, batch_size))
