import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from contrafact.contract.samples import draw_factors
from contrafact.metrics import clustering
from contrafact.metrics.clustering import compare_partitions


@pytest.mark.parametrize("clusters", [3, 5, 9])
def test_partitions_equal_scikit_learn(clusters):
    rng = np.random.default_rng(clusters)
    labels = rng.integers(5, size=200)
    found = np.where(rng.random(200) < 0.5, labels % clusters, rng.integers(clusters, size=200))
    ours = compare_partitions(found, labels)
    table = contingency_matrix(labels, found)
    rows, columns = linear_sum_assignment(-table)
    assert ours["accuracy"] == pytest.approx(table[rows, columns].sum() / 200)
    assert ours["purity"] == pytest.approx(table.max(axis=0).sum() / 200)
    assert ours["nmi"] == pytest.approx(normalized_mutual_info_score(labels, found))
    assert ours["ari"] == pytest.approx(adjusted_rand_score(labels, found))


def test_accuracy_and_purity_differ_where_clusters_share_a_class():
    scores = compare_partitions([0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1])
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["purity"] == 1.0


def test_trivial_partitions():
    assert compare_partitions([7, 7, 7], [1, 1, 1]) == {"accuracy": 1.0, "purity": 1.0, "nmi": 1.0, "ari": 1.0}
    lost = compare_partitions([0, 0, 0, 0], [0, 1, 0, 1])
    assert (lost["nmi"], lost["ari"]) == (0.0, 0.0)


def test_clusters_of_separated_codes():
    labels = np.arange(120) % 4
    codes = 10.0 * np.eye(4)[labels] + 0.1 * np.random.default_rng(0).normal(size=(120, 4))
    result = clustering(codes, labels)
    assert result.scores() == {"accuracy": 1.0, "purity": 1.0, "nmi": pytest.approx(1.0), "ari": 1.0}
    fewer = clustering(codes, labels, num_clusters=2)
    assert fewer.accuracy == pytest.approx(0.5, abs=0.01)


def test_each_factor_is_clustered_for_on_its_own():
    factors = draw_factors(200, (4, 2))
    result = clustering(factors * [10.0, 1.0], factors, num_starts=3)
    assert result.per_factor[0] == 1.0
    assert result.score == pytest.approx(result.per_factor.mean())


def test_dead_codes_and_refusals():
    factors = draw_factors(50, (4, 2))
    assert clustering(np.full((50, 2), 0.7), factors, num_starts=1).nmi == 0.0
    with pytest.raises(ValueError, match="cannot make 60 clusters of 50 points"):
        clustering(np.zeros((50, 2)), factors, num_clusters=60)
    with pytest.raises(ValueError, match="clusters has 3 rows but the codes have 2"):
        compare_partitions([0, 1, 2], [0, 1])
