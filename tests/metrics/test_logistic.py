"""The compiled logistic regression against an independent Newton solve, against scikit-learn, and where it is hard."""

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.special import softmax as special_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from contrafact.metrics import _logistic, _logistic_pass
from contrafact.metrics._logistic import fit_logistic
from contrafact.metrics._logistic_pass import PLACES


def draw(num_points, num_codes, num_classes, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_points)
    mix = np.eye(num_codes) + 0.4 * rng.normal(size=(num_codes, num_codes)) / np.sqrt(num_codes)
    centres = strength * rng.normal(size=(num_classes, num_codes))
    return (centres[labels] + rng.normal(size=(num_points, num_codes))) @ mix, labels


def newton(codes, targets, weights, penalty):
    """Minimum of Σ weights · cross entropy + penalty / 2 · |w|² by full Newton steps; columns are classes."""
    inputs = np.hstack([codes, np.ones((len(codes), 1))])
    (num_points, width), columns = inputs.shape, targets.shape[1]
    ridge = np.diag(np.tile(np.append(np.full(width - 1, penalty), 0.0), columns))
    theta = np.zeros(columns * width)

    def probabilities(theta):
        scores = inputs @ theta.reshape(columns, width).T
        if columns == 1:
            return 1 / (1 + np.exp(-scores))
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    for _ in range(60):
        likely = probabilities(theta)
        gradient = ((likely - targets) * weights[:, None]).T @ inputs
        gradient = gradient.ravel() + ridge @ theta
        hessian = ridge.copy()
        for a in range(columns):
            for b in range(columns):
                curve = weights * likely[:, a] * ((a == b) - likely[:, b])
                hessian[a * width : (a + 1) * width, b * width : (b + 1) * width] += (
                    inputs * curve[:, None]
                ).T @ inputs
        step = np.linalg.lstsq(hessian, gradient, rcond=1e-12)[0]
        theta = theta - step / max(1.0, np.abs(step).max())
    assert np.abs(gradient).max() < 1e-8 * num_points
    return theta.reshape(columns, width)


def check_newton(num_points, num_classes, one_vs_rest, inverse_penalty, balanced):
    codes, labels = draw(num_points, 4, num_classes)
    labels[labels == 1] = np.where(np.arange(np.sum(labels == 1)) % 4, 0, 1)  # unequal classes
    model = fit_logistic(codes, labels, inverse_penalty, one_vs_rest=one_vs_rest, balanced=balanced)
    count = np.bincount(labels)
    weights = (num_points / (num_classes * count))[labels] if balanced else np.ones(num_points)
    one_hot = np.eye(num_classes)[labels]
    if num_classes == 2:
        expected = newton(codes, one_hot[:, 1:], weights, 1 / inverse_penalty)
    elif one_vs_rest:
        expected = np.vstack([newton(codes, one_hot[:, [c]], weights, 1 / inverse_penalty) for c in range(num_classes)])
    else:
        expected = newton(codes, one_hot, weights, 1 / inverse_penalty)
        expected -= expected.mean(axis=0)  # what all classes share changes nothing; ours has none of it
    assert np.abs(model.gradient_RP).max() < 1e-6
    # A mean loss within 1e-12 of the lowest leaves coefficients about its root from where they belong.
    np.testing.assert_allclose(model.weights_JR.T, expected[:, :-1], atol=1e-5)
    np.testing.assert_allclose(model.intercept_R, expected[:, -1], atol=1e-5)


@pytest.mark.parametrize(
    ("num_points", "num_classes", "one_vs_rest", "inverse_penalty", "balanced"),
    [
        (500, 2, False, 1.0, False),
        (500, 4, False, np.inf, True),
        (500, 4, True, 0.01, True),
        # More than twice the part that is solved first.
        (6_500, 2, False, np.inf, True),
        (6_500, 4, False, 1.0, False),
        (6_500, 4, True, 1.0, False),
    ],
)
def test_reaches_newtons_optimum(num_points, num_classes, one_vs_rest, inverse_penalty, balanced):
    check_newton(num_points, num_classes, one_vs_rest, inverse_penalty, balanced)


@pytest.mark.slow
@pytest.mark.parametrize("num_points", [500, 9_000])
@pytest.mark.parametrize(("num_classes", "one_vs_rest"), [(2, False), (5, False), (5, True), (9, False)])
@pytest.mark.parametrize(("inverse_penalty", "balanced"), [(1.0, False), (0.01, True), (np.inf, True)])
def test_reaches_newtons_optimum_everywhere(num_points, num_classes, one_vs_rest, inverse_penalty, balanced):
    check_newton(num_points, num_classes, one_vs_rest, inverse_penalty, balanced)


@pytest.mark.parametrize(("num_classes", "inverse_penalty"), [(2, 1.0), (7, 0.1), (7, np.inf)])
def test_equals_scikit_learn_taken_to_its_optimum(num_classes, inverse_penalty):
    codes, labels = draw(1_000, 6, num_classes, strength=0.7)
    codes *= [1.0, 0.03, 20.0, 1.0, 1.0, 1.0]
    weight = "balanced" if np.isinf(inverse_penalty) else None
    theirs = LogisticRegression(C=inverse_penalty, class_weight=weight, solver="newton-cg", tol=1e-9, max_iter=2_000)
    theirs.fit(codes, labels)
    ours = fit_logistic(codes, labels, inverse_penalty, balanced=weight is not None)
    np.testing.assert_allclose(ours.probabilities(codes), theirs.predict_proba(codes), atol=1e-5)
    scale = codes.std(axis=0)
    np.testing.assert_allclose(ours.weights_JR.T * scale, theirs.coef_ * scale, atol=2e-5)
    differing = ours.predict(codes) != theirs.predict(codes)
    assert differing.mean() < 1e-3


def test_separable_points_without_penalty_lose_nothing():
    codes, labels = draw(6_500, 3, 4, strength=60.0)
    for one_vs_rest in (False, True):
        model = fit_logistic(codes, labels, np.inf, one_vs_rest=one_vs_rest)
        assert np.isfinite(model.weights_JR).all()
        if not one_vs_rest:
            assert model.loss < 1e-9
            assert (model.predict(codes) == labels).all()


def test_one_class_apart_and_the_others_not():
    codes, labels = draw(400, 3, 3, strength=0.5)
    codes[labels == 2] += 100.0
    model = fit_logistic(codes, labels, np.inf)
    rest = labels < 2
    alone = fit_logistic(codes[rest], labels[rest], np.inf)
    assert model.loss * 400 == pytest.approx(alone.loss * rest.sum(), abs=1e-6)
    np.testing.assert_allclose(model.probabilities(codes[rest])[:, :2], alone.probabilities(codes[rest]), atol=1e-5)


def test_constant_and_repeated_codes_and_a_class_of_one_point():
    codes, labels = draw(6_500, 3, 3)
    labels[17] = 9
    plain = fit_logistic(codes, labels)
    padded = fit_logistic(np.hstack([codes, np.zeros((6_500, 1)), np.full((6_500, 1), 5.0)]), labels)
    np.testing.assert_array_equal(plain.classes_C, [0, 1, 2, 9])
    np.testing.assert_allclose(padded.weights_JR[:3], plain.weights_JR, atol=1e-5)
    np.testing.assert_allclose(padded.weights_JR[3:], 0.0, atol=1e-4)
    repeated = fit_logistic(np.hstack([codes, codes]), labels, np.inf)
    once = fit_logistic(codes, labels, np.inf)
    assert repeated.loss == pytest.approx(once.loss, abs=1e-9)


def test_points_nearly_told_apart_whose_part_is_told_apart_altogether():
    # Of 6,500 points some two dozen decide; a part of them misleads, and only a part drawn by curvature helps.
    codes, labels = draw(6_500, 10, 3, strength=1.6)
    model = fit_logistic(codes, labels)
    theirs = LogisticRegression(tol=1e-8, max_iter=5_000).fit(codes, labels)
    assert np.abs(model.gradient_RP).max() < 1e-6
    np.testing.assert_allclose(model.probabilities(codes), theirs.predict_proba(codes), atol=1e-4)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("num_codes", "num_classes"), [(1, 2), (3, 5), (6, 8), (8, 9)])
def test_a_pass_gives_the_losses_gradient(num_codes, num_classes, kind):
    # Codes and columns that four and two do not divide, a last block that is not full, one that rounding would spoil.
    codes, labels = draw(2 * PLACES + 17, num_codes, num_classes, strength=4.0)
    rng = np.random.default_rng(1)
    theta, weight = rng.normal(size=(num_classes, num_codes + 1)), rng.uniform(0.5, 2.0, num_classes) / len(codes)
    center, weights = codes.mean(axis=0), weight[labels]
    scores, one_hot = (codes - center) @ theta[:, :-1].T + theta[:, -1], np.eye(num_classes)[labels]
    inputs = np.hstack([codes - center, np.ones((len(codes), 1))])
    for softmax in (True, False):
        losses = logsumexp(scores, axis=1) if softmax else np.logaddexp(0, scores).sum(axis=1)
        expected = float(weights @ (losses - (one_hot * scores).sum(axis=1)))
        likely = special_softmax(scores, axis=1) if softmax else expit(scores)
        slopes = ((likely - one_hot) * weights[:, None]).T @ inputs
        points = _logistic._Points(codes, center, labels, weight, softmax, 0, num_classes, 0.0, kind)
        for passed in (points, points.blocked(kind)):
            loss, gradient = passed.loss(theta)
            near = {"rtol": 2e-5, "atol": 1e-6} if kind == np.float32 else {"rtol": 1e-11, "atol": 1e-13}
            np.testing.assert_allclose(loss, expected, **near)
            np.testing.assert_allclose(gradient, slopes - slopes.mean(axis=0) * softmax, **near)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_exponentials_are_right_to_the_last_digits(kind):
    values = np.concatenate([-np.logspace(-9, np.log10(86 if kind == np.float32 else 700), 1_000), [0.0, -1e30]])
    found, power = values.astype(kind), np.empty(1_002, kind)
    expected = np.exp(found[:-1].astype(np.float64))
    bits = power.view(np.int32 if kind == np.float32 else np.int64)
    _logistic_pass._exponential(found, power, bits, _logistic_pass.constants_of(kind))
    np.testing.assert_allclose(found[:-1], expected, rtol=3 * np.finfo(kind).eps)
    assert 0 <= found[-1] < 1e-37


def test_one_value_is_refused():
    with pytest.raises(ValueError, match=r"at least two values to tell apart, got \[4\]"):
        fit_logistic(np.zeros((3, 1)), np.full(3, 4))


@pytest.mark.parametrize(("num_classes", "noise"), [(15, 0.6), (30, 0.5)])
def test_points_told_nearly_apart_without_penalty_are_not_laboured_at(num_classes, noise, monkeypatch):
    # Of thirty classes some are separable: their coefficients grow for ever.
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=7_000)
    codes = rng.normal(size=(num_classes, 12))[labels] + noise * rng.normal(size=(7_000, 12))
    passes, loss = [], _logistic._Points.loss
    monkeypatch.setattr(_logistic._Points, "loss", lambda points, theta: (passes.append(1), loss(points, theta))[1])
    ours = fit_logistic(codes, labels, np.inf, balanced=True)
    theirs = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=100).fit(codes, labels)
    weights = compute_sample_weight("balanced", labels)
    assert ours.loss <= log_loss(labels, theirs.predict_proba(codes), sample_weight=weights)
    assert len(passes) < 600


@pytest.mark.parametrize("num_classes", [10, 15])
def test_a_code_that_holds_an_ordered_factor_takes_few_passes(num_classes, monkeypatch):
    # Neighbouring values are confused with each other alone: classes preconditioned each by itself took hundreds.
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=20_000)
    codes = rng.normal(size=(20_000, 24))
    codes[:, 0] += labels
    passes, loss = [], _logistic._Points.loss
    monkeypatch.setattr(
        _logistic._Points, "loss", lambda points, theta: (passes.append(len(points.labels_N)), loss(points, theta))[1]
    )
    model = fit_logistic(codes, labels)
    assert np.abs(model.gradient_RP).max() < 1e-6
    assert passes.count(20_000) < 60


@pytest.mark.parametrize("one_vs_rest", [False, True])
def test_threads_change_nothing(one_vs_rest, monkeypatch):
    codes, labels = draw(9_000, 5, 4)
    monkeypatch.setattr(_logistic, "MANY", 1_000)
    fits = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        fits.append(fit_logistic(codes, labels, one_vs_rest=one_vs_rest))
    np.testing.assert_array_equal(fits[0].weights_JR, fits[1].weights_JR)
    assert fits[0].loss == fits[1].loss
