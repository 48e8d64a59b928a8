import random

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from contrafact.contract.samples import Counter, Flags
from contrafact.core.metric import MetricWarning
from contrafact.metrics import beta_vae_score, evaluate, factor_vae_score
from contrafact.metrics._shared_rows import SharedRows
from contrafact.metrics.beta_vae_score import from_codes as beta_from_codes
from contrafact.metrics.factor_vae_score import from_codes as factor_from_codes

VOTES = {"batch_size": 8, "num_train": 1500, "num_test": 1500}
SAMPLING_ERROR = 4 * (2 * 0.25 / VOTES["num_test"]) ** 0.5  # four deviations of a difference of two shares


def rows_people_have(n=300, seed=0):
    """Rows of unequal frequencies, not a grid, and codes that know their factors in part."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.choice(4, size=n, p=[0.5, 0.3, 0.15, 0.05]), rng.integers(3, size=n)], axis=1)
    return factors + rng.normal(size=factors.shape) * [0.4, 0.7], factors


def draw_sharing(factors, k, chance):
    """A row, and the rows that have its value of factor ``k``."""
    first = chance.randrange(len(factors))
    return first, np.flatnonzero(factors[:, k] == factors[first, k]).tolist()


def factor_votes_by_hand(codes, factors, num_votes, batch_size, chance):
    votes = []
    for _ in range(num_votes):
        k = chance.randrange(factors.shape[1])
        _, same = draw_sharing(factors, k, chance)
        batch = codes[[chance.choice(same) for _ in range(batch_size)]]
        ratios = [np.var(batch[:, j], ddof=1) / np.var(codes[:, j], ddof=1) for j in range(codes.shape[1])]
        votes.append((int(np.argmin(ratios)), k))
    return votes


def test_factor_vae_equals_a_loop_from_the_paper():
    codes, factors = rows_people_have()
    chance = random.Random(1)
    train = factor_votes_by_hand(codes, factors, VOTES["num_train"], VOTES["batch_size"], chance)
    test = factor_votes_by_hand(codes, factors, VOTES["num_test"], VOTES["batch_size"], chance)
    majority = {
        code: max(range(2), key=lambda k, code=code: sum(vote == (code, k) for vote in train)) for code in range(2)
    }
    by_hand = np.mean([majority[code] == k for code, k in test])
    ours = factor_from_codes(codes, factors, **VOTES)
    assert 0.6 < by_hand < 0.99  # so that agreement means something
    assert ours.score == pytest.approx(by_hand, abs=SAMPLING_ERROR)
    assert ours.protocol == "factor_vae_rows300_votes1500_test1500_prune0.05_batch8"


def test_beta_vae_equals_a_loop_from_the_paper():
    codes, factors = rows_people_have()
    chance = random.Random(2)

    def votes(number):
        points, labels = [], []
        for _ in range(number):
            k = chance.randrange(factors.shape[1])
            differences = []
            for _ in range(VOTES["batch_size"]):
                first, same = draw_sharing(factors, k, chance)
                differences.append(np.abs(codes[first] - codes[chance.choice(same)]))
            points.append(np.mean(differences, axis=0))
            labels.append(k)
        return np.array(points), np.array(labels)

    model = LogisticRegression().fit(*votes(VOTES["num_train"]))
    by_hand = model.score(*votes(VOTES["num_test"]))
    ours = beta_from_codes(codes, factors, **VOTES)
    assert 0.6 < by_hand < 0.99
    assert ours.score == pytest.approx(by_hand, abs=SAMPLING_ERROR)
    assert ours.protocol == "beta_vae_rows300_votes1500_test1500_logistic_C1_batch8"


@pytest.mark.parametrize(
    ("of_grid", "of_rows", "batch_size"),
    [(factor_vae_score, factor_from_codes, 4), (beta_vae_score, beta_from_codes, 1)],
)
def test_on_a_full_grid_both_forms_agree(of_grid, of_rows, batch_size):
    mix = np.array([[1.0, 0.6, 0.2], [0.3, 1.0, 0.5], [0.4, 0.1, 1.0]])
    settings = {**VOTES, "batch_size": batch_size}
    flags = Flags()
    grid = flags.factors_of(np.arange(len(flags)))
    codes = Counter(mix)(flags.images(grid))
    on_grid, on_rows = of_grid(Counter(mix), flags, **settings), of_rows(codes, grid, **settings)
    assert 0.34 < on_grid.score < 0.97
    assert on_rows.score == pytest.approx(on_grid.score, abs=SAMPLING_ERROR)


def test_rows_of_a_value_are_drawn_alike_and_share_it():
    factors = np.array([[0, 7], [0, 8], [0, 7], [1, 8], [1, 9], [2, 9]])
    shared = SharedRows(factors)
    rng = np.random.default_rng(0)
    held = rng.integers(2, size=6000)
    first = shared.draw(held, rng)
    second = shared.partners(first, held, rng)
    assert (factors[first, held] == factors[second, held]).all()
    assert 5 not in first[held == 0]  # value 2 is a single row
    counts = np.bincount(second[(held == 0) & (first < 3)], minlength=3)
    share = counts / counts.sum()
    assert np.abs(share - 1 / 3).max() < 4 * (2 / 9 / counts.sum()) ** 0.5


def test_values_of_few_rows_are_noted():
    codes, factors = rows_people_have(60)
    factors[0, 1] = 9
    with pytest.warns(MetricWarning, match="^beta_vae_score: factor 1: 1 values of a single row were never held fixed"):
        beta_from_codes(codes, factors, num_train=50, num_test=50)
    with pytest.warns(MetricWarning, match=r"^factor_vae_score: factor 0: \d values have fewer than 64 rows"):
        factor_from_codes(codes, factors, num_train=50, num_test=50)


@pytest.mark.parametrize("metric", [beta_from_codes, factor_from_codes])
def test_ids_are_refused(metric):
    ids = np.arange(100_000)
    with pytest.raises(ValueError, match="column 1 takes 100000 values"):
        metric(np.zeros((len(ids), 2)), np.stack([ids % 3, ids], axis=1))


def test_what_cannot_vote_is_refused():
    codes, factors = rows_people_have(50)
    for metric in (beta_from_codes, factor_from_codes):
        with pytest.raises(ValueError, match="factor 0 has another value in every row"):
            metric(codes, np.stack([np.arange(50), factors[:, 1]], axis=1))
        with pytest.raises(ValueError, match="factor 1 is constant"):
            metric(codes, factors * [1, 0])
    with pytest.raises(ValueError, match="there is one factor"):
        beta_from_codes(codes, factors[:, :1])
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        factor_from_codes(codes, factors, batch_size=1)


@pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")
def test_evaluate_takes_both_and_continuous_factors():
    rng = np.random.default_rng(0)
    hidden = rng.random((400, 2))
    settings = {name: {"num_train": 300, "num_test": 300} for name in ("beta_vae_score", "factor_vae_score")}
    found = evaluate(
        hidden * [1.0, -3.0], hidden, metrics="beta_vae_score,factor_vae_score", settings=settings, continuous=True
    )
    assert min(found.scores().values()) > 0.95
    assert found.results["factor_vae_score"].protocol.startswith("factor_vae_rows400_")
