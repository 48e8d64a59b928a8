import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from contrafact.contract.samples import Counter, Flags
from contrafact.metrics import Codes, fairness
from contrafact.metrics.fairness import total_variations

SIZES = Flags.factor_sizes
SMALL = {"num_train": 150, "num_test": 20}


def test_golden_total_variations_are_the_authors():
    # google-research/disentanglement_lib (86a644d), fairness.inter_group_fairness, mean and maximum of this table.
    counts = np.array([[30, 5, 12], [10, 40, 20], [10, 5, 18]])
    found = total_variations(counts)
    assert found.mean() == pytest.approx(0.25333334, abs=1e-6)
    assert found.max() == pytest.approx(0.33333334, abs=1e-6)


def by_loops(mix, seed):
    """The paper's Section 4, one prediction at a time, on the same draws."""
    flags, encoder, rng = Flags(), Counter(mix), np.random.default_rng(seed)
    train = flags.sample(150, rng)
    drawn = [flags.sample(20, rng) for _ in SIZES]
    codes = encoder(flags.images(train))
    mean = np.zeros((3, 3))
    for target in range(3):
        model = GradientBoostingClassifier(random_state=np.random.RandomState(seed + target)).fit(
            codes, train[:, target]
        )
        for sensitive in range(3):
            if target == sensitive:
                continue
            groups = []
            for value in range(SIZES[sensitive]):
                factors = drawn[sensitive].copy()
                factors[:, sensitive] = value
                predicted = model.predict(encoder(flags.images(factors))).tolist()
                groups.append([predicted.count(c) / len(predicted) for c in range(SIZES[target])])
            whole = [np.mean([group[c] for group in groups]) for c in range(SIZES[target])]
            mean[target, sensitive] = np.mean(
                [sum(abs(group[c] - whole[c]) for c in range(SIZES[target])) / 2 for group in groups]
            )
    return mean


# The first code is the sum of two factors: 1/4 + 1/2 and 3/4 + 0 look alike.
MIX = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])


def test_it_is_the_variation_of_predictions_under_interventions():
    result = fairness(Counter(MIX), Flags(), estimator="exact", seed=2, **SMALL)
    expected = by_loops(MIX, 2)
    np.testing.assert_allclose(result.pairs, expected, atol=1e-12)
    assert result.score == pytest.approx(expected[~np.eye(3, dtype=bool)].mean())
    np.testing.assert_allclose(result.per_factor, expected.sum(axis=1) / 2, atol=1e-12)
    assert result.pairs[0, 2] > 0.05
    assert (result.largest >= result.pairs).all()


def test_the_fast_trees_find_the_same():
    exact, fast = (fairness(Counter(MIX), Flags(), estimator=kind, **SMALL) for kind in ("exact", "fast"))
    np.testing.assert_allclose(fast.pairs, exact.pairs, atol=0.03)


def test_perfect_codes_are_fair_and_mixed_ones_are_not():
    assert fairness(Counter(), Flags(), **SMALL).score == pytest.approx(0.0, abs=1e-12)
    # One code for all factors: predictions of the first say much of the others.
    assert fairness(Counter(np.ones((3, 1))), Flags(), **SMALL).score > 0.1
    # Codes that never change: every prediction is the commonest value, which is unfair to no one.
    assert fairness(Counter(np.zeros((3, 2))), Flags(), **SMALL).score == 0.0


def test_every_image_is_encoded_once():
    encoder = Counter(MIX)
    fairness(encoder, Flags(), num_train=500, num_test=50)
    assert len(encoder.seen) == len(set(encoder.seen)) <= 24
    shared = Codes(encoder, flags := Flags())
    assert fairness(shared, flags, **SMALL).score == fairness(Counter(MIX), Flags(), **SMALL).score


def test_refusals():
    with pytest.raises(ValueError, match="estimator must be 'fast' or 'exact', got 'linear'"):
        fairness(Counter(), Flags(), estimator="linear")

    class Alone(Flags):
        factor_names, factor_sizes = ("first",), (4,)

    with pytest.raises(ValueError, match="the dataset has only one"):
        fairness(Counter(), Alone())
    with pytest.raises(ValueError, match="factor 0 is constant"):
        fairness(Counter(), Flags(), num_train=1)
