import math

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import mutual_info_score

from contrafact.core.metric import MetricWarning
from contrafact.metrics import total_correlation
from contrafact.metrics.total_correlation import gaussian_total_correlation, gaussian_wasserstein


def test_two_gaussians_in_closed_form():
    covariance = np.array([[4.0, 1.8], [1.8, 1.0]])
    assert gaussian_total_correlation(covariance) == pytest.approx(-0.5 * math.log(1 - 0.9**2))
    assert gaussian_total_correlation(np.array([[1.0, 0.9], [0.9, 1.0]])) == pytest.approx(0.8303656034108255)


def test_wasserstein_equals_the_matrix_square_root():
    basis = np.random.default_rng(0).normal(size=(4, 4))
    covariance = basis @ basis.T
    theirs = 2 * np.trace(covariance) - 2 * np.trace(sqrtm(covariance * np.diag(covariance)[:, None]).real)
    assert gaussian_wasserstein(covariance) == pytest.approx(theirs)


def test_wasserstein_of_unlike_scales_equals_fifty_digits():
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(6, 6)) * np.logspace(0, 4, 6)[:, None]
    covariance = basis @ basis.T
    with mpmath.workdps(50):
        exact = mpmath.matrix(covariance.tolist())
        scale = mpmath.diag([mpmath.sqrt(exact[i, i]) for i in range(6)])
        roots = [mpmath.sqrt(value) for value in mpmath.eigsy(scale * exact * scale, eigvals_only=True)]
        truth = 2 * sum(exact[i, i] for i in range(6)) - 2 * sum(roots)
    assert gaussian_wasserstein(covariance) == pytest.approx(float(truth), rel=1e-13)


def test_wasserstein_of_dependent_codes():
    # Two equal codes and one apart: D^1/2 S D^1/2 has the eigenvalues 2, 0 and 9, so 2 * 5 - 2 * (sqrt 2 + 3).
    covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    assert gaussian_wasserstein(covariance) == pytest.approx(10.0 - 2.0 * (math.sqrt(2.0) + 3.0))


def test_all_scores_of_codes():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    result = total_correlation(codes)
    covariance = np.cov(codes.T)
    assert result.score == pytest.approx(0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1]))
    assert result.wasserstein_normalized == pytest.approx(result.wasserstein / np.trace(covariance))
    bins = [np.digitize(c, np.histogram(c, 20)[1][:-1]) for c in codes.T]
    pairs = [mutual_info_score(bins[i], bins[j]) for i in range(3) for j in range(3) if i != j]
    assert result.mutual_information == pytest.approx(np.mean(pairs))


def test_dead_and_duplicate_codes():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(200, 2))
    dead = np.hstack([codes, np.full((200, 1), 0.7)])
    assert total_correlation(dead).score == pytest.approx(total_correlation(codes).score)
    with pytest.warns(MetricWarning, match="fewer than two codes change"):
        assert total_correlation(dead[:, 1:]).scores() == dict.fromkeys(
            ["total_correlation", "wasserstein", "wasserstein_normalized", "mutual_information"], 0.0
        )
    exact = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    with pytest.warns(MetricWarning, match="the total correlation is infinite"):
        result = total_correlation(exact)
    assert math.isinf(result.score)
    assert result.to_dict()["score"] is None
    with pytest.raises(ValueError, match="codes need at least two rows"):
        total_correlation(codes[:1])
