import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

from contrafact.metrics import udr


def strength(matrix):
    halves = [np.mean(matrix.max(axis=a) ** 2 / matrix.sum(axis=a)) for a in (0, 1)]
    return np.mean(halves)


def models(seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(300, 3))
    return [hidden @ (np.eye(3) + 0.4 * rng.normal(size=(3, 3))) + 0.1 * rng.normal(size=(300, 3)) for _ in range(3)]


@pytest.mark.parametrize("correlation", ["lasso", "spearman"])
def test_equals_the_reference_pair_by_pair(correlation):
    codes = models()
    scaled = [StandardScaler().fit_transform(c) for c in codes]
    pairs = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        if i == j:
            continue
        if correlation == "lasso":
            similarity = np.abs(Lasso(alpha=0.1).fit(scaled[i], scaled[j]).coef_).T
        else:
            similarity = np.array(
                [[abs(spearmanr(scaled[i][:, a], scaled[j][:, b])[0]) for b in range(3)] for a in range(3)]
            )
        pairs[i, j] = strength(similarity)
    result = udr(codes, correlation=correlation)
    np.testing.assert_allclose(result.matrix, pairs, atol=1e-6)
    expected = [np.median(np.delete(pairs[:, s], s)) for s in range(3)]
    np.testing.assert_allclose(result.per_model, expected, atol=1e-6)
    assert result.score == pytest.approx(np.mean(expected))


def test_ranks_see_no_monotone_rescaling():
    codes = models()
    bent = [np.sinh(2.0 * codes[0]), codes[1] ** 3, codes[2]]
    plain, rescaled = (udr(values, correlation="spearman") for values in (codes, bent))
    np.testing.assert_allclose(rescaled.matrix, plain.matrix, atol=1e-12)


def test_axes_that_agree_beat_rotations():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 4))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert udr([hidden, -hidden[:, [2, 3, 0, 1]]]).score > udr([hidden, hidden @ turn]).score + 0.2


def test_uninformative_codes_are_left_out():
    codes = models()[:2]
    padded = [np.hstack([c, np.full((300, 1), 0.7)]) for c in codes]
    assert udr(padded).score == pytest.approx(udr(codes).score)
    noise = [np.hstack([c, np.random.default_rng(s).normal(size=(300, 1))]) for s, c in enumerate(codes)]
    kl = [[1.0, 1.0, 1.0, 0.001]] * 2
    assert udr(noise, kl=kl).score == pytest.approx(udr(codes).score)
    assert udr([np.ones((20, 2)), np.ones((20, 2))]).score == 0.0


def test_refusals():
    codes = models()
    with pytest.raises(ValueError, match="pass the codes of at least two, got 1"):
        udr(codes[:1])
    with pytest.raises(ValueError, match=r"all models must see the same images, got \[300, 200\] rows"):
        udr([codes[0], codes[1][:200]])
    with pytest.raises(ValueError, match="correlation must be 'lasso' or 'spearman', got 'pearson'"):
        udr(codes, correlation="pearson")
    with pytest.raises(ValueError, match="kl needs one vector per model: 3, got 2"):
        udr(codes, kl=[[1.0] * 3] * 2)
    with pytest.raises(ValueError, match=r"kl\[0\] must have shape \(3,\), got \(2,\)"):
        udr(codes, kl=[[1.0] * 2] * 3)


def test_groups_are_compared_within_themselves():
    rng = np.random.default_rng(4)
    codes = rng.normal(size=(300, 3))
    models = [codes, codes[:, ::-1], rng.normal(size=(300, 3)), -codes, rng.normal(size=(300, 3)), codes * 2.0]
    groups = ["a", "a", "b", "a", "b", "b"]
    result = udr(models, groups=groups, correlation="spearman")
    for name in ("a", "b"):
        members = [s for s, group in enumerate(groups) if group == name]
        alone = udr([models[s] for s in members], correlation="spearman")
        np.testing.assert_allclose(result.per_model[members], alone.per_model)
        np.testing.assert_allclose(result.matrix[np.ix_(members, members)], alone.matrix)
    assert result.matrix[0, 2] == 0.0
    assert result.protocol == "udr_spearman_models6_groups2_n300"
    with pytest.raises(ValueError, match="groups needs one entry per model: 2, got 1"):
        udr(models[:2], groups=["a"])
    with pytest.raises(ValueError, match="group 'b' has one model, and nothing to compare it with"):
        udr(models[:3], groups=["a", "a", "b"])
