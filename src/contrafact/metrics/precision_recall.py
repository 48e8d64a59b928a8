"""Precision, recall, density and coverage: how many generated images look real, and how much of the real do they reach?

Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019, Section 2
(precision, recall); Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020, Section 3
(density, coverage).

Shape suffixes: N real images, M generated images, B rows of a block, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.metric import MetricInfo, MetricResult, measured
from contrafact.nn.features import Extractor, Images, feature_pair

INFO = MetricInfo(
    kind="images",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Kynkäänniemi et al. 2019, Section 2; Naeem et al. 2020, Section 3",
    ranges={"density": (0.0, math.inf)},
)
DISTANCES_AT_ONCE = 2**25


@dataclass(frozen=True, kw_only=True)
class PrecisionRecallResult(MetricResult):
    """Fidelity and diversity of generated images; ``score`` is the precision.

    Attributes:
        recall: share of real images within a ball around some generated one.
        density: mean number of real images' balls around a generated one, over the number expected of real ones.
        coverage: share of real images with a generated one in their ball.
    """

    recall: float
    density: float
    coverage: float

    def scores(self) -> dict[str, float]:
        names = ("recall", "density", "coverage")
        return {"precision": self.score, **{name: getattr(self, name) for name in names}}


def _blocks(rows_ND: Tensor, columns_MD: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances ``(B, M)``, some rows at a time."""
    norms_M = (columns_MD**2).sum(dim=1)
    step = max(1, DISTANCES_AT_ONCE // len(columns_MD))
    for start in range(0, len(rows_ND), step):
        rows = slice(start, start + step)
        block_BD = rows_ND[rows]
        yield rows, ((block_BD**2).sum(dim=1)[:, None] + norms_M - 2.0 * block_BD @ columns_MD.T).clamp_min(0.0)


def _radii(features_ND: Tensor, neighbours: int) -> Tensor:
    """Squared distance ``(N,)`` of each row to its ``neighbours``-th nearest other row."""
    found = []
    for rows, distances_BN in _blocks(features_ND, features_ND):
        places = torch.arange(len(distances_BN), device=distances_BN.device)
        distances_BN[places, places + rows.start] = math.inf
        found.append(distances_BN.topk(neighbours, dim=1, largest=False).values[:, -1])
    return torch.cat(found)


@measured
def precision_recall(
    real: Images,
    generated: Images,
    *,
    extractor: Extractor | str = "inception",
    neighbours: int = 5,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> PrecisionRecallResult:
    """Precision, recall, density and coverage of generated images by balls around the nearest neighbours.

    Args:
        real: images ``(N, C, H, W)`` in [0, 1], an iterable of such batches, or features ``(N, D)``.
        generated: the same.
        extractor: ``"inception"``, or a function from images to features ``(n, D)``. The 2019 paper's is VGG-16.
        neighbours: a ball reaches to so many neighbours: 5 in the 2020 paper, 3 in the 2019 one.
        batch_size: images per call of the extractor.
        device: where distances are computed, some rows at a time.

    Returns:
        score, the precision, in [0, 1], higher is better; recall and coverage as well; density may exceed 1. Balls
        shrink as images are added: compare equal numbers only.

    Raises:
        ValueError: Inception is not at hand, shapes do not fit, values are not finite, or a side has no more images
            than ``neighbours``.

    >>> features = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    >>> found = precision_recall(features[:200], 0.3 * features[200:])
    >>> found.score > 0.9, found.recall < 0.5
    (True, True)
    """
    check_count("neighbours", neighbours)
    *pair, name = feature_pair(real, generated, extractor, batch_size)
    for side, features in zip(("real", "generated"), pair, strict=True):
        if len(features) <= neighbours:
            raise ValueError(f"{side} has {len(features)} images; {neighbours} neighbours need more than {neighbours}")
    middle_D = pair[0].mean(axis=0)  # squares of small numbers keep their digits
    real_ND, generated_MD = (torch.as_tensor(features - middle_D, device=device) for features in pair)
    radii_N, radii_M = _radii(real_ND, neighbours), _radii(generated_MD, neighbours)
    balls_M = torch.zeros(len(generated_MD), dtype=torch.int64, device=device)
    reached, covered = 0, 0
    for rows, distances_BM in _blocks(real_ND, generated_MD):
        inside_BM = distances_BM <= radii_N[rows, None]
        balls_M += inside_BM.sum(dim=0)
        covered += int(inside_BM.any(dim=1).sum())
        reached += int((distances_BM <= radii_M).any(dim=1).sum())
    return PrecisionRecallResult(
        score=float((balls_M > 0).double().mean()),
        protocol=f"precision_recall_{name}_k{neighbours}_real{len(real_ND)}_generated{len(generated_MD)}",
        num_train=len(real_ND),
        num_test=len(generated_MD),
        recall=reached / len(real_ND),
        density=float(balls_M.double().mean()) / neighbours,
        coverage=covered / len(real_ND),
    )
