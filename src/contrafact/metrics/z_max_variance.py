"""Z-max variance: which code varies most when one factor alone varies, and does that name the factor?

Kim, Wang, Sahu and Pavlovic, "Relevance Factor VAE: Learning and Identifying Disentangled Factors", arXiv:1902.01568;
named so by Zaidi et al., "Measuring Disentanglement: A Review of Metrics", arXiv:2012.09276, which calls the FactorVAE
score Z-min variance. Votes, pruning and numbers are that score's.

Shape suffixes: V votes, B images per vote, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contrafact.core.dataset import FactorDataset
from contrafact.core.encoding import Codes, Encode, draw_fixed_factor
from contrafact.core.metric import MetricInfo, measured
from contrafact.metrics.factor_vae_score import Drawn, FactorVaeResult, score_votes

INFO = MetricInfo(
    kind="interventional", low=0.0, high=1.0, higher_is_better=True, source="Kim et al. 2019, arXiv:1902.01568"
)


def _varied(dataset: FactorDataset, num_votes: int, batch_size: int, rng: np.random.Generator) -> Drawn:
    varied_V, factors = draw_fixed_factor(dataset, num_votes, batch_size, 1, rng)
    drawn_VBK, votes = factors[:, 0], np.arange(num_votes)
    shown_VBK = np.repeat(drawn_VBK[:, :1], batch_size, axis=1)
    shown_VBK[votes, :, varied_V] = drawn_VBK[votes, :, varied_V]
    return shown_VBK, varied_V


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
    result = score_votes(
        _varied,
        encode,
        dataset,
        batch_size=batch_size,
        num_train=num_train,
        num_test=num_test,
        num_variance=num_variance,
        prune_below=prune_below,
        seed=seed,
        most=True,
    )
    return replace(result, protocol=result.protocol.replace("factor_vae", "z_max_variance"))
