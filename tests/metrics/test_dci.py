import numpy as np
import pytest
from scipy.stats import entropy

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import dci
from contrafact.metrics._importance import concentration, weighted_concentration


def test_concentrations_equal_the_reference_formula():
    mass = np.random.default_rng(0).random((5, 3))
    theirs = 1.0 - entropy(mass.T + 1e-11, base=3)
    np.testing.assert_allclose(concentration(mass), theirs, atol=1e-12)
    score, _ = weighted_concentration(mass)
    assert score == pytest.approx((theirs * mass.sum(axis=1) / mass.sum()).sum())


def test_unit_formulas():
    # The reference gives 0.9999999992652909 for the identity and rounding noise for zeros.
    assert weighted_concentration(np.eye(6))[0] == pytest.approx(0.9999999992652909, abs=1e-12)
    assert weighted_concentration(np.zeros((6, 6)))[0] == 0.0
    assert weighted_concentration(np.ones((6, 6)))[0] == pytest.approx(0.0, abs=1e-12)


def test_fast_and_exact_agree():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    fast = dci(codes[:200], factors[:200], codes[200:], factors[200:])
    exact = dci(codes[:200], factors[:200], codes[200:], factors[200:], estimator="exact")
    assert fast.disentanglement == pytest.approx(exact.disentanglement, abs=0.01)
    assert fast.completeness == pytest.approx(exact.completeness, abs=0.01)
    assert fast.informativeness == pytest.approx(exact.informativeness, abs=0.02)
    np.testing.assert_allclose(fast.matrix, exact.matrix, atol=0.03)
    assert fast.protocol == "dci_n200_test100_fast"


def test_perfect_and_rotated():
    factors = draw_factors(600, (4, 4))
    perfect = dci(factors * [1.0, -2.0], factors)
    mixed = dci(factors @ np.array([[1.0, 1.0], [1.0, -1.0]]), factors)
    assert perfect.disentanglement == pytest.approx(1.0, abs=1e-6)
    assert perfect.completeness == pytest.approx(1.0, abs=1e-6)
    assert mixed.disentanglement < 0.1


def test_monotone_rescaling_changes_no_importance():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    matrix = dci(codes, factors).matrix
    np.testing.assert_array_equal(dci(codes * [2.0, 8.0, 0.5, 1.0, 4.0], factors).matrix, matrix)
    np.testing.assert_array_equal(dci(np.sinh(codes), factors).matrix, matrix)  # trees see the order alone


def test_dead_codes_have_no_weight():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    codes[:, 4] = 0.7
    result = dci(codes, factors)
    assert (result.matrix[4] == 0).all()
    assert result.disentanglement_per_code[4] == 0.0
    dead = dci(np.full((300, 3), 0.7), factors)
    assert dead.disentanglement == dead.completeness == 0.0
    assert dead.informativeness > 0.2  # the commonest value is guessed


def test_without_a_held_out_pair_a_third_is_cut_off():
    factors = draw_factors(300)
    result = dci(noisy_codes(factors), factors)
    assert (result.num_train, result.num_test) == (200, 100)
    assert result.protocol == "dci_n200_test100_split_fast"


def test_one_code_and_one_factor_are_one_by_definition():
    factors = draw_factors(200)
    codes = noisy_codes(factors)
    with pytest.warns(MetricWarning, match="one factor only: disentanglement is 1"):
        assert dci(codes, factors[:, [0]]).disentanglement == 1.0
    with pytest.warns(MetricWarning, match="one code only: completeness is 1"):
        assert dci(codes[:, [0]], factors).completeness == 1.0


def test_refusals():
    factors = draw_factors(100)
    codes = noisy_codes(factors)
    with pytest.raises(ValueError, match="estimator must be 'fast' or 'exact', got 'lightgbm'"):
        dci(codes, factors, estimator="lightgbm")
    with pytest.raises(ValueError, match="codes_test came without factors_test"):
        dci(codes, factors, codes)
    with pytest.raises(ValueError, match="factors_test came without codes_test"):
        dci(codes, factors, None, factors)
    with pytest.raises(ValueError, match="codes has 5 columns but codes_test has 4"):
        dci(codes, factors, codes[:, :4], factors)
    with pytest.raises(ValueError, match="factors has 3 columns but factors_test has 2"):
        dci(codes, factors, codes, factors[:, :2])
    with pytest.raises(ValueError, match="need at least 3 rows to hold out a third, got 2"):
        dci(codes[:2], np.array([[0, 0, 0], [1, 1, 1]]))


def test_continuous_factors():
    rng = np.random.default_rng(0)
    factors = rng.random((400, 2))
    codes = np.hstack([factors * [3.0, -1.0], rng.normal(size=(400, 1))])
    fast, exact = dci(codes, factors, continuous=True), dci(codes, factors, continuous=True, estimator="exact")
    np.testing.assert_allclose(fast.matrix, exact.matrix, atol=0.01)
    assert fast.disentanglement == pytest.approx(exact.disentanglement, abs=0.01)
    assert fast.informativeness == pytest.approx(exact.informativeness, abs=0.01)
    assert fast.disentanglement > 0.95
    assert fast.protocol == "dci_continuous_n267_test133_split_fast"
    with pytest.raises(ValueError, match="factor 1 is constant"):
        dci(codes, factors * [1.0, 0.0], continuous=True)
