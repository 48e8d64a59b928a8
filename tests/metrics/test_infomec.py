import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import infomec
from contrafact.metrics._neighbours import neighbour_information


def test_neighbour_information_equals_scikit_learn():
    factors = draw_factors(300, (4, 3))
    factors[0] = [9, 9]  # alone in its class
    codes = noisy_codes(factors)
    ours = neighbour_information(codes, factors, neighbours=10, seed=0)
    for k in range(2):
        theirs = mutual_info_classif(codes, factors[:, k], discrete_features=False, n_neighbors=10, random_state=0)
        np.testing.assert_allclose(ours[:, k], theirs, atol=1e-6)


def test_neighbour_information_by_hand_with_few_neighbours():
    # Two far classes of three points: the two nearest of the same class are nearer than any other point.
    codes = np.array([0.0, 1.0, 2.5, 100.0, 101.0, 102.5])[:, None]
    labels = np.array([0, 0, 0, 1, 1, 1])[:, None]
    from scipy.special import digamma

    counts = np.array([2, 2, 2, 2, 2, 2])  # itself and the nearer of its two neighbours
    expected = digamma(6) + digamma(2) - digamma(3) - digamma(counts).mean()
    assert neighbour_information(codes, labels, 2, 0)[0, 0] == pytest.approx(expected)


def test_scores_follow_from_the_matrix():
    factors = draw_factors(400)
    codes = noisy_codes(factors)
    result = infomec(codes, factors)
    assert result.protocol == "infomec_n400_k10_logistic_Cinf_balanced_optimum"
    shared = result.matrix[result.active]
    infom = (np.mean(shared.max(axis=1) / shared.sum(axis=1)) - 1 / 3) / (1 - 1 / 3)
    infoc = (np.mean(shared.max(axis=0) / shared.sum(axis=0)) - 1 / 5) / (1 - 1 / 5)
    assert result.modularity == pytest.approx(infom)
    assert result.compactness == pytest.approx(infoc)
    scaled = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    for k in range(3):
        losses = []
        for inputs in (scaled, np.zeros_like(scaled)):
            model = LogisticRegression(C=np.inf, class_weight="balanced").fit(inputs, factors[:, k])
            losses.append(log_loss(factors[:, k], model.predict_proba(inputs)))
        assert result.per_factor[k] == pytest.approx((losses[1] - losses[0]) / losses[1], abs=1e-3)


def test_discrete_codes_are_counted():
    factors = draw_factors(400)
    codes = np.stack([factors[:, 0], factors[:, 1] // 2, np.zeros(400, dtype=int)], axis=1)
    result = infomec(codes, factors, discrete=True)
    for j, k in np.ndindex(3, 3):
        own = mutual_info_score(factors[:, k], factors[:, k])
        assert result.matrix[j, k] == pytest.approx(mutual_info_score(codes[:, j], factors[:, k]) / own, abs=1e-12)
    assert result.active.tolist() == [True, True, False]
    assert result.protocol == "infomec_n400_discrete_logistic_Cinf_balanced"


def test_codes_of_small_range_are_pruned():
    factors = draw_factors(400)
    codes = np.hstack([factors * 1.0, 0.01 * np.random.default_rng(0).normal(size=(400, 1))])
    result = infomec(codes, factors)
    assert result.active.tolist() == [True, True, True, False]
    assert result.modularity > 0.9


def test_definitions():
    factors = draw_factors(200)
    with pytest.warns(MetricWarning, match="no code is active"):
        dead = infomec(np.full((200, 2), 0.7), factors)
    assert (dead.modularity, dead.compactness) == (0.0, 0.0)
    assert dead.explicitness == pytest.approx(0.0, abs=1e-3)
    with pytest.warns(MetricWarning, match="one factor only: InfoM is 1"):
        assert infomec(noisy_codes(factors), factors[:, [0]]).modularity == 1.0
    with pytest.warns(MetricWarning, match="one active code only: InfoC is 1"):
        assert infomec(factors[:, [0]] * 1.0, factors).compactness == 1.0
