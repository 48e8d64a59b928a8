"""DCI-ES: DCI with explicitness (how much capacity a probe needs) and size (how many codes were spent).

Eastwood et al., "DCI-ES: An Extended Disentanglement Framework with Connections to Identifiability", ICLR 2023,
Sections 3 and 4. Probes here: ridge regression on growing numbers of random Fourier features of the codes, one of the
paper's families; with a closed-form fit, all capacities and factors share one Gram matrix. The order of a factor's
values counts: a linear code of an ordered factor is fully explicit, one of shapes in any order need not be.

Shape suffixes: N points, M test points, J code dimensions, K factors, P features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import read_pair
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    continuous_tag,
    measured,
    which_continuous,
)
from contrafact.metrics._linear import standardize
from contrafact.metrics.dci import dci

INFO = MetricInfo(kind="static", low=0.0, high=1.0, higher_is_better=True, source="Eastwood et al. 2023, Sections 3-4")
CAPACITIES = (0, 16, 32, 64, 128, 256, 512, 1024)  # random features beside the codes themselves
ROWS_AT_ONCE = 16_384  # a thousand features of a million points would take 9 GB
RIDGE = 1e-3  # per point, relative to unit-variance features


@dataclass(frozen=True, kw_only=True)
class DciEsResult(MetricResult):
    """``score`` is E; ``per_factor`` its parts ``(K,)``; ``matrix`` DCI's importances ``(J, K)``.

    Attributes:
        disentanglement: DCI's D.
        completeness: DCI's C.
        informativeness: DCI's I.
        explicitness: E, 1 when a linear probe is already as good as any and makes no error.
        size: S, factors over codes, 1 when no code is to spare.
        capacities: numbers of probe parameters per output ``(P,)``, increasing.
        losses: lowest test loss up to each capacity ``(P, K)``, 1 is the loss of guessing the mean.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    explicitness: float
    size: float
    capacities: IntArray
    losses: FloatArray

    def scores(self) -> dict[str, float]:
        return {
            "disentanglement": self.disentanglement,
            "completeness": self.completeness,
            "informativeness": self.informativeness,
            "explicitness": self.explicitness,
            "size": self.size,
        }


def area_explicitness(log_capacity_P: FloatArray, losses_PK: FloatArray) -> FloatArray:
    """``1 - 2 · area`` between each loss-capacity curve and its lowest point, over the baseline loss 1, ``(K,)``.

    A curve that is flat has area 0 and scores 1; one that falls on a straight line from 1 to 0 scores 0.

    >>> area_explicitness(np.array([0.0, 1.0]), np.array([[0.2, 1.0], [0.2, 0.0]])).tolist()
    [1.0, 0.0]
    """
    above_PK = losses_PK - losses_PK.min(axis=0)
    width_P = np.diff(log_capacity_P)[:, None]
    area_K = (0.5 * (above_PK[1:] + above_PK[:-1]) * width_P).sum(axis=0)
    return np.asarray(1.0 - 2.0 * area_K / (log_capacity_P[-1] - log_capacity_P[0]))


def _ranks(factors_NK: IntArray, factors_MK: IntArray) -> tuple[FloatArray, FloatArray]:
    """Ranks of the factors' values among the first's; a value new to the second lies between ranks."""
    train_NK, test_MK = np.zeros(factors_NK.shape), np.zeros(factors_MK.shape)
    for k in range(factors_NK.shape[1]):
        values = np.unique(factors_NK[:, k])
        train_NK[:, k], test_MK[:, k] = (
            np.interp(rows, values, np.arange(len(values))) for rows in (factors_NK[:, k], factors_MK[:, k])
        )
    return train_NK, test_MK


def _probe_losses(
    codes_NJ: FloatArray, wanted_NK: FloatArray, codes_MJ: FloatArray, wanted_MK: FloatArray, seed: int
) -> tuple[IntArray, FloatArray]:
    """Capacities and relative test losses ``(P, K)`` of ridge probes on nested sets of random features."""
    train_NJ, test_MJ = standardize(codes_NJ, codes_MJ)
    rng = np.random.default_rng(seed)
    frequencies_JP = rng.standard_normal((train_NJ.shape[1], CAPACITIES[-1])) / np.sqrt(train_NJ.shape[1])
    phases_P = rng.uniform(0.0, 2.0 * np.pi, CAPACITIES[-1])

    def blocks(codes: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        for first in range(0, len(codes), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            random = np.sqrt(2.0) * np.cos(codes[rows] @ frequencies_JP + phases_P)
            yield rows, np.concatenate([codes[rows], random], axis=1)

    targets_NK, targets_MK = standardize(wanted_NK, wanted_MK)
    size = train_NJ.shape[1] + CAPACITIES[-1]
    gram_PP, moments_PK = np.zeros((size, size)), np.zeros((size, targets_NK.shape[1]))
    near_P, rest_P = np.zeros(0), np.zeros(size)  # a mean of the first rows, and what is left to that of all
    for rows, block_NP in blocks(train_NJ):
        near_P = near_P if len(near_P) else block_NP.mean(axis=0)
        block_NP -= near_P
        rest_P += block_NP.sum(axis=0) / len(train_NJ)
        gram_PP += block_NP.T @ block_NP
        moments_PK += block_NP.T @ targets_NK[rows]
    gram_PP -= len(train_NJ) * np.outer(rest_P, rest_P)
    moments_PK -= np.outer(rest_P, targets_NK.sum(axis=0))
    sizes = np.array([train_NJ.shape[1] + extra for extra in CAPACITIES])
    weights = [
        np.linalg.solve(gram_PP[:size, :size] + RIDGE * len(train_NJ) * np.eye(size), moments_PK[:size])
        for size in sizes
    ]
    error_PK = np.zeros((len(sizes), targets_MK.shape[1]))
    for rows, block_MP in blocks(test_MJ):
        block_MP -= near_P + rest_P
        for p, weights_PK in enumerate(weights):
            error_PK[p] += ((block_MP[:, : len(weights_PK)] @ weights_PK - targets_MK[rows]) ** 2).sum(axis=0)
    guess_K = (targets_MK**2).sum(axis=0)
    losses_PK = np.minimum(error_PK / np.where(guess_K > 0, guess_K, 1.0), 1.0)
    return sizes, np.minimum.accumulate(losses_PK, axis=0)


@measured
def dci_es(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    continuous: Continuous = False,
    estimator: Literal["fast", "exact"] = "fast",
    seed: int = 0,
    active: Active = None,
) -> DciEsResult:
    """Disentanglement, completeness, informativeness, explicitness and size.

    Probes predict each factor's value (its rank among the factor's values; a continuous one itself) by least squares.
    E is 1 minus twice the area between the curve of lowest loss against log capacity and its lowest point, relative
    to the loss of guessing. S is the number of factors over the number of codes.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` whole numbers, or any numbers when ``continuous``.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        continuous: predict the factors' values, in DCI's part too.
        estimator: of DCI's trees, see :func:`~contrafact.metrics.dci`.
        seed: of the random features and of DCI's ties.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        scores in [0, 1], higher is better. Codes that know nothing have a flat curve and E = 1: read E together with
        I, as the paper does.

    Raises:
        ValueError: shapes, values or lengths do not fit, or a factor is constant.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(400, 2))
    >>> result = dci_es(factors * [1.0, -2.0], factors)
    >>> round(result.explicitness, 2), result.size
    (1.0, 1.0)
    """
    pair = read_pair(codes, factors, codes_test, factors_test, continuous)
    train_NK, test_MK = pair.factors_NK, pair.factors_test_NK
    base = dci(
        pair.codes_NJ, train_NK, pair.codes_test_NJ, test_MK, continuous=continuous, estimator=estimator, seed=seed
    )
    measured_K = which_continuous(continuous, train_NK.shape[1])
    wanted_NK, wanted_MK = (
        np.where(measured_K, values, ranks)
        for values, ranks in zip((train_NK, test_MK), _ranks(train_NK, test_MK), strict=True)
    )
    capacities, losses_PK = _probe_losses(pair.codes_NJ, wanted_NK, pair.codes_test_NJ, wanted_MK, seed)
    per_factor = np.clip(area_explicitness(np.log(capacities), losses_PK), 0.0, 1.0)
    explicitness = float(per_factor.mean())
    return DciEsResult(
        score=explicitness,
        protocol=f"dci_es{continuous_tag(continuous, pair.factors_NK.shape[1])}_{pair.tag}_fourier{CAPACITIES[-1]}",
        num_train=len(pair.codes_NJ),
        num_test=len(pair.codes_test_NJ),
        per_factor=per_factor,
        matrix=base.matrix,
        seed=seed,
        notes=base.notes,  # the pair's among them
        disentanglement=base.disentanglement,
        completeness=base.completeness,
        informativeness=base.informativeness,
        explicitness=explicitness,
        size=min(1.0, pair.factors_NK.shape[1] / pair.codes_NJ.shape[1]),
        capacities=capacities,
        losses=losses_PK,
    )
