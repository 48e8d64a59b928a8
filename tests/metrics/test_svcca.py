import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from contrafact.metrics import svcca

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(200, 4)) * [3.0, 2.0, 1.0, 0.1]
OTHER = CODES[:, :3] @ RNG.normal(size=(3, 5)) + RNG.normal(size=(200, 5))


def test_it_is_the_mean_canonical_correlation_of_principal_components():
    result = svcca([CODES, OTHER], variance=0.95)
    parts = [PCA(0.95, svd_solver="full").fit_transform(codes) for codes in (CODES, OTHER)]
    assert result.kept == tuple(part.shape[1] for part in parts)
    fewest = min(result.kept)
    ours, theirs = CCA(fewest, max_iter=10_000, tol=1e-12).fit(*parts).transform(*parts)
    expected = np.mean([np.corrcoef(ours[:, p], theirs[:, p])[0, 1] for p in range(fewest)])
    assert result.score == pytest.approx(expected, abs=1e-6)


def test_golden_value_of_the_authors_program():
    # google/svcca (1f3fbf1), get_cca_similarity, mean of all coefficients: canonical correlation without truncation.
    state = np.random.RandomState(1337)
    first = state.randn(100, 10)
    second = state.randn(100, 10) + first
    assert svcca([first, second], variance=1.0).score == pytest.approx(0.7310139588, abs=1e-9)


def test_it_does_not_see_an_invertible_map_and_leaves_small_directions_out():
    mixed = CODES @ RNG.normal(size=(4, 4)) + 7.0
    assert svcca([CODES, mixed], variance=1.0).score == pytest.approx(1.0)
    noisy = CODES.copy()
    noisy[:, 3] = 0.1 * RNG.normal(size=200)
    assert svcca([CODES, noisy], variance=1.0).score < 0.8
    assert svcca([CODES, noisy]).score == pytest.approx(1.0, abs=1e-3)
    assert svcca([CODES, noisy]).kept == (3, 3)


def test_redundant_and_dead_codes():
    wide = np.hstack([CODES, CODES[:, :1] + CODES[:, 1:2]])
    result = svcca([CODES, wide, np.full((200, 2), 0.7)], variance=1.0)
    assert result.kept == (4, 4, 0)
    assert result.matrix[0, 1] == pytest.approx(1.0)
    assert (result.matrix[2] == 0).all()
    assert result.per_model[0] == pytest.approx(0.5)


def test_refusals():
    with pytest.raises(ValueError, match="variance must be above 0 and at most 1, got 0"):
        svcca([CODES, OTHER], variance=0)
    with pytest.raises(ValueError, match=r"8 points for \[4, 5\] directions: with no more points than directions"):
        svcca([CODES[:8], OTHER[:8]], variance=1.0)
    with pytest.raises(ValueError, match="at least two"):
        svcca([CODES])
