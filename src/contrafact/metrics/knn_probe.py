"""k-NN probe: accuracy of a weighted vote among the nearest codes by cosine; nothing is trained.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, Section 3.4:
k = 200 neighbours vote with weight exp(cosine / 0.07).

Shape suffixes: N points, M test points, J code dimensions, K factors, Q neighbours, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import read_pair
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._compile import compiled, workers

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Wu et al. 2018, Section 3.4",
    enough={"score": 10_000},
)
CHUNK = 1024  # test points compared at a time
MANY = (
    20_000  # training points from which on neighbours are looked for in single precision, without keeping all cosines
)
BLOCK, PART = 256, 4096  # test and training points whose cosines stay in the processor's cache then

Array = npt.NDArray[Any]


def _unit(codes_NJ: FloatArray) -> FloatArray:
    lengths_N = np.linalg.norm(codes_NJ, axis=1, keepdims=True)
    return np.asarray(codes_NJ / np.where(lengths_N > 0, lengths_N, 1.0))


@compiled
def _keep_nearest(cosine_Q: Array, place_Q: Array, size: int, count: int) -> float:
    """Move the ``count`` largest of the first ``size`` cosines to the front; the least of those kept."""
    low, high = 0, size - 1
    while low < high:  # quickselect, around the middle one
        pivot = cosine_Q[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while cosine_Q[left] > pivot:
                left += 1
            while cosine_Q[right] < pivot:
                right -= 1
            if left <= right:
                cosine_Q[left], cosine_Q[right] = cosine_Q[right], cosine_Q[left]
                place_Q[left], place_Q[right] = place_Q[right], place_Q[left]
                left += 1
                right -= 1
        if count - 1 <= right:
            high = right
        elif count - 1 >= left:
            low = left
        else:
            break
    return float(cosine_Q[:count].min())


@compiled
def _add_near(cosine_MN: Array, near_C: Array, first: int, least_M: Array, kept_MQ: Array, place_MQ: Array) -> None:
    """Add those of a part's cosines, at ``near_C`` of the flat matrix, that may be among the nearest.

    ``kept_MQ`` has room for three times as many as are asked for, the largest in front of the others; ``least_M`` is
    the least that a row may still keep.
    """
    count = kept_MQ.shape[1] // 3
    width = cosine_MN.shape[1]
    start = 0
    while start < len(near_C):
        m = near_C[start] // width
        kept_Q, place_Q, size = kept_MQ[m], place_MQ[m], count
        while start < len(near_C) and near_C[start] // width == m:
            n = near_C[start] - m * width
            if cosine_MN[m, n] > least_M[m]:
                kept_Q[size], place_Q[size] = cosine_MN[m, n], first + n
                size += 1
                if size == len(kept_Q):
                    least_M[m] = _keep_nearest(kept_Q, place_Q, size, count)
                    size = count
            start += 1
        if size > count:
            least_M[m] = _keep_nearest(kept_Q, place_Q, size, count)


class _Search:
    """The ``count`` training points of the largest cosines of each test point ``(M, Q)``, and these cosines.

    Many points are compared in single precision, of which no more is kept than three times ``count`` of each; the
    cosines of those that are left are double again.
    """

    def __init__(self, train_NJ: FloatArray, count: int) -> None:
        self.train_NJ, self.count = train_NJ, count
        self.single_NJ = train_NJ.astype(np.float32) if len(train_NJ) >= MANY else None

    def __call__(self, test_MJ: FloatArray) -> tuple[IntArray, FloatArray]:
        if self.single_NJ is None:
            cosine_MN = test_MJ @ self.train_NJ.T
            near_MQ = np.argpartition(-cosine_MN, self.count - 1, axis=1)[:, : self.count]
            return near_MQ, np.take_along_axis(cosine_MN, near_MQ, axis=1)
        near_MQ = np.empty((len(test_MJ), self.count), dtype=np.int64)
        cosine_MQ = np.empty(near_MQ.shape)
        with workers() as (run_all, _):
            run_all(self._fill, [(test_MJ, start, near_MQ, cosine_MQ) for start in range(0, len(test_MJ), BLOCK)])
        return near_MQ, cosine_MQ

    def _fill(self, test_MJ: FloatArray, start: int, near_MQ: IntArray, cosine_MQ: FloatArray) -> None:
        """Rows of one block."""
        assert self.single_NJ is not None
        block_MJ = test_MJ[start : start + BLOCK]
        single_MJ = block_MJ.astype(np.float32)
        kept_MQ = np.full((len(block_MJ), 3 * self.count), -np.inf, dtype=np.float32)
        place_MQ = np.zeros(kept_MQ.shape, dtype=np.int64)
        least_M = np.full(len(block_MJ), -np.inf, dtype=np.float32)
        for first in range(0, len(self.single_NJ), PART):
            cosine_MN = single_MJ @ self.single_NJ[first : first + PART].T
            near_C = np.flatnonzero(cosine_MN > least_M[:, None])  # few, once many have been seen
            _add_near(cosine_MN, near_C, first, least_M, kept_MQ, place_MQ)
        near_MQ[start : start + BLOCK] = place_MQ[:, : self.count]
        for m, place_Q in enumerate(place_MQ[:, : self.count]):
            cosine_MQ[start + m] = self.train_NJ[place_Q] @ block_MJ[m]


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
    search = _Search(train_NJ, count)
    for first in range(0, len(test_MJ), CHUNK):
        near_MQ, cosine_MQ = search(test_MJ[first : first + CHUNK])
        weight_MQ = np.exp(cosine_MQ / temperature - 1.0 / temperature)
        rows_MQ = np.broadcast_to(np.arange(len(near_MQ))[:, None], near_MQ.shape)
        for k, (values, labels_N) in enumerate(classes):
            place_MQ = rows_MQ * len(values) + labels_N[near_MQ]
            votes_MC = np.bincount(place_MQ.ravel(), weight_MQ.ravel(), len(near_MQ) * len(values))
            truth_M = pair.factors_test_NK[first : first + CHUNK, k]
            right_K[k] += np.count_nonzero(values[votes_MC.reshape(-1, len(values)).argmax(axis=1)] == truth_M)
    per_factor = right_K / len(test_MJ)
    return MetricResult(
        score=float(per_factor.mean()),
        protocol=f"knn_probe_{pair.tag}_k{count}_t{temperature:g}",
        num_train=len(train_NJ),
        num_test=len(test_MJ),
        per_factor=per_factor,
        notes=pair.notes,
    )
