import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import CATALOG, dci, dci_es
from contrafact.metrics.dci_es import CAPACITIES, area_explicitness


def test_area_in_closed_form():
    x = np.linspace(2.0, 5.0, 301)
    curves = np.stack([np.full(301, 0.4), (5.0 - x) / 3.0, 0.5 * (5.0 - x) / 3.0 + 0.2], axis=1)
    np.testing.assert_allclose(area_explicitness(x, curves), [1.0, 0.0, 0.5], atol=1e-9)


def test_probe_losses_equal_separate_ridge_fits():
    from sklearn.linear_model import Ridge

    from contrafact.metrics._linear import standardize
    from contrafact.metrics.dci_es import RIDGE, _probe_losses

    factors, test_factors = draw_factors(300, (4, 3)), draw_factors(200, (4, 3), seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    sizes, losses = _probe_losses(codes, factors * 1.0, test, test_factors * 1.0, seed=0)
    assert sizes.tolist() == [4 + extra for extra in CAPACITIES]
    train, held_out = standardize(codes, test)
    model = Ridge(alpha=RIDGE * 300).fit(train, factors[:, 0])
    guess = ((test_factors[:, 0] - factors[:, 0].mean()) ** 2).mean()
    expected = ((model.predict(held_out) - test_factors[:, 0]) ** 2).mean() / guess
    assert losses[0, 0] == pytest.approx(expected, rel=1e-6)
    assert (np.diff(losses, axis=0) <= 0).all()


def test_rows_by_the_block_give_the_same_losses(monkeypatch):
    module = CATALOG.module("dci_es")
    factors, test_factors = draw_factors(300, (4, 3)), draw_factors(200, (4, 3), seed=9)
    given = (noisy_codes(factors) + 5.0, factors * 1.0, noisy_codes(test_factors) + 5.0, test_factors * 1.0, 0)
    _, whole = module._probe_losses(*given)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 37)
    np.testing.assert_allclose(module._probe_losses(*given)[1], whole, rtol=1e-9)


def test_linear_codes_are_more_explicit_than_bent_ones():
    factors = draw_factors(1500, (2, 2))
    rng = np.random.default_rng(0)
    straight = factors + 0.05 * rng.normal(size=factors.shape)
    # XOR of the factors with a coin that is also there: linearly hidden, present all the same.
    coin = rng.integers(2, size=(1500, 1))
    bent = np.hstack([np.abs(factors - coin), coin]) + 0.05 * rng.normal(size=(1500, 3))
    plain, hidden = dci_es(straight, factors), dci_es(bent, factors)
    assert plain.explicitness > 0.95
    assert hidden.explicitness < plain.explicitness - 0.2
    assert hidden.informativeness > 0.95
    assert (plain.size, hidden.size) == (1.0, 2 / 3)


def test_d_c_and_i_are_dcis():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    ours, base = dci_es(codes, factors), dci(codes, factors)
    assert ours.disentanglement == base.disentanglement
    assert ours.completeness == base.completeness
    assert ours.informativeness == base.informativeness
    assert ours.size == 3 / 5


def test_continuous_factors_are_predicted_by_value():
    rng = np.random.default_rng(0)
    factors = rng.random((500, 2)) ** 3  # ranks of these would be far from linear in the codes
    codes = factors * [2.0, -1.0] + 0.001 * rng.normal(size=factors.shape)
    result, base = dci_es(codes, factors, continuous=True), dci(codes, factors, continuous=True)
    assert (result.disentanglement, result.informativeness) == (base.disentanglement, base.informativeness)
    assert result.explicitness > 0.99
    assert result.losses[0].max() < 0.01
    assert result.protocol == "dci_es_continuous_n334_test166_split_fourier1024"


def test_order_of_factor_values_counts_and_gaps_do_not():
    factors = draw_factors(300)
    codes = noisy_codes(factors)
    assert dci_es(codes, 7 * factors - 3).explicitness == pytest.approx(dci_es(codes, factors).explicitness)
