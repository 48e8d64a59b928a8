"""Clustering: do k-means clusters of the codes match a factor's values? Accuracy, purity, NMI and ARI.

Accuracy: Kuhn 1955 matching, as Xie et al. 2016; NMI (arithmetic mean): Strehl & Ghosh 2002; ARI: Hubert & Arabie 1985.
The field calls both accuracy and purity "ACC": both are given by name.

Shape suffixes: N points, J code dimensions, K factors, A clusters, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import check_varying
from contrafact.core.metric import (
    ArrayLike,
    FloatArray,
    IntArray,
    MetricInfo,
    MetricResult,
    as_array,
    check_codes,
    check_factors,
    measured,
)
from contrafact.metrics._information import entropy, mutual_information, relabel

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Xie et al. 2016; CD-GAN Section 5",
    ranges={"ari": (-0.5, 1.0)},
    enough={"purity": 300},
    covered={"accuracy": 0.85, "ari": 0.8, "nmi": 0.78, "purity": 0.82},
)


@dataclass(frozen=True, kw_only=True)
class ClusteringResult(MetricResult):
    """``score`` is the accuracy, ``per_factor`` ``(K,)`` its parts.

    Attributes:
        accuracy: share of points in the cluster matched with their class, one cluster per class (Hungarian).
        purity: share of points in a cluster whose majority they belong to; several clusters may share a class.
        nmi: normalised mutual information, arithmetic mean of the entropies.
        ari: adjusted Rand index, 0 for chance; may be negative, down to -0.5.
    """

    accuracy: float
    purity: float
    nmi: float
    ari: float

    def scores(self) -> dict[str, float]:
        return {"accuracy": self.accuracy, "purity": self.purity, "nmi": self.nmi, "ari": self.ari}


def compare_partitions(clusters: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Accuracy, purity, NMI and ARI of a given clustering ``(N,)`` against labels ``(N,)``.

    Two partitions of one part each agree: NMI and ARI are 1.

    Raises:
        ValueError: not whole numbers, or different lengths.

    >>> compare_partitions([0, 0, 1, 1], [5, 5, 3, 3])
    {'accuracy': 1.0, 'purity': 1.0, 'nmi': 1.0, 'ari': 1.0}
    """
    from scipy.optimize import linear_sum_assignment

    labels_N = as_array(labels)
    clusters_N = check_factors(as_array(clusters).reshape(-1, 1), labels_N.size, "clusters")[:, 0]
    labels_N = check_factors(labels_N.reshape(-1, 1), len(clusters_N), "labels")[:, 0]
    clusters_N, labels_N = relabel(clusters_N), relabel(labels_N)
    n = len(labels_N)
    counts_AC = np.zeros((clusters_N.max() + 1, labels_N.max() + 1), dtype=np.int64)
    np.add.at(counts_AC, (clusters_N, labels_N), 1)
    accuracy = counts_AC[linear_sum_assignment(counts_AC, maximize=True)].sum() / n
    purity = counts_AC.max(axis=1).sum() / n
    entropies = entropy(clusters_N) + entropy(labels_N)
    nmi = 2.0 * float(mutual_information(clusters_N[None], labels_N[:, None])[0, 0]) / entropies if entropies else 1.0

    def pairs(counts: IntArray) -> float:
        return float((counts * (counts - 1) // 2).sum())

    together, in_clusters, in_labels = pairs(counts_AC), pairs(counts_AC.sum(axis=1)), pairs(counts_AC.sum(axis=0))
    expected = in_clusters * in_labels / max(1.0, n * (n - 1) / 2)
    most = 0.5 * (in_clusters + in_labels)
    ari = (together - expected) / (most - expected) if most != expected else 1.0
    return {"accuracy": float(accuracy), "purity": float(purity), "nmi": min(1.0, nmi), "ari": ari}


def k_means(codes_NJ: FloatArray, num_clusters: int, num_starts: int, seed: int) -> IntArray:
    """Cluster of each point ``(N,)``: the best of ``num_starts`` runs of k-means."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters: dead codes
        model = KMeans(num_clusters, n_init=num_starts, random_state=seed).fit(codes_NJ)
    return np.asarray(model.labels_, dtype=np.int64)


@measured
def clustering(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    num_clusters: int | None = None,
    num_starts: int = 10,
    seed: int = 0,
    active: Active = None,
) -> ClusteringResult:
    """Agreement of k-means clusters of the codes with the values of each factor.

    Args:
        codes: ``(N, J)`` numbers, used as they are: rescale them yourself if their scales mean nothing.
        factors: ``(N,)`` class labels, or ``(N, K)``: each factor is clustered for on its own.
        num_clusters: clusters; None takes each factor's number of values.
        num_starts: k-means runs, the tightest counts.
        seed: of the runs.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        four means over factors; accuracy, purity and NMI in [0, 1], ARI at most 1, higher is better.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or more clusters than points.

    >>> import numpy as np
    >>> labels = np.arange(100) % 4
    >>> clustering(10.0 * np.eye(4)[labels], labels).accuracy
    1.0
    """
    codes_NJ = check_codes(codes)
    given = as_array(factors)
    factors_NK = check_varying(check_factors(given[:, None] if given.ndim == 1 else given, len(codes_NJ)))
    found: dict[int, IntArray] = {}
    rows = []
    for k in range(factors_NK.shape[1]):
        size = len(np.unique(factors_NK[:, k])) if num_clusters is None else check_count("num_clusters", num_clusters)
        if size > len(codes_NJ):
            raise ValueError(f"cannot make {size} clusters of {len(codes_NJ)} points; pass a smaller num_clusters")
        if size not in found:
            found[size] = k_means(codes_NJ, size, check_count("num_starts", num_starts), seed)
        rows.append(compare_partitions(found[size], factors_NK[:, k]))
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return ClusteringResult(
        score=means["accuracy"],
        protocol=f"clustering_n{len(codes_NJ)}_kmeans{num_starts}",
        num_train=len(codes_NJ),
        per_factor=np.array([row["accuracy"] for row in rows]),
        seed=seed,
        accuracy=means["accuracy"],
        purity=means["purity"],
        nmi=means["nmi"],
        ari=means["ari"],
    )
