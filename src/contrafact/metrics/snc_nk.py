"""Single-neuron classification and neuron knockout: does one code tell each factor, and is it missed when removed?

Mahon, Sha and Lukasiewicz, "Correcting Flaws in Common Disentanglement Metrics", arXiv:2304.02335.

Shape suffixes: N points, M test points, J code dimensions, K factors, C values of a factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import Pair, read_pair
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._compile import workers
from contrafact.metrics._information import mutual_information, relabel
from contrafact.metrics._linear import standardize

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Mahon et al. 2023 (SNC, NK)",
    ranges={"nk": (-1.0, 1.0)},
    enough={"snc": 1_000, "nk": 300},
)
HIDDEN, RATE, BATCHES_PER_EPOCH, SMALLEST_BATCH = 256, 1e-2, 40, 64


@dataclass(frozen=True, kw_only=True)
class SncNkResult(MetricResult):
    """``score`` is the mean accuracy of single codes (SNC), ``per_factor`` ``(K,)`` its parts.

    ``matrix`` ``(J, K)`` has the mutual informations, in nats, by which codes are given to factors.

    Attributes:
        nk: mean loss of accuracy of a network when each factor's code is taken away (NK).
        knockout: the same for each factor ``(K,)``.
        full: test accuracy of a network that sees all codes ``(K,)``.
        pairs: the code of each factor ``(K,)``, -1 for one that got none.
    """

    nk: float
    knockout: FloatArray
    full: FloatArray
    pairs: IntArray

    def scores(self) -> dict[str, float]:
        return {"snc": self.score, "nk": self.nk}


def _edges(sorted_NJ: FloatArray, num_bins: int) -> FloatArray:
    """Lower edges ``(bins - 1, J)`` of bins of equally many points, the lowest left out."""
    return sorted_NJ[np.arange(0, len(sorted_NJ), len(sorted_NJ) / num_bins).astype(np.int64)[1:]]


def _bins(code_N: FloatArray, edges: FloatArray) -> IntArray:
    return np.asarray(np.searchsorted(edges, code_N, side="right"))


def _informations(sorted_NJ: FloatArray, pair: Pair) -> FloatArray:
    """Information ``(J, K)`` of each code, in as many bins as the factor has values, and the factor."""
    sizes_K = np.array([len(np.unique(column_N)) for column_N in pair.factors_NK.T])
    result_JK = np.zeros((sorted_NJ.shape[1], len(sizes_K)))
    for size in np.unique(sizes_K):
        edges, chosen = _edges(sorted_NJ, int(size)), np.flatnonzero(sizes_K == size)
        for j, code_N in enumerate(pair.codes_NJ.T):
            bins_1N = _bins(code_N, edges[:, j])[None]
            result_JK[j, chosen] = mutual_information(bins_1N, pair.factors_NK[:, chosen])[0]
    return result_JK


def _name_bins(bins_N: IntArray, labels_N: IntArray) -> IntArray:
    """The place of the value that each bin stands for, one to one, so that most training points are right."""
    from scipy.optimize import linear_sum_assignment

    size = int(labels_N.max()) + 1
    counts_CC = np.bincount(bins_N * size + labels_N, minlength=size * size).reshape(size, size)
    return np.asarray(linear_sum_assignment(counts_CC, maximize=True)[1])


def _guess(labels_N: IntArray, labels_M: IntArray) -> float:
    """Test accuracy of the commonest value."""
    values, counts = np.unique(labels_N, return_counts=True)
    return float(np.mean(labels_M == values[counts.argmax()]))


def _accuracy(
    train_NJ: FloatArray, labels_N: IntArray, test_MJ: FloatArray, labels_M: IntArray, epochs: int, seed: int
) -> float:
    """Test accuracy of a network of one hidden layer; without codes, of the commonest value."""
    from contrafact.metrics._network import fit_network, predict

    if not train_NJ.shape[1]:
        return _guess(labels_N, labels_M)
    values = np.unique(labels_N)
    batch = min(len(train_NJ), max(SMALLEST_BATCH, len(train_NJ) // BATCHES_PER_EPOCH))
    network = fit_network(train_NJ, relabel(labels_N), HIDDEN, batch, RATE, epochs, seed)
    return float(np.mean(values[predict(network, test_MJ)] == labels_M))


@measured
def snc_nk(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    epochs: int = 10,
    active: Active = None,
    seed: int = 0,
) -> SncNkResult:
    """Accuracy of the code matched to each factor, alone; and what a network loses without it.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` whole numbers.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        epochs: of the networks (one hidden layer of 256, Adam, on standardised codes).
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.
        seed: of the networks.

    Returns:
        SNC in [0, 1], higher is better; NK in [-1, 1], higher is better: near 0 where other codes know the factor too.
        A factor that finds no code left counts for the commonest value in SNC and 0 in NK, with a note.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or ``epochs`` is not positive.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(600, 2))
    >>> one_each, two_each = factors * [1.0, -2.0], np.hstack([factors, factors]) * 1.0
    >>> [round(snc_nk(codes, factors).nk, 1) for codes in (one_each, two_each)]
    [0.5, 0.0]
    """
    from contrafact.metrics.mcc import match

    check_count("epochs", epochs)
    pair = read_pair(codes, factors, codes_test, factors_test)
    num_codes, num_factors = pair.codes_NJ.shape[1], pair.factors_NK.shape[1]
    sorted_NJ = np.sort(pair.codes_NJ, axis=0)
    information_JK = _informations(sorted_NJ, pair)
    pairs = match(information_JK)
    single_K, full_K, without_K = (np.zeros(num_factors) for _ in range(3))
    for k, j in enumerate(pairs):
        labels_N, labels_M = pair.factors_NK[:, k], pair.factors_test_NK[:, k]
        if j < 0:
            single_K[k] = _guess(labels_N, labels_M)
            continue
        values = np.unique(labels_N)
        edges = _edges(sorted_NJ[:, [j]], len(values))[:, 0]
        names = _name_bins(_bins(pair.codes_NJ[:, j], edges), relabel(labels_N))
        single_K[k] = np.mean(values[names[_bins(pair.codes_test_NJ[:, j], edges)]] == labels_M)
    del sorted_NJ  # of a million points, as large as the codes
    train_NJ, test_MJ = standardize(pair.codes_NJ, pair.codes_test_NJ)

    def train(k: int, left_out: int | None, found_K: FloatArray) -> None:
        labels = (pair.factors_NK[:, k], pair.factors_test_NK[:, k])
        codes = train_NJ, test_MJ
        if left_out is not None:
            codes = np.delete(train_NJ, left_out, axis=1), np.delete(test_MJ, left_out, axis=1)
        found_K[k] = _accuracy(codes[0], labels[0], codes[1], labels[1], epochs, seed)

    tasks: list[tuple[int, int | None, FloatArray]] = [(k, None, full_K) for k in range(num_factors)]
    tasks += [(k, int(j), without_K) for k, j in enumerate(pairs) if j >= 0]
    with workers() as (run_all, _):
        run_all(train, tasks)
    knockout_K = np.where(pairs >= 0, full_K - without_K, 0.0)
    notes = pair.notes
    if num_codes < num_factors:
        notes = (*notes, f"{num_codes} codes for {num_factors} factors: what finds no code left is guessed")
    return SncNkResult(
        score=float(single_K.mean()),
        protocol=f"snc_nk_{pair.tag}_epochs{epochs}",
        num_train=len(pair.codes_NJ),
        num_test=len(pair.codes_test_NJ),
        per_factor=single_K,
        matrix=information_JK,
        seed=seed,
        notes=notes,
        nk=float(knockout_K.mean()),
        knockout=knockout_K,
        full=full_K,
        pairs=pairs,
    )
