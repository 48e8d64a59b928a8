from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from contrafact.core.metric import MetricWarning
from contrafact.metrics import dcimig, infomec, jemmig, med, mig, mig_sup, modularity, rmig, total_correlation
from contrafact.metrics._debias import informations


def clean(n, seed=0):
    """Codes that are the factors, with a little noise."""
    rng = np.random.default_rng(seed)
    factors = rng.integers([3, 5, 10], size=(n, 3))
    return factors + 0.05 * rng.normal(size=factors.shape), factors


def test_miller_madow_is_a_count_of_cells():
    # Bins 0 0 1 1 2 2, values 0 1 0 1 1 1: 3 bins, 2 values, 5 cells of 6 points.
    bins, values = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 1, 1])
    information, entropy = informations(bins[None], values[:, None], "miller-madow")
    plain = mutual_info_score(bins, values)
    assert information[0, 0] == pytest.approx(max(0.0, plain + (2 + 1 - 4) / 12))
    shares = np.array([2, 4]) / 6
    assert entropy[0] == pytest.approx(-(shares * np.log(shares)).sum() + 1 / 12)


def test_shuffle_takes_off_the_mean_over_every_order_of_the_rows():
    bins, values = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 0])
    information, entropy = informations(bins[None], values[:, None], "shuffle")
    chance = np.mean([mutual_info_score(bins, values[list(order)]) for order in permutations(range(6))])
    plain = mutual_info_score(bins, values)
    assert information[0, 0] == pytest.approx(max(0.0, (plain - chance) / (entropy[0] - chance) * entropy[0]))
    assert plain > chance  # so that the test is of the formula, not of the floor


def test_shuffle_is_scikit_learns_adjustment_where_both_entropies_are_equal():
    rng = np.random.default_rng(0)
    values = np.repeat(np.arange(4), 25)
    bins = np.where(rng.random(100) < 0.5, values, rng.permutation(values))
    # Equal marginals make the normaliser the entropy of either.
    bins[np.argsort(bins, kind="stable")] = np.sort(values)
    information, entropy = informations(bins[None], values[:, None], "shuffle")
    theirs = adjusted_mutual_info_score(values, bins)
    assert information[0, 0] / entropy[0] == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("bias", ["miller-madow", "shuffle"])
def test_clean_codes_of_few_points_come_near_their_limit(bias):
    for metric, limit in ((mig, 1.0), (med, 1.0), (modularity, 1.0), (mig_sup, 1.0), (dcimig, 1.0), (rmig, 1.0)):
        plain = np.mean([metric(*clean(300, seed)).score for seed in range(5)])
        mended = np.mean([metric(*clean(300, seed), bias=bias).score for seed in range(5)])
        assert limit - mended < 0.5 * (limit - plain)


@pytest.mark.parametrize("bias", ["miller-madow", "shuffle"])
def test_full_knowledge_stays_the_entropy_and_constants_stay_0(bias):
    values = np.arange(40) % 4
    information, entropy = informations(np.stack([values, 0 * values]), np.stack([values, 0 * values], axis=1), bias)
    assert information[0, 0] == pytest.approx(entropy[0])
    assert (information[1] == 0).all()
    assert (information[:, 1] == 0).all()


def test_a_correction_shows_in_the_protocol_and_an_unknown_one_is_refused():
    codes, factors = clean(200)
    bins = np.round(codes)
    assert mig(codes, factors, bias="shuffle").protocol == "mig_n200_bins20_shuffle"
    assert modularity(codes, factors, bias="miller-madow").protocol == "modularity_n200_bins20_miller-madow"
    assert med(codes, factors, bias="shuffle").protocol == "med_n200_bins20_top1_shuffle"
    assert infomec(bins, factors, discrete=True, bias="shuffle").protocol.startswith("infomec_n200_discrete_shuffle_")
    assert rmig(codes, factors, bias="shuffle").protocol == "rmig_n200_bins100_shuffle"
    assert total_correlation(codes, bias="shuffle").protocol == "total_correlation_n200_shuffle"
    for metric in (mig, mig_sup, dcimig, rmig, jemmig, modularity, med, infomec):
        with pytest.raises(ValueError, match="bias must be 'none', 'miller-madow' or 'shuffle', got 'jackknife'"):
            metric(codes, factors, bias="jackknife")
    with pytest.raises(ValueError, match="bias='shuffle' corrects counts; it needs discrete=True"):
        infomec(codes, factors, bias="shuffle")


@pytest.mark.parametrize("bias", ["miller-madow", "shuffle"])
def test_codes_that_do_not_depend_on_each_other_know_little_of_each_other(bias):
    codes = np.random.default_rng(0).normal(size=(300, 3))
    with pytest.warns(MetricWarning, match="300 points are few for mutual information"):
        plain = total_correlation(codes)
    mended = total_correlation(codes, bias=bias)
    np.testing.assert_allclose(mended.matrix, mended.matrix.T, atol=1e-12)
    assert mended.mutual_information < 0.6 * plain.mutual_information  # 19 * 19 / 600 nats are chance
    assert (mended.score, mended.wasserstein) == (plain.score, plain.wasserstein)


def test_jemmig_is_its_formula_of_corrected_parts():
    codes, factors = clean(200)
    bins = np.floor(20 * (codes - codes.min(axis=0)) / np.ptp(codes, axis=0)).clip(max=19).astype(int)
    for bias in ("miller-madow", "shuffle"):
        information, entropy = informations(bins.T, factors, bias)
        expected = []
        for k in range(3):
            second, best = np.sort(information[:, k])[-2:]
            shares = np.unique(bins[:, information[:, k].argmax()], return_counts=True)[1] / 200
            of_code = -(shares * np.log(shares)).sum() + (len(shares) - 1) / 400 * (bias == "miller-madow")
            expected.append(of_code + entropy[k] - best - (best - second))
        np.testing.assert_allclose(jemmig(codes, factors, num_bins=20, bias=bias).jemmig, expected, atol=1e-9)


def test_counts_are_not_corrected_where_codes_are_distributions():
    codes, factors = clean(200)
    for metric in (rmig, jemmig):
        with pytest.raises(ValueError, match="bias='shuffle' corrects counts of codes in bins; leave it out, or leave"):
            metric(codes, factors, deviations=np.ones_like(codes), bias="shuffle")
