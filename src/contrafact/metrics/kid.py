"""Kernel distance of image features: squared maximum mean discrepancy with a cubic kernel, unbiased.

Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, Section 4. It is called KID when the features are Inception's;
with another extractor the protocol carries its name.

Shape suffixes: N images, D features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from contrafact.core.dataset import check_count
from contrafact.core.metric import FloatArray, MetricInfo, MetricResult, measured
from contrafact.nn.features import Extractor, Images, feature_pair

INFO = MetricInfo(
    kind="images", low=-math.inf, high=math.inf, higher_is_better=False, source="Bińkowski et al. 2018, Section 4"
)


@dataclass(frozen=True, kw_only=True)
class KidResult(MetricResult):
    """A kernel distance, the mean over subsets.

    Attributes:
        deviation: standard deviation over subsets.
    """

    deviation: float

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "deviation": self.deviation}


def squared_discrepancy(real_ND: FloatArray, generated_ND: FloatArray) -> float:
    """Unbiased squared maximum mean discrepancy with kernel ``(x·y / D + 1)³``."""
    dimension = real_ND.shape[1]

    def within(features: FloatArray) -> float:
        kernel = (features @ features.T / dimension + 1.0) ** 3
        return float((kernel.sum() - np.trace(kernel)) / (len(features) * (len(features) - 1)))

    between = float(((real_ND @ generated_ND.T / dimension + 1.0) ** 3).mean())
    return within(real_ND) + within(generated_ND) - 2.0 * between


@measured
def kid(
    real: Images,
    generated: Images,
    *,
    extractor: Extractor | str = "inception",
    num_subsets: int = 100,
    subset_size: int = 1_000,
    batch_size: int = 64,
    seed: int = 0,
) -> KidResult:
    """Kernel distance between features of real and generated images, mean over random subsets.

    Args:
        real: images ``(N, C, H, W)`` in [0, 1], an iterable of such batches, or features ``(N, D)``.
        generated: the same.
        extractor: ``"inception"``, or a function from images to features ``(n, D)``.
        num_subsets: subsets drawn.
        subset_size: images per subset and side; smaller sets are taken whole, and a note says so.
        batch_size: images per call of the extractor.
        seed: of the subsets.

    Returns:
        score around 0 for equal distributions (it may be negative: it is unbiased), lower is better.

    Raises:
        ValueError: Inception is not at hand, shapes do not fit, values are not finite, or a side has fewer than 2.

    >>> features = np.random.default_rng(0).normal(size=(200, 4))
    >>> abs(kid(features[:100], features[100:], subset_size=50).score) < 0.1
    True
    """
    check_count("num_subsets", num_subsets)
    real_ND, generated_ND, name = feature_pair(real, generated, extractor, batch_size)
    size = min(check_count("subset_size", subset_size), len(real_ND), len(generated_ND))
    rng = np.random.default_rng(seed)
    values = [
        squared_discrepancy(
            real_ND[rng.choice(len(real_ND), size, replace=False)],
            generated_ND[rng.choice(len(generated_ND), size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return KidResult(
        score=float(np.mean(values)),
        protocol=f"kid_{name}_subsets{num_subsets}x{size}",
        num_train=len(real_ND),
        num_test=len(generated_ND),
        seed=seed,
        deviation=float(np.std(values)),
        notes=(f"subsets of {size}: there are no more images",) if size < subset_size else (),
    )
