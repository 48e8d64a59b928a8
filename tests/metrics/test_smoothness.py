import itertools
import math

import numpy as np
import pytest

from contrafact.core.metric import MetricWarning
from contrafact.metrics import smoothness


def by_hand(codes, t):
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    pairs = [math.exp(-t * ((a - b) ** 2).sum()) for a, b in itertools.permutations(unit, 2)]
    return np.mean(pairs)


def test_equals_equation_seven_pair_by_pair():
    rng = np.random.default_rng(0)
    content, residual = rng.normal(size=(30, 4)), rng.normal(size=(20, 2))
    result = smoothness(content, residual, t=1.5)
    assert result.score == pytest.approx(by_hand(content, 1.5) + by_hand(residual, 1.5))
    assert result.negative_log == pytest.approx(-math.log(result.score))


def test_collapse_and_perfect_uniformity():
    assert smoothness(np.ones((10, 3)), np.full((10, 3), 2.0)).score == pytest.approx(2.0)
    rng = np.random.default_rng(0)
    wide = [rng.normal(size=(500, 128)) for _ in range(2)]
    # Cosines of uniform points in 128 dimensions have variance 1/128: E exp(4 cos) is exp(16 / 256).
    assert smoothness(*wide).score == pytest.approx(2 * math.exp(-4 + 16 / 256), rel=0.01)


def test_large_sets_are_drawn_from_and_scale_does_not_matter():
    codes = np.random.default_rng(0).normal(size=(300, 3))
    with pytest.warns(MetricWarning, match="codes: 100 of 300 rows drawn"):
        result = smoothness(codes, max_points=100, seed=1)
    assert result.num_train == 100
    assert smoothness(codes).score == pytest.approx(smoothness(5 * codes).score)


def test_refusals():
    codes = np.ones((3, 2))
    with pytest.raises(ValueError, match="t must be positive, got -2"):
        smoothness(codes, t=-2)
    with pytest.raises(ValueError, match="codes needs at least two rows to have pairs, got 1"):
        smoothness(codes[:1])
    codes[1] = 0
    with pytest.raises(ValueError, match="residual_codes: row 1 is all zeros"):
        smoothness(np.ones((3, 2)), codes)


def test_the_remark_goes_with_the_number():
    assert "lower is more even" in smoothness(np.eye(4)).details()[0]
