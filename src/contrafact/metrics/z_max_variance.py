"""Z-max variance: which code varies most when one factor alone varies, and does that name the factor?

Kim, Wang, Sahu and Pavlovic, "Relevance Factor VAE: Learning and Identifying Disentangled Factors", arXiv:1902.01568;
named so by Zaidi et al., "Measuring Disentanglement: A Review of Metrics", arXiv:2012.09276, which calls the FactorVAE
score Z-min variance. Votes, pruning and numbers are that score's.

Shape suffixes: V votes, B images per vote, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contrafact.core.dataset import FactorDataset, check_count
from contrafact.core.encoding import Codes, Encode, draw_fixed_factor, remembered
from contrafact.core.matrices import dead_codes
from contrafact.core.metric import FloatArray, IntArray, MetricInfo, measured
from contrafact.metrics.factor_vae_score import CHUNK, FactorVaeResult, from_votes

INFO = MetricInfo(
    kind="interventional", low=0.0, high=1.0, higher_is_better=True, source="Kim et al. 2019, arXiv:1902.01568"
)


def _votes(codes: Codes, num_votes: int, batch_size: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Variances ``(V, J)`` within each vote and the factors that vary ``(V,)``."""
    varied_V, factors = draw_fixed_factor(codes.dataset, num_votes, batch_size, 1, rng)
    drawn_VBK = factors[:, 0]
    shown_VBK = np.repeat(drawn_VBK[:, :1], batch_size, axis=1)
    votes = np.arange(num_votes)
    shown_VBK[votes, :, varied_V] = drawn_VBK[votes, :, varied_V]
    index_VB = codes.dataset.index_of(shown_VBK.reshape(-1, shown_VBK.shape[-1])).reshape(num_votes, batch_size)
    codes.at(np.unique(index_VB))
    parts = []
    for first in range(0, num_votes, CHUNK):
        chunk = index_VB[first : first + CHUNK]
        parts.append(codes.at(chunk.ravel()).reshape(*chunk.shape, -1).astype(np.float64).var(axis=1, ddof=1))
    return np.concatenate(parts), varied_V


@measured
def z_max_variance(
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
    """Accuracy of a majority vote from the code that varies most to the one factor that varies.

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
    >>> z_max_variance(Counter(), Flags(), num_train=200, num_test=100, num_variance=100).score
    1.0
    """
    least = {"batch_size": 2, "num_train": 1, "num_test": 1, "num_variance": 2}
    for (name, smallest), value in zip(least.items(), (batch_size, num_train, num_test, num_variance), strict=True):
        if check_count(name, value) < smallest:
            raise ValueError(f"{name} must be at least {smallest}, got {value}: a variance needs two points")
    codes, rng = remembered(encode, dataset), np.random.default_rng(seed)
    before = codes.num_encoded
    sample_NJ = codes.of(dataset.sample(num_variance, rng))
    global_J = sample_NJ.var(axis=0, ddof=1, dtype=np.float64) * ~dead_codes(sample_NJ)
    train_VJ, labels_V = _votes(codes, num_train, batch_size, rng)
    test_WJ, labels_W = _votes(codes, num_test, batch_size, rng)
    # The least of the negated is the most.
    result = from_votes(-train_VJ, labels_V, -test_WJ, labels_W, global_J, prune_below=prune_below)
    return replace(
        result,
        protocol=f"{result.protocol.replace('factor_vae', 'z_max_variance')}_batch{batch_size}",
        seed=seed,
        num_encoded=codes.num_encoded - before,
    )
