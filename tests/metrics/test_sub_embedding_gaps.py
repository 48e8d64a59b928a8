import dataclasses

import numpy as np
import pytest

from contrafact.contract.samples import draw_factors
from contrafact.metrics import linear_probe, sub_embedding_gaps


def halves(n=400):
    factors = draw_factors(n, (3, 3))
    rng = np.random.default_rng(0)
    codes = np.hstack([np.eye(3)[factors[:, 0]], np.eye(3)[factors[:, 1]]]) + 0.1 * rng.normal(size=(n, 6))
    return codes, factors


def test_accuracies_are_linear_probes_of_the_parts():
    codes, factors = halves()
    result = sub_embedding_gaps(codes, factors)
    for p, part in enumerate((codes[:, :3], codes[:, 3:])):
        np.testing.assert_allclose(result.matrix[p], linear_probe(part, factors).per_factor)
    np.testing.assert_allclose(result.whole, linear_probe(codes, factors).per_factor)
    np.testing.assert_allclose(result.per_factor, np.abs(result.matrix[0] - result.matrix[1]))
    assert result.diagonal
    assert result.matched == 1.0
    assert result.unmatched < 0.5


def test_one_part_that_knows_both_breaks_the_diagonal():
    codes, factors = halves()
    greedy = np.hstack([codes, np.random.default_rng(1).normal(size=(400, 6))])
    result = sub_embedding_gaps(greedy, factors)
    assert not result.diagonal
    assert result.score > 0.5


def test_parts_that_know_the_same_have_no_gap():
    codes, factors = halves()
    result = sub_embedding_gaps(np.hstack([codes, codes]), factors)
    assert result.score == 0.0
    assert not result.diagonal


def test_uneven_parts_and_refusals():
    codes, factors = halves(200)
    result = sub_embedding_gaps(codes, factors, parts=[3, 2, 1])
    assert result.matrix.shape == (3, 2)
    best = result.matrix.max(axis=0)
    np.testing.assert_allclose(result.per_factor, best - (result.matrix.sum(axis=0) - best) / 2)
    for parts in (4, 1, [3, 4], [6], [0, 6], 0):
        with pytest.raises(ValueError, match="does not cut 6 codes into at least two parts that fill them"):
            sub_embedding_gaps(codes, factors, parts=parts)


def test_details_are_the_papers_table_in_percent():
    factors = np.random.default_rng(0).integers(2, size=(400, 2))
    result = dataclasses.replace(sub_embedding_gaps(factors * [1.0, -2.0], factors), tasks=("digit class", "sky"))
    head, whole, first, _, gap, error = result.details()
    assert head.split() == ["digit", "class", "sky"]
    assert whole.split() == ["whole", "100.0", "100.0"]
    assert first.split() == ["part", "0", "100.0", f"{100 * result.matrix[0, 1]:.1f}"]
    assert gap.split()[1:] == [f"{100 * value:.1f}" for value in result.per_factor]
    assert error.split()[2:] == [f"{100 * value:.1f}" for value in result.error]
    assert len({len(line) for line in result.details()}) == 1


def test_a_difference_within_the_binomial_error_is_no_diagonal():
    """Two parts that know the same but for chance: without the error the trend held in about half of such samples."""
    held, strict, rng = [], [], np.random.default_rng(0)
    for _ in range(20):
        factors = rng.integers(3, size=(600, 2))
        noisy = [np.eye(3)[factors[:, k]] + 0.6 * rng.normal(size=(600, 3)) for _ in range(2) for k in range(2)]
        result = sub_embedding_gaps(np.hstack(noisy), factors)
        held.append(result.diagonal)
        best = result.matrix.argmax(axis=0)
        strict.append(best[0] != best[1] and (result.per_factor > 0).all())
    assert sum(strict) >= 5
    assert sum(held) == 0


def test_the_error_is_that_of_a_difference_of_two_shares():
    codes, factors = halves(300)
    codes_test, factors_test = codes[200:], factors[200:]
    result = sub_embedding_gaps(codes[:200], factors[:200], codes_test, factors_test)
    for k in range(2):
        shares = result.matrix[:, k]
        assert result.error[k] == pytest.approx(sum(p * (1 - p) / 100 for p in shares) ** 0.5)
    assert result.protocol.endswith("_errors1.96")
