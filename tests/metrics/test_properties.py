"""Properties that hold for all codes, searched for counterexamples by hypothesis."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrafact import metrics
from contrafact.metrics import clustering, infomec, irs, med, mig, modularity, sap, smoothness, total_correlation, udr
from contrafact.metrics.clustering import compare_partitions

QUICK = settings(max_examples=20, deadline=None, derandomize=True)
INFORMATION = (mig, modularity, med)
seeds = st.integers(0, 10_000)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@st.composite
def factors_of(draw, least=2, most=4, n=300):
    sizes = draw(st.lists(st.integers(2, 6), min_size=least, max_size=most))
    rng = np.random.default_rng(draw(seeds))
    factors = rng.integers(sizes, size=(n, len(sizes)))
    factors[:2] = [[0] * len(sizes), [size - 1 for size in sizes]]  # every factor varies
    return factors


@st.composite
def pairs(draw):
    factors = draw(factors_of())
    rng = np.random.default_rng(draw(seeds))
    width = draw(st.integers(2, 5))
    mix = rng.normal(size=(factors.shape[1], width)) * rng.integers(0, 2, size=(factors.shape[1], width))
    noise = draw(st.sampled_from([0.0, 0.1, 1.0, 10.0]))
    return factors @ mix + noise * rng.normal(size=(len(factors), width)), factors


@QUICK
@given(pairs())
def test_scores_stay_in_their_range(pair):
    codes, factors = pair
    for metric in INFORMATION:
        assert -1e-12 <= metric(codes, factors).score <= 1 + 1e-12
    assert irs(codes, factors).score <= 1 + 1e-12
    assert 0.0 <= sap(codes, factors, continuous=True).score <= 1.0
    assert total_correlation(codes).score >= 0.0
    information = mig(codes, factors)
    assert (information.matrix >= 0).all()
    assert (information.matrix <= information.entropy + 1e-9).all()


@QUICK
@given(factors_of(n=2000), seeds)  # of 300 rows, factors know enough of each other by chance for a MED of 0.72
def test_perfect_codes_score_near_one_in_any_order_sign_and_scale(factors, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(factors.shape[1])
    codes = factors[:, order] * rng.choice([-3.0, 0.5, 20.0], size=factors.shape[1]) + rng.normal(size=factors.shape[1])
    assert mig(codes, factors).score > 0.8
    assert modularity(codes, factors).score > 0.9
    assert med(codes, factors).score > 0.75
    assert irs(codes, factors).score == pytest.approx(1.0)
    assert sap(codes, factors, continuous=True).score > 0.8


@QUICK
@given(pairs(), seeds)
def test_order_changes_nothing(pair, seed):
    codes, factors = pair
    order = np.random.default_rng(seed).permutation(codes.shape[1])
    rows = np.random.default_rng(seed + 1).permutation(len(codes))
    for metric in (*INFORMATION, irs):
        whole = metric(codes, factors)
        assert metric(codes[:, order], factors).score == pytest.approx(whole.score, abs=1e-9)
        np.testing.assert_allclose(metric(codes[:, order], factors).matrix, whole.matrix[order], atol=1e-9)
        assert metric(codes[rows], factors[rows]).score == pytest.approx(whole.score, abs=1e-9)


@QUICK
@given(pairs(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_scale_by_powers_of_two_changes_nothing(pair, scale):
    codes, factors = pair
    for metric in (*INFORMATION, irs):
        assert metric(scale * codes, factors).score == pytest.approx(metric(codes, factors).score, abs=1e-9)


@QUICK
@given(pairs())
def test_renaming_factor_values_changes_no_information(pair):
    codes, factors = pair
    for metric in INFORMATION:
        assert metric(codes, 7 - 3 * factors).score == pytest.approx(metric(codes, factors).score, abs=1e-9)


@QUICK
@given(pairs())
def test_a_duplicate_of_every_code_closes_all_gaps(pair):
    codes, factors = pair
    twice = np.hstack([codes, codes])
    assert mig(twice, factors).score == pytest.approx(0.0, abs=1e-12)
    assert sap(twice, factors, continuous=True).score == pytest.approx(0.0, abs=1e-9)
    assert modularity(twice, factors).score == pytest.approx(modularity(codes, factors).score, abs=1e-9)


@QUICK
@given(pairs(), st.sampled_from([0.0, 0.7, -1e9, 1e-30]))
def test_constant_codes_carry_nothing(pair, value):
    codes, factors = pair
    padded = np.hstack([codes, np.full((len(codes), 1), value)])
    for metric in (mig, med):
        assert metric(padded, factors).score == pytest.approx(metric(codes, factors).score, abs=1e-9)
        assert (metric(padded, factors).matrix[-1] == 0.0).all()
    assert irs(padded, factors).score == pytest.approx(irs(codes, factors).score)
    live = codes[:, np.ptp(codes, axis=0) > 0]
    if live.shape[1] >= 2:
        assert total_correlation(padded).score == pytest.approx(total_correlation(codes).score, abs=1e-9)


@QUICK
@given(factors_of(n=600), seeds)
def test_noise_knows_little(factors, seed):
    codes = np.random.default_rng(seed).normal(size=(600, 3))
    assert mig(codes, factors).score < 0.1
    assert sap(codes, factors, continuous=True).score < 0.1
    # Uninformative codes have entries of chance size, none of which sticks out.
    assert med(codes, factors).score < 0.4


@QUICK
@given(seeds)
def test_rotation_of_independent_factors_lowers_the_scores(seed):
    factors = np.random.default_rng(seed).integers(6, size=(600, 2)) * 1.0
    turned = factors @ (np.array([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5)
    whole = factors.astype(int)
    for metric in INFORMATION:
        assert metric(turned, whole).score < metric(factors, whole).score - 0.2


@QUICK
@given(pairs())
def test_information_of_nearest_neighbours_stays_in_range(pair):
    codes, factors = pair
    scores = infomec(codes, factors).scores()
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in scores.values())


@QUICK
@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), seeds)
def test_partitions_compare_alike_both_ways_and_under_renaming(labels, seed):
    rng = np.random.default_rng(seed)
    found = rng.integers(4, size=len(labels))
    one, other = compare_partitions(found, labels), compare_partitions(labels, found)
    for name in ("accuracy", "nmi", "ari"):
        assert one[name] == pytest.approx(other[name])
    assert compare_partitions(9 - found, labels) == pytest.approx(one)
    assert one["accuracy"] <= one["purity"] + 1e-12


@QUICK
@given(seeds)
def test_smoothness_is_unchanged_by_rotation_and_between_its_limits(seed):
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(40, 4))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert smoothness(codes @ turn).score == pytest.approx(smoothness(codes).score)
    assert 0.0 < smoothness(codes).score <= 1.0


@QUICK
@given(seeds)
def test_models_agree_with_themselves_in_any_order(seed):
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(300, 3))
    alike = udr([codes, -codes[:, rng.permutation(3)]]).score
    turned = udr([codes, codes @ np.linalg.qr(rng.normal(size=(3, 3)))[0]]).score
    assert alike > 0.8
    assert turned <= alike + 1e-6


@QUICK
@given(factors_of(), seeds)
def test_clusters_of_separated_codes_are_found(factors, seed):
    labels = factors[:, 0]
    codes = 50.0 * np.eye(labels.max() + 1)[labels]
    assert clustering(codes, labels, num_starts=5, seed=seed).purity > 0.99


@pytest.mark.parametrize("metric", ["edi", "explicitness", "infomec", "linear_probe", "mig"])
def test_the_smallest_numbers_are_scored_as_others_are(metric):
    # Their squares are 0: a deviation computed from those would be, too.
    factors = np.random.default_rng(0).integers([3, 4], size=(300, 2))
    codes = factors + 0.1 * np.random.default_rng(1).normal(size=(300, 2))
    usual, tiny = (getattr(metrics, metric)(scale * codes, factors).scores() for scale in (1.0, 2.0**-1000))
    for name, score in usual.items():
        assert tiny[name] == pytest.approx(score, abs=1e-3)
