import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import _bins
from contrafact.metrics._bins import MAX_BINS, bin_codes
from contrafact.metrics._boosting import boosted_classifiers, boosted_regressors, determination


def by_sklearn(codes, labels, codes_test, labels_test):
    model = GradientBoostingClassifier(random_state=0).fit(codes, labels)
    return (
        model.feature_importances_,
        np.mean(model.predict(codes) == labels),
        np.mean(model.predict(codes_test) == labels_test),
    )


@pytest.mark.parametrize("column", [0, 2])  # four values, and two: multinomial and binomial deviance
def test_equals_scikit_learn_where_every_value_has_its_bin(column):
    factors, test_factors = draw_factors(200), draw_factors(150, seed=5)
    codes, test = noisy_codes(factors), noisy_codes(test_factors, seed=1)
    importance, train, held_out = boosted_classifiers(
        codes, factors[:, [column]], test, test_factors[:, [column]], seed=0
    )
    theirs = by_sklearn(codes, factors[:, column], test, test_factors[:, column])
    np.testing.assert_allclose(importance[:, 0], theirs[0], atol=0.012)
    assert train[0] == pytest.approx(theirs[1], abs=0.01)
    assert held_out[0] == pytest.approx(theirs[2], abs=0.03)


def test_a_single_split_is_exact():
    # One informative binary code: every tree splits it at the same place, the other code is never used.
    labels = np.array([0, 0, 1, 1, 2, 2] * 10)
    codes = np.stack([labels * 1.0, np.ones(60)], axis=1)
    importance, train, test = boosted_classifiers(codes, labels[:, None], codes, labels[:, None], seed=0)
    assert importance[:, 0].tolist() == [1.0, 0.0]
    assert train[0] == test[0] == 1.0


def test_many_points_stay_close_to_scikit_learn():
    factors = draw_factors(1500, (3, 2))
    codes = noisy_codes(factors, extra=3, noise=1.0)
    importance, _, _ = boosted_classifiers(codes, factors, codes[:100], factors[:100], seed=0)
    for k in range(2):
        theirs = GradientBoostingClassifier(random_state=0).fit(codes, factors[:, k]).feature_importances_
        np.testing.assert_allclose(importance[:, k], theirs, atol=0.02)


def test_equal_codes_share_the_importance():
    factors = draw_factors(200)
    codes = noisy_codes(factors, extra=0)
    importance, _, _ = boosted_classifiers(
        np.hstack([codes, -codes[:, [0]]]), factors, np.hstack([codes, -codes[:, [0]]]), factors, seed=0
    )
    assert importance[0, 0] == pytest.approx(importance[3, 0])


@pytest.mark.parametrize("sizes", [(4, 3, 2), (2,)])
def test_searching_values_and_bins_of_one_value_is_the_same(monkeypatch, sizes):
    factors = draw_factors(220, sizes)
    codes = np.hstack([noisy_codes(factors), np.round(noisy_codes(factors, seed=4)), np.full((220, 1), 0.3)])
    results = []
    for points in (0, 2048):
        monkeypatch.setattr(_bins, "EXACT_POINTS", points)
        results.append(boosted_classifiers(codes, factors, codes, factors, seed=1))
    for binned, exact in zip(*results, strict=True):
        np.testing.assert_array_equal(binned, exact)


def test_few_points_come_as_close_as_another_seed():
    factors = draw_factors(700, (3, 2))
    codes = noisy_codes(factors, extra=4, noise=1.5)
    importance, train, _ = boosted_classifiers(codes, factors[:, :1], codes[:9], factors[:9, :1], seed=0)
    model = GradientBoostingClassifier(random_state=0).fit(codes, factors[:, 0])
    np.testing.assert_allclose(importance[:, 0], model.feature_importances_, atol=0.004)
    assert train[0] == pytest.approx(model.score(codes, factors[:, 0]), abs=0.005)


def test_threads_do_not_change_the_result(monkeypatch):
    factors = draw_factors(200)
    codes = noisy_codes(factors)
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        results.append(boosted_classifiers(codes, factors, codes, factors, seed=3))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_unseen_test_values_count_as_errors():
    labels = np.array([0, 1] * 50)
    importance, _, test = boosted_classifiers(
        labels[:, None] * 1.0, labels[:, None], np.ones((10, 1)), np.full((10, 1), 5), 0
    )
    assert importance[0, 0] == 1.0
    assert test[0] == 0.0


@pytest.mark.parametrize("n", [3, 100, 5000])
def test_bins_partition_the_sorted_points(n):
    rng = np.random.default_rng(0)
    codes = np.stack([rng.normal(size=n), rng.integers(3, size=n), np.zeros(n)], axis=1)
    binned = bin_codes(codes)
    for j in range(3):
        used = binned.num_bins_J[j]
        assert used == min(MAX_BINS, len(np.unique(codes[:, j]))) or n > MAX_BINS
        edges = binned.bin_start_JB[j, : used + 1]
        assert edges[0] == 0
        assert edges[-1] == n
        assert (np.diff(edges) > 0).all()
        values = codes[binned.order_JN[j], j]
        for b in range(used):
            members = binned.order_JN[j, edges[b] : edges[b + 1]]
            assert (binned.bins_JN[j, members] == b).all()
            assert binned.groups_JN[j, members].max() == binned.last_group_JB[j, b]
            if b:
                assert values[edges[b]] > values[edges[b] - 1]
    assert binned.num_bins_J[2] == 1


def test_end_bins_are_finest():
    sizes = np.diff(bin_codes(np.random.default_rng(0).normal(size=(20_000, 1))).bin_start_JB[0])
    assert sizes[0] == sizes[255] == 1
    assert sizes.max() < 150
    assert sizes.sum() == 20_000


def test_values_scikit_learn_cannot_tell_apart_share_a_group():
    codes = np.array([[0.0], [5e-8], [1.0], [1.0 + 5e-8]])
    assert bin_codes(codes).num_bins_J[0] == 2


def test_regressors_equal_scikit_learns():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(350, 2))
    codes = np.hstack([hidden, hidden**2, rng.normal(size=(350, 1))]) + 0.2 * rng.normal(size=(350, 5))
    fit, held_out = slice(0, 200), slice(200, 350)
    importance, train, test = boosted_regressors(codes[fit], hidden[fit], codes[held_out], hidden[held_out], seed=0)
    for k in range(2):
        model = GradientBoostingRegressor(random_state=0).fit(codes[fit], hidden[fit, k])
        np.testing.assert_allclose(importance[:, k], model.feature_importances_, atol=0.01)
        assert train[k] == pytest.approx(model.score(codes[fit], hidden[fit, k]), abs=0.005)
        assert test[k] == pytest.approx(model.score(codes[held_out], hidden[held_out, k]), abs=0.01)


def test_determination_is_not_below_zero():
    targets = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    assert determination(np.array([[9.0, 5.0], [9.0, 5.0], [9.0, 5.0]]), targets).tolist() == [0.0, 0.0]
    assert determination(targets * [1.0, 1.0], targets).tolist() == [1.0, 0.0]
