import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.metrics import CATALOG, knn_probe


def test_few_rows_at_a_time_give_the_same_score(monkeypatch):
    factors, test_factors = draw_factors(300), draw_factors(200, seed=9)
    given = (noisy_codes(factors), factors, noisy_codes(test_factors), test_factors)
    whole = knn_probe(*given, neighbours=7).per_factor
    monkeypatch.setattr(CATALOG.module("knn_probe"), "COSINES", 1_000)
    np.testing.assert_array_equal(knn_probe(*given, neighbours=7).per_factor, whole)


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
