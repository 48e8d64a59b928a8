import numpy as np
import pytest

from contrafact.metrics import _resampling, compare, compare_runs
from contrafact.metrics._evaluate import call_static
from contrafact.metrics._resampling import bootstrap
from tests.metrics.samples import draw_factors, noisy_codes

FACTORS = draw_factors(300)


def test_limits_cover_the_truth_about_as_often_as_they_say():
    # The squared correlation of a known pair of Gaussians is known.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        hidden = rng.normal(size=(200, 1))
        codes = 0.8 * hidden + 0.6 * rng.normal(size=(200, 1))
        data = {"codes": codes, "factors": hidden}
        settings = {"continuous": True}
        result = call_static("sap", data, settings, 0)
        low, high = bootstrap("sap", data, result, settings, 60, seed=1)["score"]
        hits += low <= 0.64 <= high
    assert hits >= 32


def test_equal_codes_do_not_differ():
    codes = noisy_codes(FACTORS)
    result = compare(codes, codes, FACTORS, metrics="mig,modularity", num_resamples=20)
    assert [c.score for c in result] == ["mig.score", "modularity.score"]
    for comparison in result:
        assert (comparison.difference, comparison.low, comparison.high, comparison.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_chance_differences_are_rarely_significant():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(20):
        factors = rng.integers(4, size=(200, 2))
        one, two = (factors + rng.normal(size=factors.shape) for _ in range(2))
        p_values.append(compare(one, two, factors, metrics="mig", num_resamples=40)[0].p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.2
    assert np.mean(p_values) > 0.25


def test_held_out_rows_are_resampled_too():
    codes = noisy_codes(FACTORS)
    result = compare(
        codes, codes + 1e-9, FACTORS, codes[:99], codes[:99] + 1e-9, FACTORS[:99], metrics="sap", num_resamples=3
    )
    assert result[0].difference == pytest.approx(0.0, abs=1e-6)


def test_refusals():
    codes = noisy_codes(FACTORS)
    with pytest.raises(ValueError, match="both codes must be of the same images, got 300 and 200 rows"):
        compare(codes, codes[:200], FACTORS)
    with pytest.raises(ValueError, match="num_resamples must be at least 2"):
        compare(codes, codes, FACTORS, num_resamples=1)


def test_a_factor_too_rare_to_resample_is_an_error_not_a_crash():
    rare = np.zeros((3, 1), dtype=int)
    rare[0] = 1
    codes = np.arange(6.0).reshape(3, 2)
    # A resample of three rows misses one of the two values in a third of the cases, 20 times in a row hardly ever.
    assert compare(codes, codes, rare, metrics="mig", num_resamples=50)[0].p_value == 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_resampling, "MOST_REDRAWS", 1)
        with pytest.raises(ValueError, match="1 resamples of 3 rows left a factor constant; use more points"):
            compare(codes, codes, rare, metrics="mig", num_resamples=50)


def test_sign_flips_by_counting():
    assert compare_runs([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]) == pytest.approx(2 / 8)
    assert compare_runs([0.0, 0.0], [1.0, -1.0]) == 1.0
    many = compare_runs(np.zeros(20), np.ones(20), num_flips=1000)
    assert many == pytest.approx(1 / 1000)
    with pytest.raises(ValueError, match="expected two finite vectors of the same length"):
        compare_runs([1.0], [2.0])
