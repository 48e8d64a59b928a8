import numpy as np
import pytest
from sklearn.svm import LinearSVC

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import sap
from contrafact.metrics._margin import margin_accuracies


@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0])
def test_every_line_is_scikit_learns(noise):
    factors, test_factors = draw_factors(300), draw_factors(200, seed=9)
    codes, test = noisy_codes(factors, noise=noise), noisy_codes(test_factors, noise=noise)
    ours = margin_accuracies(codes, factors, test, test_factors)
    for j, k in np.ndindex(ours.shape):
        model = LinearSVC(C=0.01, class_weight="balanced").fit(codes[:, [j]], factors[:, k])
        assert ours[j, k] == np.mean(model.predict(test[:, [j]]) == test_factors[:, k])


def test_estimators_agree_and_the_gap_is_of_the_top_two():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    fast, exact = sap(codes, factors), sap(codes, factors, estimator="exact")
    np.testing.assert_array_equal(fast.matrix, exact.matrix)
    ordered = np.sort(fast.matrix, axis=0)
    np.testing.assert_allclose(fast.per_factor, ordered[-1] - ordered[-2])
    assert fast.score == pytest.approx(fast.per_factor.mean())


def test_continuous_is_the_squared_correlation():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, 2))
    codes = np.hstack([factors + 0.5 * rng.normal(size=(200, 2)), np.full((200, 1), 0.7)])
    result = sap(codes, factors, continuous=True)
    for j, k in np.ndindex(2, 2):
        assert result.matrix[j, k] == pytest.approx(np.corrcoef(codes[:, j], factors[:, k])[0, 1] ** 2)
    assert (result.matrix[2] == 0).all()
    assert result.num_test == 0


def test_unseen_values_and_one_code():
    factors = draw_factors(200)
    codes = noisy_codes(factors)
    unseen = factors + 100
    assert (sap(codes, factors, codes, unseen).matrix == 0).all()
    with pytest.warns(MetricWarning, match="one code only"):
        result = sap(codes[:, [0]], factors)
    np.testing.assert_array_equal(result.per_factor, result.matrix[0])


def test_refusals():
    factors = draw_factors(100)
    codes = noisy_codes(factors)
    with pytest.raises(ValueError, match="estimator must be 'fast' or 'exact', got 'svc'"):
        sap(codes, factors, estimator="svc")
    with pytest.raises(ValueError, match="factor 1 is constant"):
        sap(codes, factors * [1.0, 0.0, 1.0], continuous=True)
    with pytest.raises(ValueError, match="bin continuous factors first, or use a metric that takes continuous ones"):
        sap(codes, factors + 0.5)
