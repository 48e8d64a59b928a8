"""Fréchet distance of image features: Gaussians fitted to real and to generated images, and how far apart they are.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, Eq. 6. It is called FID when the features
are Inception's; with another extractor the protocol carries its name.

Shape suffixes: N images, D features.
"""

from __future__ import annotations

import math

import numpy as np

from contrafact.core.metric import FloatArray, MetricInfo, MetricResult, measured
from contrafact.nn.features import Extractor, Images, feature_pair

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
    real: Images, generated: Images, *, extractor: Extractor | str = "inception", batch_size: int = 64
) -> MetricResult:
    """Fréchet distance between features of real and generated images.

    Args:
        real: images ``(N, C, H, W)`` in [0, 1], an iterable of such batches, or features ``(N, D)``.
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
    real_ND, generated_ND, name = feature_pair(real, generated, extractor, batch_size)
    moments = [(f.mean(axis=0), np.atleast_2d(np.cov(f, rowvar=False))) for f in (real_ND, generated_ND)]
    return MetricResult(
        score=frechet_distance(*moments[0], *moments[1]),
        protocol=f"fid_{name}_real{len(real_ND)}_generated{len(generated_ND)}",
        num_train=len(real_ND),
        num_test=len(generated_ND),
    )
