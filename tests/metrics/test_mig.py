import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import med, mig, modularity
from contrafact.metrics._information import discretize


def by_hand(codes, factors, num_bins):
    gaps = []
    for k in range(factors.shape[1]):
        shared = []
        for j in range(codes.shape[1]):
            edges = np.histogram(codes[:, j], num_bins)[1]
            shared.append(mutual_info_score(np.digitize(codes[:, j], edges[:-1]), factors[:, k]))
        shared.sort()
        gaps.append((shared[-1] - shared[-2]) / mutual_info_score(factors[:, k], factors[:, k]))
    return np.array(gaps)


@pytest.mark.parametrize("num_bins", [5, 20])
def test_equals_the_definition(num_bins):
    factors = draw_factors()
    codes = noisy_codes(factors)
    result = mig(codes, factors, num_bins=num_bins)
    np.testing.assert_allclose(result.per_factor, by_hand(codes, factors, num_bins), atol=1e-12)
    assert result.score == pytest.approx(result.per_factor.mean())
    assert result.protocol == f"mig_n400_bins{num_bins}"
    assert result.matrix.shape == (5, 3)


def test_one_code_competes_with_nothing():
    factors = draw_factors()
    with pytest.warns(MetricWarning, match="one code only"):
        result = mig(factors[:, [0]] * 1.0, factors[:, [0]])
    assert result.score == pytest.approx(1.0)


def test_a_second_copy_closes_the_gap():
    factors = draw_factors()
    assert mig(np.hstack([factors, factors]) * 1.0, factors).score == pytest.approx(0.0, abs=1e-12)


def test_constant_factor_is_named():
    factors = draw_factors()
    factors[:, 1] = 7
    with pytest.raises(
        ValueError, match=r"factor 1 is constant \(always 7\).*drop the column \(factors\[:, \[0, 2\]\]\)"
    ):
        mig(noisy_codes(factors), factors)


@pytest.mark.parametrize("metric", [mig, modularity, med])
def test_continuous_factors_are_binned_as_codes_are(metric):
    rng = np.random.default_rng(0)
    factors = rng.random((2000, 2))
    codes = factors * [3.0, -1.0] + 0.05 * rng.normal(size=factors.shape)
    result = metric(codes, factors, continuous=True, num_bins=10)
    assert result.score == metric(codes, discretize(factors, 10).T, num_bins=10).score
    assert result.score > 0.5
    assert result.protocol.endswith("_continuous") or metric is med
    with pytest.raises(ValueError, match="bin continuous factors first, or use a metric that takes continuous ones"):
        metric(codes, factors)
