import numpy as np
import pytest

from contrafact.contract.samples import Counter, Flags
from contrafact.core.encoding import draw_fixed_factor
from contrafact.core.metric import MetricWarning
from contrafact.metrics import Codes, factor_vae_score
from contrafact.metrics.factor_vae_score import _held, _variances, from_votes


def test_votes_equal_encoding_every_draw():
    flags = Flags()
    mix = np.random.default_rng(0).normal(size=(3, 4))
    factors, held = _held(flags, 20, 8, np.random.default_rng(1))
    variances = _variances(Codes(Counter(mix), flags), factors)
    held_again, factors = draw_fixed_factor(flags, 20, 8, 1, np.random.default_rng(1))
    np.testing.assert_array_equal(held, held_again)
    for vote in range(20):
        rows = factors[vote, 0].copy()
        rows[:, held[vote]] = rows[0, held[vote]]
        expected = np.var(Counter(mix)(flags.images(rows)), axis=0, ddof=1)
        np.testing.assert_allclose(variances[vote], expected, atol=1e-12)


def majority_by_hand(train, labels, test, labels_test, spread, threshold):
    active = [j for j in range(len(spread)) if spread[j] > 0 and spread[j] ** 0.5 >= threshold]
    votes = {}
    for row, label in zip(train, labels, strict=True):
        code = min(active, key=lambda j: row[j] / spread[j])
        votes.setdefault(code, []).append(label)
    name = {code: max(sorted(set(seen)), key=seen.count) for code, seen in votes.items()}
    hits = [
        name.get(min(active, key=lambda j: row[j] / spread[j]), 0) == label
        for row, label in zip(test, labels_test, strict=True)
    ]
    return np.mean(hits)


def test_equals_the_majority_vote():
    rng = np.random.default_rng(0)
    labels, labels_test = rng.integers(3, size=60), rng.integers(3, size=40)
    spread = np.array([1.0, 2.0, 0.5, 0.001])
    train, test = rng.random((60, 4)), rng.random((40, 4))
    for rows, names in ((train, labels), (test, labels_test)):
        rows[np.arange(len(rows)), names] *= 0.2
    result = from_votes(train, labels, test, labels_test, spread)
    assert result.score == pytest.approx(majority_by_hand(train, labels, test, labels_test, spread, 0.05))
    assert result.num_active == 3
    assert result.matrix.sum() == 60
    assert (result.matrix[3] == 0).all()


def test_perfect_and_dead_codes():
    perfect = factor_vae_score(Counter(), Flags(), num_train=200, num_test=100, num_variance=500)
    assert perfect.score == 1.0
    np.testing.assert_array_equal(perfect.matrix, np.diag(np.diag(perfect.matrix)))
    with pytest.warns(MetricWarning, match=r"no code has a deviation of 0\.05 or more"):
        dead = factor_vae_score(Counter(np.zeros((3, 2))), Flags(), num_train=50, num_test=50, num_variance=50)
    assert (dead.score, dead.num_active) == (0.0, 0)


def test_dead_codes_never_win_without_a_threshold():
    mix = np.hstack([np.eye(3), np.zeros((3, 1))])
    result = factor_vae_score(Counter(mix), Flags(), num_train=100, num_test=50, num_variance=200, prune_below=0.0)
    assert result.num_active == 3
    assert result.score == 1.0


def test_same_seed_same_score():
    mix = np.random.default_rng(0).normal(size=(3, 3))
    runs = [factor_vae_score(Counter(mix), Flags(), num_train=50, num_test=50, seed=s) for s in (1, 1, 2)]
    assert runs[0].scores() == runs[1].scores()
    assert not np.array_equal(runs[0].matrix, runs[2].matrix)


def test_refusals():
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1: a variance needs two points"):
        factor_vae_score(Counter(), Flags(), batch_size=1)
    rows = np.ones((4, 3))
    with pytest.raises(ValueError, match="variances have 3 codes, variances_test 3 and global_variances 2"):
        from_votes(rows, np.zeros(4, dtype=int), rows, np.zeros(4, dtype=int), np.ones(2))
