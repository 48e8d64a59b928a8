import itertools

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import snc_nk
from contrafact.metrics._network import fit_network, predict

FACTORS, FACTORS_TEST = draw_factors(330), draw_factors(150, seed=9)
CODES, CODES_TEST = noisy_codes(FACTORS), noisy_codes(FACTORS_TEST)
PAIR = (CODES, FACTORS, CODES_TEST, FACTORS_TEST)


def bin_of(value, code, num_bins):
    """Number of the bin of equally many training points that a value falls into."""
    ordered = sorted(code)
    lower = [ordered[int(i * len(code) / num_bins)] for i in range(1, num_bins)]
    return sum(edge <= value for edge in lower)


def test_each_code_is_cut_into_as_many_bins_as_the_factor_has_values_and_named_by_the_best_permutation():
    sizes = [4, 3, 2]
    information = np.array(
        [
            [mutual_info_score([bin_of(v, code, sizes[k]) for v in code], FACTORS[:, k]) for k in range(3)]
            for code in CODES.T
        ]
    )
    given = max(itertools.permutations(range(5), 3), key=lambda js: sum(information[j, k] for k, j in enumerate(js)))
    result = snc_nk(*PAIR, epochs=1)
    np.testing.assert_allclose(result.matrix, information, atol=1e-12)
    assert result.pairs.tolist() == list(given)
    for k, j in enumerate(given):
        train = [bin_of(v, CODES[:, j], sizes[k]) for v in CODES[:, j]]
        test = [bin_of(v, CODES[:, j], sizes[k]) for v in CODES_TEST[:, j]]
        names = max(
            itertools.permutations(range(sizes[k])),
            key=lambda names: sum(names[b] == v for b, v in zip(train, FACTORS[:, k], strict=True)),
        )
        right = [names[b] == v for b, v in zip(test, FACTORS_TEST[:, k], strict=True)]
        assert result.per_factor[k] == pytest.approx(np.mean(right))
    assert result.scores() == {"snc": pytest.approx(result.per_factor.mean()), "nk": result.nk}


def test_knockout_is_what_a_network_loses():
    result = snc_nk(*PAIR, epochs=4, seed=3)
    scaler = StandardScaler().fit(CODES)
    train, test = scaler.transform(CODES), scaler.transform(CODES_TEST)
    for k, j in enumerate(result.pairs):
        right = []
        for columns in (np.arange(5), np.delete(np.arange(5), j)):
            model = MLPClassifier((256,), batch_size=64, learning_rate_init=1e-2, max_iter=4, random_state=3)
            model.fit(train[:, columns], FACTORS[:, k])
            right.append(np.mean(model.predict(test[:, columns]) == FACTORS_TEST[:, k]))
        assert result.full[k] == pytest.approx(right[0])
        assert result.knockout[k] == pytest.approx(right[0] - right[1])


def test_a_copy_makes_up_for_what_is_knocked_out():
    factors = draw_factors(900)
    alone, twice = (snc_nk(codes, factors) for codes in (factors * 1.0, np.hstack([factors, factors]) * 1.0))
    assert alone.full.min() == 1.0
    chance = np.mean([np.bincount(column).max() / 900 for column in factors.T])
    assert alone.nk == pytest.approx(1 - chance, abs=0.06)
    assert twice.nk == pytest.approx(0.0, abs=0.02)
    assert twice.score == alone.score > 0.8


def test_codes_that_run_out_and_values_that_are_new():
    with pytest.warns(MetricWarning, match="1 codes for 3 factors: what finds no code left is guessed"):
        result = snc_nk(CODES[:, :1], FACTORS, CODES_TEST[:, :1], FACTORS_TEST, epochs=1)
    assert sorted(result.pairs)[:2] == [-1, -1]
    for k in np.flatnonzero(result.pairs < 0):
        assert result.per_factor[k] == np.mean(FACTORS_TEST[:, k] == np.bincount(FACTORS[:, k]).argmax())
        assert result.knockout[k] == 0.0
    with pytest.warns(MetricWarning, match="never seen in training"):
        assert snc_nk(CODES, FACTORS, CODES_TEST, FACTORS_TEST + 10, epochs=1).score == 0.0


def test_refusals():
    with pytest.raises(ValueError, match="epochs must be"):
        snc_nk(*PAIR, epochs=0)
    with pytest.raises(ValueError, match="factor 1 is constant"):
        snc_nk(CODES, FACTORS * [1, 0, 1])


@pytest.mark.parametrize("large_batch", [512, 1])
@pytest.mark.parametrize(("num_values", "epochs"), [(2, 3), (4, 40)])
def test_networks_are_those_of_scikit_learn(num_values, epochs, large_batch):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(300) % num_values)
    codes = np.c_[labels + rng.normal(size=300), rng.normal(size=(300, 2))]
    theirs = MLPClassifier((16,), batch_size=70, learning_rate_init=1e-2, max_iter=epochs, tol=0.05, random_state=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contrafact.metrics._network.TOLERANCE", 0.05)  # so that training stops early
        patch.setattr("contrafact.metrics._network.LARGE_BATCH", large_batch)
        patch.setattr("contrafact.metrics._network.BLOCK", 32)
        ours = fit_network(codes, labels, 16, 70, 1e-2, epochs, 5)
    theirs.fit(codes, labels)
    assert (theirs.n_iter_ < epochs) == (epochs == 40)
    # Sums run in another order: rounding, which training may enlarge.
    np.testing.assert_allclose(ours.first_JH, theirs.coefs_[0], atol=1e-8)
    np.testing.assert_allclose(ours.last_CH.T, theirs.coefs_[1], atol=1e-8)
    np.testing.assert_array_equal(predict(ours, codes), theirs.predict(codes))
