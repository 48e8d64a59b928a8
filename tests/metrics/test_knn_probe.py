import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import CATALOG, knn_probe


@pytest.mark.parametrize("neighbours", [1, 7, 400])
def test_many_points_are_searched_part_by_part_for_the_same_neighbours(neighbours, monkeypatch):
    factors, test_factors = draw_factors(300), draw_factors(200, seed=9)
    given = (noisy_codes(factors), factors, noisy_codes(test_factors), test_factors)
    whole = knn_probe(*given, neighbours=neighbours).per_factor
    for name, value in {"MANY": 2, "PART": 37, "BLOCK": 11, "CHUNK": 50}.items():
        monkeypatch.setattr(CATALOG.module("knn_probe"), name, value)
    np.testing.assert_array_equal(knn_probe(*given, neighbours=neighbours).per_factor, whole)


def test_neighbours_among_thousands_of_equal_codes(monkeypatch):
    # Of codes of four values, all within a value are equally near: any two hundred of them vote alike.
    factors = np.arange(2_000)[:, None] % 4
    codes = np.eye(4)[factors[:, 0]]
    monkeypatch.setattr(CATALOG.module("knn_probe"), "MANY", 2)
    assert knn_probe(codes, factors, codes[:300], factors[:300]).score == 1.0


def test_equals_the_vote_point_by_point():
    factors, test_factors = draw_factors(100), draw_factors(40, seed=9)
    codes, test = noisy_codes(factors), noisy_codes(test_factors)
    result = knn_probe(codes, factors, test, test_factors, neighbours=7, temperature=0.1)
    hits = np.zeros(3)
    for i in range(40):
        cosine = codes @ test[i] / (np.linalg.norm(codes, axis=1) * np.linalg.norm(test[i]))
        near = np.argsort(cosine)[-7:]
        for k in range(3):
            votes = {}
            for n in near:
                votes[factors[n, k]] = votes.get(factors[n, k], 0.0) + np.exp(cosine[n] / 0.1)
            hits[k] += max(votes, key=votes.get) == test_factors[i, k]
    np.testing.assert_allclose(result.per_factor, hits / 40)
    assert result.protocol == "knn_probe_n100_test40_k7_t0.1"


def test_small_sets_zero_rows_and_refusals():
    factors = draw_factors(30)
    codes = noisy_codes(factors)
    codes[0] = 0.0
    assert knn_probe(codes, factors).protocol == "knn_probe_n20_test10_split_k20_t0.07"
    assert np.isfinite(knn_probe(codes, factors, temperature=1e-4).score)
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        knn_probe(codes, factors, temperature=0)
    with pytest.raises(ValueError, match="neighbours must be a whole number of at least 1, got 0"):
        knn_probe(codes, factors, neighbours=0)
