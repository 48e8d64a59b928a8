"""The gaps of mutual information that came after MIG: MIG-sup, DCIMIG, RMIG, JEMMIG."""

import math
from collections import Counter

import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import dcimig, jemmig, mig, mig_sup, rmig

FACTORS = draw_factors(500, sizes=(4, 3, 5))
CODES = noisy_codes(FACTORS, extra=1)
ALL = (dcimig, jemmig, mig_sup, rmig)


def bins_of(code, num_bins):
    low, high = min(code), max(code)
    return [min(int((value - low) / (high - low) * num_bins), num_bins - 1) for value in code]


def entropy_of(labels):
    counts = Counter(labels)
    return -sum(c / len(labels) * math.log(c / len(labels)) for c in counts.values())


def tables(num_bins):
    """Information and joint entropy of every code and factor, counted one by one."""
    information, joint = np.zeros((4, 3)), np.zeros((4, 3))
    for j in range(4):
        bins = bins_of(CODES[:, j], num_bins)
        for k in range(3):
            values = FACTORS[:, k].tolist()
            joint[j, k] = entropy_of(list(zip(bins, values, strict=True)))
            information[j, k] = entropy_of(bins) + entropy_of(values) - joint[j, k]
    return information, joint, [entropy_of(FACTORS[:, k].tolist()) for k in range(3)]


def test_mig_sup_is_the_mean_gap_of_codes():
    information, _, entropies = tables(20)
    gaps = []
    for j in range(4):
        ordered = sorted(information[j, k] / entropies[k] for k in range(3))
        gaps.append(ordered[-1] - ordered[-2])
    result = mig_sup(CODES, FACTORS)
    np.testing.assert_allclose(result.per_code, gaps)
    assert result.score == pytest.approx(np.mean(gaps))
    padded = mig_sup(np.hstack([CODES, np.full((500, 2), 0.7)]), FACTORS)
    assert padded.score == pytest.approx(result.score)
    assert padded.per_code[4:].tolist() == [0.0, 0.0]


def test_dcimig_keeps_the_best_gap_of_each_factor():
    information, _, entropies = tables(20)
    best = [0.0, 0.0, 0.0]
    for j in range(4):
        ordered = sorted((information[j, k], k) for k in range(3))
        winner = ordered[-1][1]
        best[winner] = max(best[winner], ordered[-1][0] - ordered[-2][0])
    result = dcimig(CODES, FACTORS)
    assert result.score == pytest.approx(sum(best) / sum(entropies))
    np.testing.assert_allclose(result.per_factor, np.divide(best, entropies))


def test_jemmig_takes_the_joint_entropy_from_the_gap():
    information, joint, entropies = tables(30)
    scores = []
    for k in range(3):
        order = sorted(range(4), key=lambda j, k=k: information[j, k])
        left = joint[order[-1], k] - information[order[-1], k] + information[order[-2], k]
        scores.append(1 - left / (entropies[k] + math.log(30)))
    result = jemmig(CODES, FACTORS, num_bins=30)
    np.testing.assert_allclose(result.per_factor, scores)
    np.testing.assert_allclose(1 - result.jemmig / (np.array(entropies) + math.log(30)), scores)


def test_without_deviations_rmig_is_mig():
    assert rmig(CODES, FACTORS, num_bins=20).score == pytest.approx(mig(CODES, FACTORS).score)


def posteriors():
    """Means and deviations of six codes for factors of dSprites' sizes, some beyond -4 to 4, some very sharp."""
    rng, sizes = np.random.default_rng(11), (3, 6, 40, 32, 32)
    factors = np.column_stack([rng.integers(size, size=3000) for size in sizes])
    shape, scale, angle, x, y = ((factors + 0.5) / sizes).T
    means = [3 * x - 1.5, 2.6 * (4 * y - 2), 2 * scale - 1, np.sin(6 * angle), np.cos(6 * angle) + 0.3 * shape]
    means = np.column_stack([*means, 0.05 * rng.normal(size=3000)])
    same = np.ones(3000)
    deviations = np.column_stack([0.1 * same, 0.05 + 0.1 * scale, 0.3 * same, 0.2 * same, 0.2 * same, 1 - 0.05 * shape])
    deviations[:300, 0] = 1e-3
    return means, deviations, factors


def test_golden_posteriors_are_the_authors():
    # clarken92/DisentanglementMetrics (ada6b5e), 7a_interpretability_metrics_v2.py, in single precision.
    means, deviations, factors = posteriors()
    theirs = [0.009303903, 0.379194617, 0.017390357, 0.570707619, 0.809218287]
    np.testing.assert_allclose(rmig(means, factors, deviations=deviations).per_factor, theirs, atol=2e-6)
    theirs = 1 - np.array([0.799684984, 0.602319492, 0.718367399, 0.380424530, 0.243546829])
    np.testing.assert_allclose(jemmig(means, factors, deviations=deviations).per_factor, theirs, atol=2e-6)


def test_wide_posteriors_know_less():
    factors = draw_factors(2000, sizes=(4, 3))
    codes = factors - 1.5
    scores = [rmig(codes, factors, deviations=np.full(codes.shape, width)).score for width in (0.05, 0.5, 1.0, 5.0)]
    assert scores[0] == pytest.approx(1.0, abs=0.01)
    assert sorted(scores, reverse=True) == scores
    assert scores[-1] < 0.1
    assert rmig(codes, factors, deviations=np.full(codes.shape, 0.5)).protocol == "rmig_n2000_bins100_posterior"


@pytest.mark.parametrize("metric", ALL)
def test_perfect_codes_and_continuous_factors(metric):
    rng = np.random.default_rng(0)
    factors = rng.uniform(size=(20_000, 2))
    result = metric(factors * [1.0, -2.0], factors, num_bins=10, continuous=True)
    assert result.score > 0.98
    assert result.protocol.endswith("bins10_continuous")
    with pytest.raises(ValueError, match="factors must be whole numbers"):
        metric(factors, factors)


def test_one_code_or_one_factor_is_noted():
    for metric in (rmig, jemmig):
        with pytest.warns(MetricWarning, match="one code only"):
            metric(CODES[:, :1], FACTORS)
    for metric in (mig_sup, dcimig):
        with pytest.warns(MetricWarning, match="one factor only"):
            metric(CODES, FACTORS[:, :1])


def test_refusals_of_deviations():
    with pytest.raises(ValueError, match=r"deviations must have the codes' shape \(500, 4\), got \(500, 3\)"):
        rmig(CODES, FACTORS, deviations=np.ones((500, 3)))
    wrong = np.ones((500, 4))
    wrong[3, 2] = 0.0
    with pytest.raises(ValueError, match=r"deviations must be positive: row 3, column 2 is 0.0; pass the standard"):
        jemmig(CODES, FACTORS, deviations=wrong)
    with pytest.raises(ValueError, match="factor 1 is constant"):
        dcimig(CODES, FACTORS * [1, 0, 1])


@pytest.mark.parametrize("metric", [rmig, jemmig])
def test_deviations_follow_the_codes_that_are_active(metric):
    means, deviations, factors = posteriors()
    narrow = np.hstack([means, 1e-4 * np.random.default_rng(0).normal(size=(3000, 1))])
    wide = np.hstack([deviations, np.ones((3000, 1))])
    kept = metric(narrow, factors, deviations=wide, active=range(6))
    assert kept.score == metric(means, factors, deviations=deviations).score
    assert kept.protocol.endswith("_posterior_active6of7")
