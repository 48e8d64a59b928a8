"""k-NN probe: accuracy of a weighted vote among the nearest codes by cosine; nothing is trained.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, Section 3.4:
k = 200 neighbours vote with weight exp(cosine / 0.07).

Shape suffixes: N points, M test points, J code dimensions, K factors, Q neighbours, C classes.
"""

from __future__ import annotations

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import read_pair
from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, measured

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Wu et al. 2018, Section 3.4",
    enough={"score": 10_000},
)
CHUNK = 1024  # test points compared at a time
COSINES = 2**25  # of them at most at a time: a quarter of a gibibyte


def _unit(codes_NJ: FloatArray) -> FloatArray:
    lengths_N = np.linalg.norm(codes_NJ, axis=1, keepdims=True)
    return np.asarray(codes_NJ / np.where(lengths_N > 0, lengths_N, 1.0))


@measured
def knn_probe(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    neighbours: int = 200,
    temperature: float = 0.07,
    active: Active = None,
) -> MetricResult:
    """Accuracy of a weighted vote of the ``neighbours`` nearest training points, per factor.

    Args:
        codes: ``(N, J)`` numbers whose neighbours vote.
        factors: ``(N, K)`` whole numbers.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        neighbours: voters, at most N.
        temperature: votes weigh ``exp(cosine / temperature)``.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better; a code vector of zeros has cosine 0 with all.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or a setting is not positive.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(300, 1))
    >>> knn_probe(np.hstack([factors, 1 - factors]), factors, neighbours=20).score
    1.0
    """
    check_count("neighbours", neighbours)
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    pair = read_pair(codes, factors, codes_test, factors_test)
    train_NJ, test_MJ = _unit(pair.codes_NJ), _unit(pair.codes_test_NJ)
    count = min(neighbours, len(train_NJ))
    classes = [np.unique(pair.factors_NK[:, k], return_inverse=True) for k in range(pair.factors_NK.shape[1])]
    right_K = np.zeros(len(classes))
    rows = max(1, min(CHUNK, COSINES // len(train_NJ)))
    for first in range(0, len(test_MJ), rows):
        cosine_MN = test_MJ[first : first + rows] @ train_NJ.T
        near_MQ = np.argpartition(-cosine_MN, count - 1, axis=1)[:, :count]
        weight_MQ = np.exp(np.take_along_axis(cosine_MN, near_MQ, axis=1) / temperature - 1.0 / temperature)
        rows_MQ = np.broadcast_to(np.arange(len(near_MQ))[:, None], near_MQ.shape)
        for k, (values, labels_N) in enumerate(classes):
            votes_MC = np.zeros((len(near_MQ), len(values)))
            np.add.at(votes_MC, (rows_MQ, labels_N[near_MQ]), weight_MQ)
            truth_M = pair.factors_test_NK[first : first + rows, k]
            right_K[k] += np.count_nonzero(values[votes_MC.argmax(axis=1)] == truth_M)
    per_factor = right_K / len(test_MJ)
    return MetricResult(
        score=float(per_factor.mean()),
        protocol=f"knn_probe_{pair.tag}_k{count}_t{temperature:g}",
        num_train=len(train_NJ),
        num_test=len(test_MJ),
        per_factor=per_factor,
        notes=pair.notes,
    )
