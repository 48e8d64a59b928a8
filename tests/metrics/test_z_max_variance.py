import numpy as np
import pytest

from contrafact.contract.samples import Counter, Flags
from contrafact.core.encoding import draw_fixed_factor
from contrafact.core.metric import MetricWarning
from contrafact.metrics import factor_vae_score, z_max_variance

FEW = {"num_train": 60, "num_test": 40, "num_variance": 80, "batch_size": 6}
MIX = np.array([[1.0, 0.4, 0.0, 0.3], [0.3, 1.0, 0.2, 0.0], [0.0, 0.3, 0.5, 0.01]])


def by_loops(mix, seed, num_train, num_test, num_variance, batch_size):
    """One factor varies in each vote; the code that varies most, for its size, votes for it."""
    flags, encoder, rng = Flags(), Counter(mix), np.random.default_rng(seed)
    spread = np.var(encoder(flags.images(flags.sample(num_variance, rng))), axis=0, ddof=1)
    active = [j for j in range(len(spread)) if spread[j] ** 0.5 >= 0.05]

    def votes(count):
        varied, drawn = draw_fixed_factor(flags, count, batch_size, 1, rng)
        for vote in range(count):
            rows = np.array([drawn[vote, 0, 0]] * batch_size)
            rows[:, varied[vote]] = drawn[vote, 0, :, varied[vote]]
            inside = np.var(encoder(flags.images(rows)), axis=0, ddof=1)
            yield max(active, key=lambda j: inside[j] / spread[j]), varied[vote]

    seen = {}
    for code, factor in votes(num_train):
        seen.setdefault(code, []).append(factor)
    name = {code: max(sorted(set(factors)), key=factors.count) for code, factors in seen.items()}
    return np.mean([name.get(code, 0) == factor for code, factor in votes(num_test)])


@pytest.mark.parametrize("seed", [0, 5])
def test_it_is_a_majority_vote_of_the_code_that_varies_most(seed):
    result = z_max_variance(Counter(MIX), Flags(), seed=seed, **FEW)
    assert result.score == pytest.approx(by_loops(MIX, seed, **FEW))
    assert 0.3 < result.score <= 1.0
    assert result.matrix.sum() == 60
    assert result.protocol == "z_max_variance_votes60_test40_prune0.05_batch6"


def test_two_codes_of_one_factor_are_fair_and_two_factors_in_one_code_are_not():
    doubled = np.hstack([np.eye(3), np.eye(3)])
    assert z_max_variance(Counter(doubled), Flags(), **FEW).score > 0.9
    merged = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert z_max_variance(Counter(merged), Flags(), **FEW).score < 0.85


def test_noise_in_a_code_hides_a_factor_from_the_least_and_not_from_the_most():
    # Votes of one factor that varies leave every other code still; with one held fixed, all others move.
    mixed = np.array([[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.2, 0.2, 1.0]])
    assert (
        z_max_variance(Counter(mixed), Flags(), **FEW).score >= factor_vae_score(Counter(mixed), Flags(), **FEW).score
    )


def test_dead_codes_and_refusals():
    with pytest.warns(MetricWarning, match=r"no code has a deviation of 0\.05 or more"):
        assert z_max_variance(Counter(np.zeros((3, 2))), Flags(), **FEW).score == 0.0
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        z_max_variance(Counter(), Flags(), batch_size=1)
