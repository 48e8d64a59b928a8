import numpy as np
import pytest

from contrafact.contract.samples import Counter, Flags
from contrafact.core.encoding import draw_fixed_factor
from contrafact.metrics import Codes, beta_vae_score
from contrafact.metrics.beta_vae_score import _votes, from_votes


def test_votes_equal_encoding_every_draw():
    flags = Flags()
    mix = np.random.default_rng(0).normal(size=(3, 4))
    points, held = _votes(Codes(Counter(mix), flags), 20, 8, np.random.default_rng(1))
    held_again, factors = draw_fixed_factor(flags, 20, 8, 2, np.random.default_rng(1))
    np.testing.assert_array_equal(held, held_again)
    for vote in range(20):
        one, two = factors[vote].copy()
        two[:, held[vote]] = one[:, held[vote]]
        encode = Counter(mix)
        expected = np.abs(encode(flags.images(one)) - encode(flags.images(two))).mean(axis=0)
        np.testing.assert_allclose(points[vote], expected, atol=1e-12)


def test_draws_are_uniform():
    held, factors = draw_fixed_factor(Flags(), 3000, 4, 2, np.random.default_rng(0))
    assert np.bincount(held).min() > 900
    for k, size in enumerate(Flags.factor_sizes):
        share = np.bincount(factors[..., k].ravel(), minlength=size) / factors[..., k].size
        np.testing.assert_allclose(share, 1 / size, atol=0.02)


def test_perfect_and_useless_codes():
    counter = Counter()
    perfect = beta_vae_score(counter, Flags(), num_train=200, num_test=100)
    assert perfect.score > 0.97
    assert perfect.num_encoded == len(counter.seen) <= len(Flags())
    useless = beta_vae_score(Counter(np.zeros((3, 2))), Flags(), num_train=200, num_test=300)
    assert useless.score < 0.5
    assert perfect.protocol == "beta_vae_votes200_test100_logistic_C1_batch64"


def test_same_seed_same_score_and_shared_codes_cost_nothing():
    flags = Flags()
    codes = Codes(Counter(np.random.default_rng(0).normal(size=(3, 2))), flags)
    first = beta_vae_score(codes, flags, num_train=60, num_test=60, seed=3)
    second = beta_vae_score(codes, flags, num_train=60, num_test=60, seed=3)
    assert first.scores() == second.scores()
    assert second.num_encoded == 0


def test_refusals():
    class OneFactor(Flags):
        factor_names, factor_sizes = ("only",), (4,)

    with pytest.raises(ValueError, match="flags has one factor; telling factors apart needs at least two"):
        beta_vae_score(Counter(), OneFactor())
    with pytest.raises(ValueError, match="num_train must be a whole number of at least 1, got 0"):
        beta_vae_score(Counter(), Flags(), num_train=0)
    with pytest.raises(ValueError, match="all votes hold factor 1 fixed"):
        from_votes(np.zeros((3, 2)), np.ones(3, dtype=int), np.zeros((3, 2)), np.ones(3, dtype=int))
