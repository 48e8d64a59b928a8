import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import KFold

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import downstream


def test_boosted_trees_come_close_to_scikit_learn_at_every_size():
    factors, test_factors = draw_factors(120, (3, 2)), draw_factors(200, (3, 2), seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    result = downstream(codes, factors, test, test_factors, sizes=[40, 120])
    for s, size in enumerate((40, 120)):
        for k in range(2):
            model = GradientBoostingClassifier(random_state=0).fit(codes[:size], factors[:size, k])
            theirs = model.score(test, test_factors[:, k])
            assert result.accuracies_per_factor[s, k] == pytest.approx(theirs, abs=0.04)
    assert result.efficiency == pytest.approx(result.accuracies[1] / result.accuracies[-1])


def test_logistic_equals_the_cross_validated_protocol():
    factors, test_factors = draw_factors(80, (3, 2)), draw_factors(100, (3, 2), seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    result = downstream(codes, factors, test, test_factors, sizes=[80], predictor="logistic")
    for k in range(2):
        model = LogisticRegressionCV(
            Cs=10, cv=KFold(5), scoring="accuracy", l1_ratios=(0.0,), use_legacy_attributes=False
        ).fit(codes, factors[:, k])
        assert result.per_factor[k] == pytest.approx(model.score(test, test_factors[:, k]), abs=0.02)


def test_sizes_beyond_the_data_become_all_of_it():
    factors = draw_factors(90, (3, 2))
    result = downstream(noisy_codes(factors), factors, sizes=[10, 1000, 5000])
    assert result.sizes.tolist() == [10, 60]
    assert set(result.scores()) == {"accuracy_10", "accuracy_60", "efficiency"}
    assert result.protocol == "downstream_n60_test30_split_boosted_trees_10to60"


def test_one_seen_value_is_the_guess():
    factors = np.array([[0], [0], [1], [1], [0], [1]])
    result = downstream(
        np.arange(6.0)[:, None], factors, np.zeros((4, 1)), np.array([[0], [0], [1], [0]]), sizes=[2, 4]
    )
    assert result.accuracies[0] == 0.75


def test_refusals():
    factors = draw_factors(50)
    codes = noisy_codes(factors)
    with pytest.raises(ValueError, match="predictor must be 'boosted_trees' or 'logistic', got 'svm'"):
        downstream(codes, factors, predictor="svm")
    with pytest.raises(ValueError, match="sizes must name at least one"):
        downstream(codes, factors, sizes=[])
    with pytest.raises(ValueError, match="sizes must be a whole number of at least 1, got -5"):
        downstream(codes, factors, sizes=[-5])
