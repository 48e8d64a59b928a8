"""EDI: does each code hold one factor exclusively, each factor one code, and are the factors in the codes at all?

Julka, Wang and Granitzer, "Towards an Improved Metric for Evaluating Disentangled Representations", arXiv:2410.03056
(Exclusivity Disentanglement Index), as their program has it (julka01/InnVariant). It asks what all codes together know
of a factor of a neural estimate that is never the same twice (MINE); so do we, of a bound that is (``whole``).

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import check_varying, dead_codes
from contrafact.core.metric import (
    ArrayLike,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    check_codes,
    check_factors,
    measured,
)
from contrafact.metrics._compile import workers
from contrafact.metrics._information import entropy, relabel
from contrafact.metrics._linear import standardize

INFO = MetricInfo(kind="static", low=0.0, high=1.0, higher_is_better=True, source="Julka et al. 2024", repeats=False)
HIDDEN, RATE, EPOCHS, BATCHES_PER_EPOCH, SMALLEST_BATCH = 256, 1e-2, 10, 40, 64


@dataclass(frozen=True, kw_only=True)
class EdiResult(MetricResult):
    """``score`` is the modularity, ``matrix`` ``(J, K)`` what each code knows of what all codes know of a factor.

    Attributes:
        modularity: 1 when every factor has codes that hold it alone.
        compactness: 1 when each factor is held by one code alone; ``per_factor`` ``(K,)`` its parts.
        explicitness: mean share of a factor's entropy that all codes know.
        known: that share of each factor ``(K,)``.
    """

    modularity: float
    compactness: float
    explicitness: float
    known: FloatArray

    def scores(self) -> dict[str, float]:
        return {"modularity": self.modularity, "compactness": self.compactness, "explicitness": self.explicitness}


def exclusivity(shares: FloatArray) -> FloatArray:
    """Largest of each column less the root mean square of its others ``(…,)``; of a single row, that row.

    >>> exclusivity(np.array([[0.9, 0.5], [0.0, 0.5], [0.0, 0.5]])).tolist()
    [0.9, 0.0]
    """
    if len(shares) == 1:
        return np.array(shares[0])
    ordered = np.sort(shares, axis=0)
    return np.asarray(ordered[-1] - np.sqrt((ordered[:-1] ** 2).mean(axis=0)))


def _known_by_network(codes_NJ: FloatArray, factors_NK: IntArray, seed: int) -> FloatArray:
    """Entropy less what a network of one hidden layer leaves open of points it has not seen ``(K,)``: at most what
    all codes know (Barber and Agakov 2003). Each half of the points is asked about by a network of the other."""
    from contrafact.metrics._network import fit_network, log_likelihood

    order_N = np.random.default_rng(seed).permutation(len(codes_NJ))
    halves = np.array_split(order_N, 2)
    gained = np.zeros((2, factors_NK.shape[1]))

    def ask(k: int, half: int) -> None:
        labels_N, train, test = relabel(factors_NK[:, k]), halves[half], halves[1 - half]
        share_C = np.bincount(labels_N) / len(labels_N)
        present, places_N = np.unique(labels_N[train], return_inverse=True)
        if len(present) < 2:
            return
        batch = min(len(train), max(SMALLEST_BATCH, len(train) // BATCHES_PER_EPOCH))
        network = fit_network(codes_NJ[train], places_N, HIDDEN, batch, RATE, EPOCHS, seed)
        column_C = np.full(len(share_C), -1)
        column_C[present] = np.arange(len(present))
        likely_N = log_likelihood(network, codes_NJ[test], column_C[labels_N[test]])
        # A value that the network has not seen is as likely as it is common.
        likely_N = np.where(np.isnan(likely_N), np.log(share_C[labels_N[test]]), likely_N)
        gained[half, k] = (likely_N - np.log(share_C[labels_N[test]])).sum()

    with workers() as (run_all, _):
        run_all(ask, [(k, half) for k in range(factors_NK.shape[1]) for half in range(2)])
    return np.asarray(gained.sum(axis=0) / len(codes_NJ))


@measured
def edi(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    whole: Literal["network", "max", "sum"] = "network",
    neighbours: int = 3,
    seed: int = 0,
    active: Active = None,
) -> EdiResult:
    """Modularity, compactness and explicitness by exclusive information.

    With ``R(j, k) = I(code j; factor k) / I(all codes; factor k)``: a code's exclusivity is its largest entry less the
    root mean square of its others, given to the factor of that entry. Modularity is the mean over factors of what
    their codes were given, 1 at most; compactness the mean over factors of the exclusivity of the factor's column;
    explicitness the mean of ``I(all codes; factor k) / H(factor k)``.

    Args:
        codes: ``(N, J)`` numbers.
        factors: ``(N, K)`` whole numbers.
        whole: what all codes together know of a factor: ``network`` by the log loss of networks on points they have
            not seen, never less than the best single code; ``max`` the best single code; ``sum`` all of them added up.
        neighbours: of the estimate of what a code knows; the program's is 3.
        seed: of the noise that breaks ties, and of the networks.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        three scores in [0, 1], higher is better. Nothing competes with a single factor or code: its share is its
        exclusivity, and a note says so.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or a setting is none.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(3, size=(600, 2))
    >>> result = edi(factors * [1.0, -2.0], factors)
    >>> result.modularity > 0.95, result.compactness > 0.95, result.explicitness > 0.95
    (True, True, True)
    """
    if whole not in ("network", "max", "sum"):
        raise ValueError(f"whole must be 'network', 'max' or 'sum', got {whole!r}")
    check_count("neighbours", neighbours)
    codes_NJ = check_codes(codes)
    factors_NK = check_varying(check_factors(factors, len(codes_NJ)))
    entropy_K = np.array([entropy(labels_N) for labels_N in factors_NK.T])
    information_JK = np.zeros((codes_NJ.shape[1], factors_NK.shape[1]))
    live_J = ~dead_codes(codes_NJ)
    if live_J.any():
        from contrafact.metrics._neighbours import neighbour_information

        information_JK[live_J] = neighbour_information(codes_NJ[:, live_J], factors_NK, neighbours, seed)
    known_K = information_JK.sum(axis=0) if whole == "sum" else information_JK.max(axis=0)
    if whole == "network":
        known_K = np.maximum(known_K, _known_by_network(standardize(codes_NJ)[0], factors_NK, seed))
    share_JK = information_JK / np.where(known_K > 0, known_K, 1.0)
    given_K = np.zeros(len(entropy_K))
    np.add.at(given_K, share_JK.argmax(axis=1), exclusivity(share_JK.T))
    per_factor = exclusivity(share_JK)
    explained_K = np.minimum(known_K / entropy_K, 1.0)
    notes = []
    if len(entropy_K) == 1:
        notes.append("one factor only: nothing competes with it, so a code's exclusivity is its share")
    if len(share_JK) == 1:
        notes.append("one code only: nothing competes with it, so a factor's exclusivity is its share")
    modularity = float(np.minimum(given_K, 1.0).mean())
    return EdiResult(
        score=modularity,
        protocol=f"edi_n{len(codes_NJ)}_k{neighbours}_{whole}",
        num_train=len(codes_NJ),
        per_factor=per_factor,
        matrix=share_JK,
        seed=seed,
        modularity=modularity,
        compactness=float(per_factor.mean()),
        explicitness=float(explained_K.mean()),
        known=explained_K,
        notes=tuple(notes),
    )
