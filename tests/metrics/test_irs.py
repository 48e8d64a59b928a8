import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import irs


def by_hand(codes, factors, quantile):
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    matrix = np.zeros((codes.shape[1], factors.shape[1]))
    for j, k in np.ndindex(matrix.shape):
        spreads = []
        for value in np.unique(factors[:, k]):
            group = codes[factors[:, k] == value, j]
            spreads.append(np.percentile(np.abs(group - group.mean()), 100 * quantile))
        matrix[j, k] = 1 - np.mean(spreads) / largest[j]
    return matrix, np.average(matrix.max(axis=1), weights=largest)


@pytest.mark.parametrize("quantile", [0.99, 1.0, 0.5])
def test_equals_the_definition(quantile):
    factors = draw_factors()
    codes = noisy_codes(factors)
    result = irs(codes, factors, quantile=quantile)
    matrix, score = by_hand(codes, factors, quantile)
    np.testing.assert_allclose(result.matrix, matrix, atol=1e-12)
    assert result.score == pytest.approx(score)
    np.testing.assert_array_equal(result.parents, matrix.argmax(axis=1))


def test_dead_codes_are_dropped():
    factors = draw_factors()
    codes = noisy_codes(factors)
    result = irs(np.hstack([codes, np.full((400, 1), 0.7)]), factors)
    assert result.score == pytest.approx(irs(codes, factors).score)
    assert result.num_active == 5
    assert result.parents[5] == -1
    dead = irs(np.full((400, 2), 0.7), factors)
    assert (dead.score, dead.num_active) == (0.0, 0)


def test_continuous_and_constant_factors():
    rng = np.random.default_rng(0)
    factors = rng.random((2000, 2))
    assert irs(factors * [1.0, -3.0], factors).score > 0.9
    with pytest.warns(MetricWarning, match=r"constant factors \[1\] hold no code"):
        irs(factors, factors * [1.0, 0.0])


def test_quantile_range():
    factors = draw_factors(50)
    with pytest.raises(ValueError, match=r"quantile must lie in \[0, 1\], got 99"):
        irs(noisy_codes(factors), factors, quantile=99)
