import itertools

import numpy as np
import pytest

from contrafact.core.metric import MetricWarning
from contrafact.metrics import kid
from contrafact.metrics.kid import squared_discrepancy


def by_hand(real, generated):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    def within(rows):
        return np.mean([kernel(a, b) for a, b in itertools.permutations(rows, 2)])

    return within(real) + within(generated) - 2 * np.mean([kernel(a, b) for a in real for b in generated])


def test_equals_the_estimator_pair_by_pair():
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(8, 3)), rng.normal(1.0, 1.0, size=(6, 3))
    assert squared_discrepancy(real, generated) == pytest.approx(by_hand(real, generated))


def test_is_unbiased_and_sees_a_shift():
    rng = np.random.default_rng(0)
    values = [squared_discrepancy(rng.normal(size=(40, 2)), rng.normal(size=(40, 2))) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    shifted = kid(rng.normal(size=(100, 2)), rng.normal(1.0, 1.0, size=(100, 2)), num_subsets=10, subset_size=50)
    assert shifted.score > 0.5
    assert shifted.protocol == "kid_features_subsets10x50"


def test_small_sets_are_taken_whole():
    features = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.warns(MetricWarning, match="subsets of 20: there are no more images"):
        result = kid(features, features + 1, num_subsets=3)
    assert result.deviation == pytest.approx(0.0, abs=1e-12)
    assert result.score == pytest.approx(squared_discrepancy(features, features + 1))
