import sys

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from contrafact.metrics import r2
from contrafact.metrics.r2 import PENALTIES, PRECISIONS, determination

RNG = np.random.default_rng(0)
FACTORS, FACTORS_TEST = RNG.normal(size=(240, 3)), RNG.normal(size=(120, 3))
MIX = RNG.normal(size=(3, 4))


def codes_of(factors):
    bent = np.tanh(factors @ MIX)
    return bent + 0.2 * np.sin(1e4 * bent)


PAIR = (codes_of(FACTORS), FACTORS, codes_of(FACTORS_TEST), FACTORS_TEST)


def test_linear_is_least_squares_scored_on_the_held_out():
    codes, factors, codes_test, factors_test = PAIR
    model = LinearRegression().fit(codes, factors)
    result = r2(*PAIR)
    expected = r2_score(factors_test, model.predict(codes_test), multioutput="raw_values")
    np.testing.assert_allclose(result.per_factor, expected)
    assert result.score == pytest.approx(expected.mean())
    assert result.score_train == pytest.approx(r2_score(factors, model.predict(codes)))
    assert result.scores() == {"r2": result.score, "train": result.score_train}


def test_kernel_is_a_grid_search_of_ridge_regressions():
    codes, factors, codes_test, factors_test = PAIR
    of_codes, of_factors = StandardScaler().fit(codes), StandardScaler().fit(factors)
    search = GridSearchCV(KernelRidge(kernel="rbf"), {"alpha": PENALTIES, "gamma": PRECISIONS}, cv=3)
    search.fit(of_codes.transform(codes), of_factors.transform(factors))
    predicted = search.predict(of_codes.transform(codes_test))
    expected = r2_score(of_factors.transform(factors_test), predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2(*PAIR, probe="kernel").per_factor, expected, atol=1e-9)


def test_probes_see_what_is_there():
    rng = np.random.default_rng(1)
    factors = rng.uniform(-1, 1, size=(1500, 2))
    folded = np.hstack([factors**2, np.sign(factors)])  # linearly, the sign alone tells something
    linear, kernel, network = (r2(folded, factors, probe=probe).score for probe in ("linear", "kernel", "mlp"))
    assert linear == pytest.approx(0.75, abs=0.03)  # of a uniform variable and its sign: squared correlation 3/4
    assert kernel > 0.98
    assert network > 0.98
    assert r2(rng.normal(size=(1500, 4)), factors).score == pytest.approx(0.0, abs=0.02)


def test_large_kernels_see_some_rows_only(monkeypatch):
    module = sys.modules["contrafact.metrics.r2"]  # its name in the package is the function's
    monkeypatch.setattr(module, "MOST_KERNEL_POINTS", 100)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 50)
    first, again, other = (r2(*PAIR, probe="kernel", seed=seed) for seed in (1, 1, 2))
    assert first.num_train == 100
    assert first.score == again.score != other.score
    assert first.score == pytest.approx(r2(*PAIR).score, abs=0.2)


def test_blocks_are_predicted_from_blocks():
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(900, 3))
    codes = np.hstack([factors[:, :2] @ rng.normal(size=(2, 2)), factors[:, 2:] + 0.5 * factors[:, :1]])
    of = {"content": [0, 1], "style": [2]}
    result = r2(codes, factors, code_blocks=of, factor_blocks=of)
    # Style's code is style plus half of a content factor: 1 / 1.25 and, of the one content factor, 0.25 / 1.25.
    np.testing.assert_allclose(result.blocks, [[1.0, 0.0], [0.1, 0.8]], atol=0.05)
    assert result.score == pytest.approx(1.0)
    assert result.scores()["style→content"] == result.blocks[1, 0]
    assert set(result.scores()) == {"r2", "train", *(f"{a}→{b}" for a in of for b in of)}
    one = r2(codes, factors, factor_blocks={"content": [0, 1], "style": [2]})
    assert one.code_blocks == ("all codes",)
    assert one.blocks.shape == (1, 2)


def test_dead_codes_predict_the_mean():
    assert r2(np.full((240, 2), 0.7), FACTORS).score == pytest.approx(0.0, abs=0.05)
    assert determination(np.ones((3, 1)), np.zeros((3, 1))).tolist() == [0.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probe": "tree"}, "probe must be 'linear', 'kernel' or 'mlp', got 'tree'"),
        ({"code_blocks": {"a": [4]}}, r"code_blocks\['a'\] must list columns from 0 to 3, got \[4\]"),
        ({"factor_blocks": {"a": []}}, r"factor_blocks\['a'\] must list columns from 0 to 2, got \[\]"),
        ({"code_blocks": {"a": [0]}, "active": 0.01}, "code_blocks names the codes to look at, and so does active"),
        ({"factor_blocks": {}}, "factor_blocks names no block; leave it out for one block of all factors"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        r2(*PAIR, **settings)
