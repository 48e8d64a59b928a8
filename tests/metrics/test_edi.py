import math

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import edi
from tests.metrics.golden_cases import load

FACTORS = draw_factors(600)
CODES = noisy_codes(FACTORS)


def loop(information, known, entropies):
    """The three scores, entry by entry, as the paper's program counts them."""
    num_codes, num_factors = information.shape
    shares = [[information[j][k] / known[k] for k in range(num_factors)] for j in range(num_codes)]

    def exclusive(values):
        best = max(range(len(values)), key=lambda place: values[place])
        others = [value for place, value in enumerate(values) if place != best]
        return values[best] - math.sqrt(sum(value**2 for value in others) / len(others)), best

    given = [0.0] * num_factors
    for row in shares:
        value, factor = exclusive(row)
        given[factor] += value
    modularity = sum(min(value, 1.0) for value in given) / num_factors
    compactness = sum(exclusive([row[k] for row in shares])[0] for k in range(num_factors)) / num_factors
    explicitness = sum(min(known[k], entropies[k]) / entropies[k] for k in range(num_factors)) / num_factors
    return modularity, compactness, explicitness


@pytest.mark.parametrize("whole", ["max", "sum", "network"])
def test_equals_the_count_entry_by_entry(whole):
    result = edi(CODES, FACTORS, whole=whole)
    information = np.stack(
        [mutual_info_classif(CODES, FACTORS[:, k], n_neighbors=3, random_state=0) for k in range(3)], axis=1
    )
    shares = [np.bincount(column) / len(column) for column in FACTORS.T]
    entropies = [-sum(p * math.log(p) for p in share) for share in shares]
    if whole == "network":
        known = [share * entropy for share, entropy in zip(result.known, entropies, strict=True)]
        assert all(known[k] >= information[:, k].max() - 1e-9 for k in range(3))
    else:
        known = information.max(axis=0) if whole == "max" else information.sum(axis=0)
    np.testing.assert_allclose(
        [result.modularity, result.compactness, result.explicitness],
        loop(information, known, entropies),
        atol=1e-9 if whole != "network" else 1e-6,
    )
    assert result.score == result.modularity
    np.testing.assert_allclose(result.matrix * known, information, atol=1e-9)


# julka01/InnVariant (147c3ce), disentangling/metrics/edi.py, its estimator told that factors are discrete, which its
# flag does not: modularity, compactness and explicitness of the recorded codes.
PROGRAM = {
    ("main10_500", "max"): (0.9556616331097797, 0.8413948865923774, 0.2584190722508289),
    ("main10_500", "sum"): (0.5484350757694062, 0.4403110463322713, 0.4928469285433184),
    ("main10_2k", "max"): (0.9260352607828901, 0.8433247610492148, 0.24716868778109438),
    ("main10_2k", "sum"): (0.5375940700019117, 0.44239543877105075, 0.46596902855169525),
}


@pytest.mark.parametrize(("case", "whole"), PROGRAM)
def test_equals_the_authors_program(case, whole):
    data = load(case)
    result = edi(data["codes_train"], data["factors_train"], whole=whole)
    np.testing.assert_allclose(list(result.scores().values()), PROGRAM[case, whole], atol=1e-8)


def test_kinds_of_codes():
    rng = np.random.default_rng(0)
    factors = rng.integers(4, size=(3_000, 2))
    noise = 0.01 * rng.normal(size=(3_000, 2))
    clean = edi(factors + noise, factors)
    assert min(clean.scores().values()) > 0.97
    mixed = edi(np.c_[factors[:, 0] + 4 * factors[:, 1] + noise[:, 0], rng.normal(size=3_000)], factors)
    assert mixed.explicitness > 0.9
    assert mixed.modularity < 0.3
    twice = edi(np.c_[factors + noise, factors - noise], factors)
    assert twice.modularity > 0.97
    assert twice.compactness < 0.5
    nothing = edi(rng.normal(size=(3_000, 3)), factors)
    assert nothing.explicitness < 0.05


def test_networks_know_together_what_no_code_knows_alone():
    rng = np.random.default_rng(0)
    halves = rng.integers(2, size=(4_000, 2))
    factors = np.c_[halves[:, 0] ^ halves[:, 1], rng.integers(3, size=4_000)]  # the first is in two codes together only
    codes = np.c_[halves * 2.0 - 1.0, factors[:, 1]] + 0.1 * rng.normal(size=(4_000, 3))
    assert edi(codes, factors, whole="max").known[0] < 0.05
    assert edi(codes, factors).known[0] > 0.9


def test_seed_repeats_and_single_columns_are_said():
    assert edi(CODES, FACTORS).scores() == edi(CODES, FACTORS).scores()
    with pytest.warns(MetricWarning, match="one factor only: nothing competes"):
        assert edi(FACTORS[:, :1] * 1.0, FACTORS[:, :1]).score == pytest.approx(1.0, abs=0.01)
    with pytest.warns(MetricWarning, match="one code only: nothing competes"):
        edi(CODES[:, :1], FACTORS)
    dead = edi(np.full((600, 2), 3.0), FACTORS)
    assert dead.modularity == dead.compactness == 0.0


def test_small_sets_of_rare_values():
    factors = np.array([0, 0, 0, 1, 2, 3, 0, 0])[:, None]
    assert 0.0 <= edi(np.arange(8.0)[:, None] + np.arange(2), factors).explicitness <= 1.0


def test_refusals():
    with pytest.raises(ValueError, match="whole must be 'network', 'max' or 'sum', got 'mine'"):
        edi(CODES, FACTORS, whole="mine")
    with pytest.raises(ValueError, match="neighbours must be a whole number of at least 1, got 0"):
        edi(CODES, FACTORS, neighbours=0)
    with pytest.raises(ValueError, match="factor 1 is constant"):
        edi(CODES, FACTORS * [1, 0, 1])
