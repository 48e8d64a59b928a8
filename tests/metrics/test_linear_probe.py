import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import linear_probe
from contrafact.metrics.linear_probe import top_accuracy


def test_equals_scikit_learn():
    factors, test_factors = draw_factors(300), draw_factors(200, seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    result = linear_probe(codes, factors, test, test_factors)
    scaler = StandardScaler().fit(codes)
    for k in range(3):
        model = LogisticRegression().fit(scaler.transform(codes), factors[:, k])
        assert result.per_factor[k] == pytest.approx(model.score(scaler.transform(test), test_factors[:, k]))
    assert (result.per_factor_top5 == 1.0).all()  # no factor has more than five values


def test_top_five_by_hand():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((50, 8)), rng.integers(8, size=50)
    classes = np.arange(8)
    expected = np.mean([labels[i] in np.argsort(scores[i])[-5:] for i in range(50)])
    assert top_accuracy(scores, classes, labels, 5) == pytest.approx(expected)
    assert top_accuracy(scores, classes, labels + 100, 5) == 0.0


def test_sgd_comes_close_to_logistic_and_repeats():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    sgd = linear_probe(codes, factors, solver="sgd", epochs=30)
    assert sgd.score == pytest.approx(linear_probe(codes, factors).score, abs=0.05)
    assert sgd.scores() == linear_probe(codes, factors, solver="sgd", epochs=30).scores()
    assert sgd.protocol == "linear_probe_n200_test100_split_sgd30"


def test_refusals():
    factors = draw_factors(50)
    with pytest.raises(ValueError, match="solver must be 'logistic' or 'sgd', got 'adam'"):
        linear_probe(noisy_codes(factors), factors, solver="adam")
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, got 0"):
        linear_probe(noisy_codes(factors), factors, solver="sgd", epochs=0)
