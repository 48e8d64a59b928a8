import itertools

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.cross_decomposition import CCA

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import mcc
from contrafact.metrics.mcc import canonical_maps, match

RNG = np.random.default_rng(0)
FACTORS = RNG.normal(size=(400, 3))
CODES = FACTORS[:, [2, 0, 1]] * [1.0, -2.0, 0.5] + 0.6 * RNG.normal(size=(400, 3))


def best_permutation(scores):
    """Mean of the best one-to-one matching, by trying all."""
    num_codes, num_factors = scores.shape
    tried = itertools.permutations(range(num_codes), num_factors)
    return max(np.mean([scores[j, k] for k, j in enumerate(order)]) for order in tried)


@pytest.mark.parametrize(("kind", "one"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_it_is_the_best_matching_of_pairwise_correlations(kind, one):
    codes = np.hstack([CODES, RNG.normal(size=(400, 2))])
    result = mcc(codes, FACTORS, correlation=kind)
    expected = np.array([[abs(one(code, factor)[0]) for factor in FACTORS.T] for code in codes.T])
    np.testing.assert_allclose(result.matrix, expected, atol=1e-12)
    assert result.score == pytest.approx(best_permutation(expected))
    assert result.pairs.tolist() == [1, 2, 0]
    np.testing.assert_allclose(result.per_factor, [expected[1, 0], expected[2, 1], expected[0, 2]])


def test_ties_share_their_rank():
    factors = draw_factors(300)
    codes = np.round(noisy_codes(factors))
    expected = np.array([[abs(spearmanr(code, factor)[0]) for factor in factors.T] for code in codes.T])
    np.testing.assert_allclose(mcc(codes, factors, correlation="spearman").matrix, expected, atol=1e-12)


def test_pairs_are_matched_on_one_part_and_scored_on_the_other():
    rng = np.random.default_rng(2)
    factors_test = rng.normal(size=(200, 2))
    result = mcc(CODES, FACTORS[:, :2], np.hstack([factors_test, factors_test[:, :1]]), factors_test)
    # Codes 1 and 2 are the factors' in training; among the test points code 1 is factor 1, and code 2 factor 0.
    chance = abs(np.corrcoef(factors_test.T)[0, 1])
    assert result.pairs.tolist() == [1, 2]
    assert result.score == pytest.approx(chance)
    assert (result.num_train, result.num_test) == (400, 200)


def test_the_weak_one_forgives_any_linear_map_and_is_the_mean_canonical_correlation():
    turned = FACTORS @ RNG.normal(size=(3, 3)) + 5.0
    assert mcc(turned, FACTORS, alignment="weak").score == pytest.approx(1.0)
    assert mcc(turned, FACTORS).score < 0.95
    mixed = CODES @ RNG.normal(size=(3, 3))
    result = mcc(mixed, FACTORS, mixed, FACTORS, alignment="weak")
    ours, theirs = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(mixed, FACTORS).transform(mixed, FACTORS)
    expected = [abs(np.corrcoef(ours[:, p], theirs[:, p])[0, 1]) for p in range(3)]
    assert result.score == pytest.approx(np.mean(expected), abs=1e-6)
    assert result.per_factor is None
    assert mcc(mixed, FACTORS, alignment="weak").protocol == "mcc_weak_pearson_n267_test133_split"


def test_redundant_and_dead_codes_add_no_variate():
    padded = np.hstack([CODES, CODES @ np.ones((3, 1)), np.full((400, 1), 0.7)])
    left, right = canonical_maps(padded, FACTORS)
    assert (left.shape, right.shape) == ((5, 3), (3, 3))
    assert (left[4] == 0).all()
    for kind in ("strong", "weak"):
        alone = mcc(CODES, FACTORS, alignment=kind).score
        assert mcc(np.hstack([CODES, np.zeros((400, 2))]), FACTORS, alignment=kind).score == pytest.approx(alone)


def test_rank_and_dependence_see_through_maps_of_one_code():
    bent = np.exp(2.0 * FACTORS)
    assert mcc(bent, FACTORS).score < 0.7
    assert mcc(bent, FACTORS, correlation="spearman").score == pytest.approx(1.0)
    folded = FACTORS**2
    assert mcc(folded, FACTORS, correlation="spearman").score < 0.2
    assert mcc(folded, FACTORS, correlation="rdc").score > 0.95


def test_dependence_of_a_normal_pair_is_near_its_correlation():
    # The maximal correlation of two jointly normal variables is |their correlation|.
    rng = np.random.default_rng(1)
    first = rng.normal(size=20_000)
    second = 0.6 * first + 0.8 * rng.normal(size=20_000)
    result = mcc(first[:, None], second[:, None], correlation="rdc", seed=3)
    assert result.score == pytest.approx(0.6, abs=0.02)
    assert result.score == mcc(first[:, None], second[:, None], correlation="rdc", seed=3).score
    assert result.seed == 3
    noise = mcc(rng.normal(size=(20_000, 1)), second[:, None], correlation="rdc")
    assert noise.score < 0.06


def test_factors_without_a_code_count_nothing():
    with pytest.warns(MetricWarning, match="2 codes for 3 factors: those that find no code left count 0"):
        result = mcc(FACTORS[:, :2], FACTORS)
    assert result.score == pytest.approx(2 / 3)
    assert result.pairs.tolist() == [0, 1, -1]
    with pytest.warns(MetricWarning):
        assert mcc(FACTORS[:, :2], FACTORS, alignment="weak").score == pytest.approx(2 / 3)
    assert match(np.zeros((0, 2))).tolist() == [-1, -1]


def test_refusals():
    with pytest.raises(ValueError, match="correlation must be 'pearson', 'spearman' or 'rdc', got 'kendall'"):
        mcc(CODES, FACTORS, correlation="kendall")
    with pytest.raises(ValueError, match="alignment must be 'strong' or 'weak', got 'affine'"):
        mcc(CODES, FACTORS, alignment="affine")
    with pytest.raises(ValueError, match="factor 1 is constant"):
        mcc(CODES, FACTORS * [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="codes_test came without factors_test"):
        mcc(CODES, FACTORS, CODES)
