"""β-VAE score: does the mean difference between images sharing a factor tell which factor they share?

Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017, Section 3;
in the protocol of Locatello et al., ICML 2019: 64 pairs per vote, 10,000 votes to fit, 5,000 to test, logistic
regression on the mean |z₁ - z₂|.

Shape suffixes: V votes, B images per vote, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contrafact.core.dataset import FactorDataset, check_count
from contrafact.core.encoding import Codes, Encode, draw_fixed_factor, remembered
from contrafact.core.matrices import check_varying
from contrafact.core.metric import (
    ArrayLike,
    Continuous,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    as_array,
    check_codes,
    check_factors,
    measured,
)
from contrafact.metrics._information import read_labels
from contrafact.metrics._linear import LOGISTIC, fit_lbfgs
from contrafact.metrics._shared_rows import SharedRows

INFO = MetricInfo(kind="interventional", low=0.0, high=1.0, higher_is_better=True, source="Higgins et al. 2017")
CHUNK = 512  # votes gathered at a time


@dataclass(frozen=True, kw_only=True)
class BetaVaeResult(MetricResult):
    """A β-VAE score; ``score`` is the accuracy on the test votes, ``per_factor`` ``(K,)`` its recall per factor.

    Attributes:
        score_train: accuracy on the votes fitted.
        num_encoded: distinct images encoded.
    """

    score_train: float
    num_encoded: int = 0

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "score_train": self.score_train}


def _votes(codes: Codes, num_votes: int, batch_size: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Mean differences ``(V, J)`` and the factors held fixed ``(V,)``."""
    held_V, factors = draw_fixed_factor(codes.dataset, num_votes, batch_size, 2, rng)
    votes = np.arange(num_votes)
    factors[votes, 1, :, held_V] = factors[votes, 0, :, held_V]
    index_V2B = codes.dataset.index_of(factors.reshape(-1, factors.shape[-1])).reshape(num_votes, 2, batch_size)
    codes.at(np.unique(index_V2B))
    parts = []
    for first in range(0, num_votes, CHUNK):
        chunk = index_V2B[first : first + CHUNK]
        values = codes.at(chunk.ravel()).reshape(*chunk.shape, -1).astype(np.float64)
        parts.append(np.abs(values[:, 0] - values[:, 1]).mean(axis=1))
    return np.concatenate(parts), held_V


def from_votes(points: ArrayLike, labels: ArrayLike, points_test: ArrayLike, labels_test: ArrayLike) -> BetaVaeResult:
    """The score of recorded votes.

    Args:
        points: ``(V, J)`` mean |z₁ - z₂| of each vote to fit on.
        labels: ``(V,)`` the factor each vote holds fixed.
        points_test: ``(W, J)`` test votes.
        labels_test: ``(W,)`` their factors.

    Raises:
        ValueError: shapes, values or lengths do not fit, or the votes hold one factor only.
    """
    points_VJ, points_WJ = check_codes(points, "points"), check_codes(points_test, "points_test")
    labels_V = check_factors(as_array(labels)[:, None], len(points_VJ), "labels")[:, 0]
    labels_W = check_factors(as_array(labels_test)[:, None], len(points_WJ), "labels_test")[:, 0]
    if labels_V.min() == labels_V.max():
        raise ValueError(f"all votes hold factor {labels_V[0]} fixed; there must be at least two factors to tell apart")
    model = fit_lbfgs(points_VJ, labels_V)
    right_W = model.predict(points_WJ) == labels_W
    factors = range(int(max(labels_V.max(), labels_W.max())) + 1)
    return BetaVaeResult(
        score=float(right_W.mean()),
        score_train=float(np.mean(model.predict(points_VJ) == labels_V)),
        protocol=f"beta_vae_votes{len(points_VJ)}_test{len(points_WJ)}_{LOGISTIC}",
        num_train=len(points_VJ),
        num_test=len(points_WJ),
        per_factor=np.array([right_W[labels_W == k].mean() if (labels_W == k).any() else 0.0 for k in factors]),
    )


@measured
def from_codes(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_test: int = 5_000,
    continuous: Continuous = False,
    num_bins: int = 20,
    seed: int = 0,
) -> BetaVaeResult:
    """The score of plain matrices: a pair is two rows that share a factor's value, drawn independently.

    On a full grid the votes are distributed as :func:`beta_vae_score`'s. Elsewhere other factors vary as they do in
    these rows: where they hang together with the one held fixed, its votes mislead.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` whole numbers, K at least 2.
        batch_size: pairs per vote.
        num_train: votes to fit on.
        num_test: votes to test on.
        continuous: factors may take any value; those in the same bin count as equal.
        num_bins: equal-width bins of continuous factors.
        seed: of the draws.

    Returns:
        score in [0, 1], higher is better; 1/K is guessing. Notes name factors with values of few rows.

    Raises:
        ValueError: shapes, values or lengths do not fit, there is one factor only, a factor is constant or another in
            every row, or counts are not positive.

    >>> rows = np.random.default_rng(0).integers([3, 4], size=(200, 2))
    >>> from_codes(rows * [1.0, -2.0], rows, num_train=200, num_test=100).score
    1.0
    """
    for name, value in (("batch_size", batch_size), ("num_train", num_train), ("num_test", num_test)):
        check_count(name, value)
    codes_NJ = check_codes(codes)
    shared = SharedRows(check_varying(read_labels(factors, len(codes_NJ), continuous, num_bins)))
    if len(shared.sizes) < 2:
        raise ValueError("there is one factor; telling factors apart needs at least two")
    rng = np.random.default_rng(seed)

    def votes(num_votes: int) -> tuple[FloatArray, IntArray]:
        held_V = rng.integers(len(shared.sizes), size=num_votes)
        fixed_VB = np.repeat(held_V[:, None], batch_size, axis=1)
        first_VB = shared.draw(fixed_VB, rng)
        second_VB = shared.partners(first_VB, fixed_VB, rng)
        chunks = [slice(first, first + CHUNK) for first in range(0, num_votes, CHUNK)]
        parts = [np.abs(codes_NJ[first_VB[c]] - codes_NJ[second_VB[c]]).mean(axis=1) for c in chunks]
        return np.concatenate(parts), held_V

    result = from_votes(*votes(num_train), *votes(num_test))
    return replace(
        result,
        protocol=result.protocol.replace("beta_vae_", f"beta_vae_rows{len(codes_NJ)}_") + f"_batch{batch_size}",
        seed=seed,
        notes=shared.notes(2),
    )


@measured
def beta_vae_score(
    encode: Encode | Codes,
    dataset: FactorDataset,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_test: int = 5_000,
    seed: int = 0,
) -> BetaVaeResult:
    """Accuracy of guessing which factor a batch of image pairs shares, from the mean difference of their codes.

    Each distinct image is encoded once; the votes are distributed as if every draw had been encoded.

    Args:
        encode: images ``(n, C, H, W)`` in [0, 1] to codes ``(n, J)``, or :class:`~contrafact.metrics.Codes` shared
            between metrics.
        dataset: the images and their factors.
        batch_size: pairs per vote.
        num_train: votes to fit on.
        num_test: votes to test on.
        seed: of the draws.

    Returns:
        score in [0, 1], higher is better; 1/K is guessing.

    Raises:
        ValueError: the dataset has one factor only, counts are not positive, or the encoder misbehaves.

    >>> from contrafact.contract.samples import Counter, Flags  # three factors, and an encoder that reads them off
    >>> beta_vae_score(Counter(), Flags(), num_train=200, num_test=100).score
    1.0
    """
    if len(dataset.factor_sizes) < 2:
        raise ValueError(f"{dataset.name} has one factor; telling factors apart needs at least two")
    for name, value in (("batch_size", batch_size), ("num_train", num_train), ("num_test", num_test)):
        check_count(name, value)
    codes, rng = remembered(encode, dataset), np.random.default_rng(seed)
    before = codes.num_encoded
    train = _votes(codes, num_train, batch_size, rng)
    test = _votes(codes, num_test, batch_size, rng)
    result = from_votes(*train, *test)
    return replace(
        result,
        protocol=f"{result.protocol}_batch{batch_size}",
        seed=seed,
        num_encoded=codes.num_encoded - before,
    )
