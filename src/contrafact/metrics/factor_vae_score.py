"""FactorVAE score: which code varies least when a factor is held fixed, and does that name the factor?

Kim & Mnih, "Disentangling by Factorising", ICML 2018, Section 3; in the protocol of Locatello et al., ICML 2019:
variances from 10,000 points, codes of deviation below 0.05 pruned, 10,000 votes of 64 images to fit, 5,000 to test.

Shape suffixes: V votes, B images per vote, J code dimensions, K factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from contrafact.core.dataset import FactorDataset, check_count
from contrafact.core.encoding import Codes, Encode, draw_fixed_factor, remembered
from contrafact.core.matrices import check_varying, dead_codes
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
from contrafact.metrics._shared_rows import SharedRows

INFO = MetricInfo(kind="interventional", low=0.0, high=1.0, higher_is_better=True, source="Kim & Mnih 2018, Section 3")
CHUNK = 1024  # votes gathered at a time
Drawn = tuple[IntArray, IntArray]
Draw = Callable[[FactorDataset, int, int, np.random.Generator], Drawn]


@dataclass(frozen=True, kw_only=True)
class FactorVaeResult(MetricResult):
    """A FactorVAE score; ``score`` is the accuracy on the test votes, ``matrix`` ``(J, K)`` counts the fitted votes.

    Attributes:
        score_train: accuracy on the votes fitted.
        num_active: codes not pruned.
        num_encoded: distinct images encoded.
    """

    score_train: float
    num_active: int
    num_encoded: int = 0

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "score_train": self.score_train}


def _held(dataset: FactorDataset, num_votes: int, batch_size: int, rng: np.random.Generator) -> Drawn:
    chosen_V, factors = draw_fixed_factor(dataset, num_votes, batch_size, 1, rng)
    votes, factors_VBK = np.arange(num_votes), factors[:, 0]
    factors_VBK[votes, :, chosen_V] = factors_VBK[votes, 0, chosen_V][:, None]
    return factors_VBK, chosen_V


def _variances(codes: Codes, factors_VBK: IntArray) -> FloatArray:
    """Variances ``(V, J)`` of the codes within each vote."""
    num_votes, batch_size, num_factors = factors_VBK.shape
    index_VB = codes.dataset.index_of(factors_VBK.reshape(-1, num_factors)).reshape(num_votes, batch_size)
    codes.at(np.unique(index_VB))
    parts = []
    for first in range(0, num_votes, CHUNK):
        chunk = index_VB[first : first + CHUNK]
        parts.append(codes.at(chunk.ravel()).reshape(*chunk.shape, -1).astype(np.float64).var(axis=1, ddof=1))
    return np.concatenate(parts)


def score_votes(
    draw: Draw,
    encode: Encode | Codes,
    dataset: FactorDataset,
    *,
    batch_size: int,
    num_train: int,
    num_test: int,
    num_variance: int,
    prune_below: float,
    seed: int,
    most: bool = False,
) -> FactorVaeResult:
    """A majority vote from a code to the factor that ``draw`` chose for each vote.

    Args:
        draw: factors ``(V, B, K)`` of the images of each vote, and which factor was chosen ``(V,)``.
        encode: as for :func:`factor_vae_score`, like all that follow.
        dataset: the images and their factors.
        batch_size: images per vote.
        num_train: votes to fit on.
        num_test: votes to test on.
        num_variance: images for the global variances.
        prune_below: codes whose global deviation is smaller are left out.
        seed: of the draws.
        most: the code that varies most votes, instead of the one that varies least.

    Raises:
        ValueError: counts are too small, or the encoder misbehaves.
    """
    for name, value, least in (
        ("batch_size", batch_size, 2),
        ("num_train", num_train, 1),
        ("num_test", num_test, 1),
        ("num_variance", num_variance, 2),
    ):
        if check_count(name, value) < least:
            raise ValueError(f"{name} must be at least {least}, got {value}: a variance needs two points")
    codes, rng = remembered(encode, dataset), np.random.default_rng(seed)
    before = codes.num_encoded
    sample_NJ = codes.of(dataset.sample(num_variance, rng))
    global_J = sample_NJ.var(axis=0, ddof=1, dtype=np.float64) * ~dead_codes(sample_NJ)
    sign = -1 if most else 1  # the least of the negated is the most

    def votes(num_votes: int) -> tuple[FloatArray, IntArray]:
        factors_VBK, chosen_V = draw(dataset, num_votes, batch_size, rng)
        return sign * _variances(codes, factors_VBK), chosen_V

    result = from_votes(*votes(num_train), *votes(num_test), global_J, prune_below=prune_below)
    return replace(
        result,
        protocol=f"{result.protocol}_batch{batch_size}",
        seed=seed,
        num_encoded=codes.num_encoded - before,
    )


def from_votes(
    variances: ArrayLike,
    labels: ArrayLike,
    variances_test: ArrayLike,
    labels_test: ArrayLike,
    global_variances: ArrayLike,
    *,
    prune_below: float = 0.05,
) -> FactorVaeResult:
    """The score of recorded votes.

    Args:
        variances: ``(V, J)`` variance of each code within each vote to fit on.
        labels: ``(V,)`` the factor each vote holds fixed.
        variances_test: ``(W, J)`` of the test votes.
        labels_test: ``(W,)`` their factors.
        global_variances: ``(J,)`` variance of each code over the dataset.
        prune_below: codes whose global deviation is smaller are left out; so are dead ones.

    Returns:
        score in [0, 1]; 0 when no code is active, and a note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit.
    """
    train_VJ, test_WJ = check_codes(variances, "variances"), check_codes(variances_test, "variances_test")
    global_J = check_codes(as_array(global_variances)[None], "global_variances")[0]
    if not train_VJ.shape[1] == test_WJ.shape[1] == len(global_J):
        raise ValueError(
            f"variances have {train_VJ.shape[1]} codes, variances_test {test_WJ.shape[1]} and global_variances "
            f"{len(global_J)}; use the same codes"
        )
    labels_V = check_factors(as_array(labels)[:, None], len(train_VJ), "labels")[:, 0]
    labels_W = check_factors(as_array(labels_test)[:, None], len(test_WJ), "labels_test")[:, 0]
    num_factors = int(max(labels_V.max(), labels_W.max())) + 1
    active = np.flatnonzero((global_J > 0) & (np.sqrt(global_J) >= prune_below))
    votes_JK = np.zeros((len(global_J), num_factors))
    per_factor = np.zeros(num_factors)
    train_score = test_score = 0.0
    if len(active):
        code_V = active[np.argmin(train_VJ[:, active] / global_J[active], axis=1)]
        code_W = active[np.argmin(test_WJ[:, active] / global_J[active], axis=1)]
        np.add.at(votes_JK, (code_V, labels_V), 1)
        factor_J = votes_JK.argmax(axis=1)
        train_score = float(np.mean(factor_J[code_V] == labels_V))
        right_W = factor_J[code_W] == labels_W
        test_score = float(right_W.mean())
        shown = [right_W[labels_W == k] for k in range(num_factors)]
        per_factor = np.array([right.mean() if len(right) else 0.0 for right in shown])
    return FactorVaeResult(
        score=test_score,
        score_train=train_score,
        protocol=f"factor_vae_votes{len(train_VJ)}_test{len(test_WJ)}_prune{prune_below:g}",
        num_train=len(train_VJ),
        num_test=len(test_WJ),
        per_factor=per_factor,
        matrix=votes_JK,
        num_active=len(active),
        notes=() if len(active) else (f"no code has a deviation of {prune_below:g} or more: the score is 0",),
    )


@measured
def from_codes(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_test: int = 5_000,
    prune_below: float = 0.05,
    continuous: Continuous = False,
    num_bins: int = 20,
    seed: int = 0,
) -> FactorVaeResult:
    """The score of plain matrices: a vote's images are rows that share a factor's value, drawn with replacement.

    On a full grid the votes are distributed as :func:`factor_vae_score`'s. Elsewhere other factors vary as they do in
    these rows: where they hang together with the one held fixed, its votes mislead.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` whole numbers.
        batch_size: rows per vote, at least 2.
        num_train: votes to fit on.
        num_test: votes to test on.
        prune_below: codes whose deviation over all rows is smaller are left out; so are dead ones.
        continuous: factors may take any value; those in the same bin count as equal.
        num_bins: equal-width bins of continuous factors.
        seed: of the draws.

    Returns:
        score in [0, 1], higher is better; 0 when no code is active. Notes name factors with values of few rows.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant or another in every row, or counts are
            too small.

    >>> rows = np.random.default_rng(0).integers([3, 4], size=(200, 2))
    >>> from_codes(rows * [1.0, -2.0], rows, num_train=200, num_test=100).score
    1.0
    """
    for name, value, least in (("batch_size", batch_size, 2), ("num_train", num_train, 1), ("num_test", num_test, 1)):
        if check_count(name, value) < least:
            raise ValueError(f"{name} must be at least {least}, got {value}: a variance needs two points")
    codes_NJ = check_codes(codes)
    shared = SharedRows(check_varying(read_labels(factors, len(codes_NJ), continuous, num_bins)))
    rng = np.random.default_rng(seed)

    def votes(num_votes: int) -> tuple[FloatArray, IntArray]:
        held_V = rng.integers(len(shared.sizes), size=num_votes)
        fixed_VB = np.repeat(held_V[:, None], batch_size, axis=1)
        first_VB = np.repeat(shared.draw(held_V, rng)[:, None], batch_size, axis=1)
        rows_VB = shared.partners(first_VB, fixed_VB, rng)
        chunks = [rows_VB[first : first + CHUNK] for first in range(0, num_votes, CHUNK)]
        return np.concatenate([codes_NJ[chunk].var(axis=1, ddof=1) for chunk in chunks]), held_V

    global_J = codes_NJ.var(axis=0, ddof=1) * ~dead_codes(codes_NJ)
    result = from_votes(*votes(num_train), *votes(num_test), global_J, prune_below=prune_below)
    return replace(
        result,
        protocol=result.protocol.replace("factor_vae_", f"factor_vae_rows{len(codes_NJ)}_") + f"_batch{batch_size}",
        seed=seed,
        notes=(*result.notes, *shared.notes(batch_size)),
    )


@measured
def factor_vae_score(
    encode: Encode | Codes,
    dataset: FactorDataset,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_test: int = 5_000,
    num_variance: int = 10_000,
    prune_below: float = 0.05,
    seed: int = 0,
) -> FactorVaeResult:
    """Accuracy of a majority vote from the least varying code to the factor held fixed.

    Each distinct image is encoded once; the votes are distributed as if every draw had been encoded.

    Args:
        encode: images ``(n, C, H, W)`` in [0, 1] to codes ``(n, J)``, or :class:`~contrafact.metrics.Codes` shared
            between metrics.
        dataset: the images and their factors.
        batch_size: images per vote, at least 2.
        num_train: votes to fit on.
        num_test: votes to test on.
        num_variance: images for the global variances, at least 2.
        prune_below: codes whose global deviation is smaller are left out; so are dead ones.
        seed: of the draws.

    Returns:
        score in [0, 1], higher is better; 0 when no code is active, and a note says so.

    Raises:
        ValueError: counts are too small, or the encoder misbehaves.

    >>> from contrafact.contract.samples import Counter, Flags  # three factors, and an encoder that reads them off
    >>> factor_vae_score(Counter(), Flags(), num_train=200, num_test=100, num_variance=100).score
    1.0
    """
    return score_votes(
        _held,
        encode,
        dataset,
        batch_size=batch_size,
        num_train=num_train,
        num_test=num_test,
        num_variance=num_variance,
        prune_below=prune_below,
        seed=seed,
    )
