import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import explicitness
from contrafact.metrics._linear import standardize
from contrafact.metrics.explicitness import area_under_roc


def test_area_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(5, size=100) / 5, rng.random(100) < 0.4
    assert area_under_roc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


@pytest.mark.parametrize(
    ("solver", "classifier"),
    [
        ("one_vs_rest", lambda c: OneVsRestClassifier(LogisticRegression(C=c, tol=1e-8, max_iter=5_000))),
        ("multinomial", lambda c: LogisticRegression(C=c, tol=1e-8, max_iter=5_000)),
    ],
)
@pytest.mark.parametrize("inverse_penalty", [1.0, 1e10])
def test_equals_the_protocol(solver, classifier, inverse_penalty):
    factors, test_factors = draw_factors(300), draw_factors(200, seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    result = explicitness(codes, factors, test, test_factors, solver=solver, inverse_penalty=inverse_penalty)
    assert result.protocol == f"explicitness_n300_test200_{solver}_C{inverse_penalty:g}"
    mean, deviation = codes.mean(axis=0), codes.std(axis=0)
    for k in range(2):  # scikit-learn's area wants one column for two values
        model = classifier(inverse_penalty).fit((codes - mean) / deviation, factors[:, k])
        theirs = roc_auc_score(
            np.eye(factors[:, k].max() + 1)[test_factors[:, k]], model.predict_proba((test - mean) / deviation)
        )
        assert result.per_factor[k] == pytest.approx(theirs, abs=1e-6)


def test_missing_values_are_left_out_and_named():
    factors, test_factors = draw_factors(300), draw_factors(200, seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    full = explicitness(codes, factors, test, test_factors)
    keep = test_factors[:, 0] != 2
    with pytest.warns(MetricWarning, match="factor 0: 1 of its values occur on one side"):
        less = explicitness(codes, factors, test[keep], test_factors[keep])
    assert np.isfinite(less.score)
    assert less.per_factor[0] == pytest.approx(full.per_factor[0], abs=0.1)
    with pytest.warns(MetricWarning, match="factor 0: 1 of its values"):
        explicitness(codes[factors[:, 0] != 2], factors[factors[:, 0] != 2], test, test_factors)


def test_dead_codes_are_harmless():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    padded = np.hstack([codes, np.full((300, 1), 0.7)])
    assert explicitness(padded, factors).score == pytest.approx(explicitness(codes, factors).score, abs=1e-6)
    assert explicitness(np.full((300, 2), 0.7), factors).score == pytest.approx(0.5)


def test_standardized_codes():
    codes = np.random.default_rng(0).normal(3.0, 2.0, size=(50, 2))
    codes[:, 1] = 5.0
    train, test = standardize(codes, codes[:5])
    assert train[:, 0].mean() == pytest.approx(0.0)
    assert train[:, 0].std() == pytest.approx(1.0)
    assert (train[:, 1] == 0).all()
    np.testing.assert_array_equal(test, train[:5])


def test_one_model_per_value_cannot_see_the_middle_of_an_ordered_factor():
    rng = np.random.default_rng(0)
    factors = rng.integers([15, 2], size=(3000, 2))
    codes = factors + 0.1 * rng.normal(size=factors.shape)
    published, multinomial = explicitness(codes, factors), explicitness(codes, factors, solver="multinomial")
    assert multinomial.per_factor[0] > 0.99
    assert published.per_factor[0] < 0.95
    # Two values are one question, whoever asks.
    assert published.per_factor[1] == multinomial.per_factor[1] == 1.0


def test_unknown_solvers_and_penalties_are_refused():
    factors = draw_factors(60)
    with pytest.raises(ValueError, match="solver must be 'one_vs_rest' or 'multinomial', got 'ovr'"):
        explicitness(noisy_codes(factors), factors, solver="ovr")
    with pytest.raises(ValueError, match=r"inverse_penalty must be positive \(numpy.inf for no penalty\), got 0"):
        explicitness(noisy_codes(factors), factors, inverse_penalty=0.0)
