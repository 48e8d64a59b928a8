import warnings

import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.metrics import mig, modularity


def test_equals_the_definition():
    factors = draw_factors()
    codes = noisy_codes(factors)
    shared = mig(codes, factors).matrix
    expected = []
    for row in shared:
        best = row.max()
        others = sum(v**2 for k, v in enumerate(row) if k != row.argmax())
        expected.append(1 - others / (best**2 * (len(row) - 1)))
    result = modularity(codes, factors)
    np.testing.assert_allclose(result.per_code, expected, atol=1e-12)
    assert result.score == pytest.approx(np.mean(expected))


def test_dead_codes_score_zero():
    factors = draw_factors()
    result = modularity(np.hstack([factors * 1.0, np.full((400, 1), 0.7)]), factors)
    assert result.per_code[3] == 0.0
    assert result.score == pytest.approx(result.per_code[:3].sum() / 4)


def test_collapsed_codes_are_named():
    factors = draw_factors()
    codes = noisy_codes(factors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        modularity(codes, factors)
    collapsed = 1e-4 * np.random.default_rng(0).normal(size=(len(codes), 2))
    first = codes.shape[1]
    with pytest.warns(MetricWarning, match=rf"codes \[{first}, {first + 1}\] move less than a hundredth as far"):
        assert modularity(np.hstack([codes, collapsed]), factors).score < modularity(codes, factors).score
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # dead codes score 0, as the docs say
        modularity(np.hstack([codes, np.zeros_like(collapsed)]), factors)


def test_one_factor_and_constant_factors():
    factors = draw_factors()
    codes = noisy_codes(factors)
    with pytest.warns(MetricWarning, match="one factor only"):
        assert modularity(codes, factors[:, [0]]).score == 1.0
    flat = factors * [1, 0, 1]
    with pytest.warns(MetricWarning, match=r"constant factors \[1\] count as unknown"):
        with_constant = modularity(codes, flat)
    assert (with_constant.matrix[:, 1] == 0).all()
