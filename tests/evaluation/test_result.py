"""The contract in core/metric.py: results, and the checks all metrics share."""

import json
import math
import sys
import time
import warnings
from dataclasses import dataclass

import numpy as np
import pandas
import pytest
import torch

from contrafact.core.metric import (
    MetricResult,
    MetricWarning,
    check_codes,
    check_codes_as_given,
    check_continuous_factors,
    check_factors,
    measured,
)
from contrafact.evaluation.codes import evaluate
from contrafact.evaluation.result import Evaluation


@dataclass(frozen=True, kw_only=True)
class Pair(MetricResult):
    second: float
    extra: dict


def test_measured_times_the_metric_and_warns_of_its_notes():
    @measured
    def half(value):
        """Half."""
        return MetricResult(score=value / 2, protocol="half", num_train=1, notes=("odd",) if value % 2 else ())

    with pytest.warns(MetricWarning, match="half: odd"):
        assert half(3).score == 1.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert half(2).seconds > 0
    assert (half.__name__, half.__doc__) == ("half", "Half.")


def test_measured_never_lets_nan_out():
    @measured
    def broken():
        return MetricResult(score=math.nan, protocol="broken", num_train=1)

    with pytest.raises(RuntimeError, match="broken returned NaN as its score"):
        broken()


def test_results_become_json():
    result = Pair(
        score=1.0,
        protocol="pair",
        num_train=2,
        second=math.inf,
        per_factor=np.array([0.5, np.nan]),
        matrix=np.eye(2),
        extra={"ints": np.int64(3), "nested": (np.float32(0.5), [np.bool_(True)])},
    )
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["per_factor"] == [0.5, None]
    assert data["second"] is None
    assert data["extra"] == {"ints": 3, "nested": [0.5, [True]]}
    assert result.scores() == {"score": 1.0}


def test_codes_keep_their_precision_where_asked():
    single = np.ones((3, 2), dtype=np.float32)
    assert check_codes_as_given(single).dtype == np.float32
    assert check_codes(single).dtype == np.float64
    assert check_codes_as_given(torch.ones(3, 2, dtype=torch.bfloat16)).dtype == np.float32
    assert check_codes_as_given(np.ones((3, 2), dtype=np.float16)).dtype == np.float64
    double = np.ones((3, 2))
    assert check_codes(double) is double


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.zeros(3, dtype=int), r"factors must have shape \(N, K\)"),
        (np.zeros((2, 1), dtype=int), "factors has 2 rows but the codes have 3; match them row by row"),
        (np.array([[0.0], [1.5], [2.0]]), r"row 1, column 0 is 1\.5; bin continuous factors first"),
        (np.array([[0.0], [np.nan], [2.0]]), "row 1, column 0 is nan"),
        (np.array([["a"], ["b"], ["c"]]), "factors must be whole numbers, got dtype"),
    ],
)
def test_factors_are_whole_numbers(factors, message):
    with pytest.raises(ValueError, match=message):
        check_factors(factors, 3)


def test_factors_in_other_clothes():
    assert check_factors(np.array([[True], [False]]), 2).tolist() == [[1], [0]]
    assert check_factors(torch.tensor([[1.0], [2.0]]), 2).dtype == np.int64
    assert check_continuous_factors([[0.5], [1.0]], 2).tolist() == [[0.5], [1.0]]
    with pytest.raises(ValueError, match="factors has 2 rows but the codes have 3"):
        check_continuous_factors([[0.5], [1.0]], 3)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 2e37), (np.float64, -2e200)])
def test_numbers_too_large_to_square_are_named(dtype, size):
    codes = np.zeros((4, 3), dtype=dtype)
    codes[2, 1] = size
    with pytest.raises(
        ValueError, match=r"codes must be small enough to be squared: row 2, column 1 is -?[12].*rescale"
    ):
        check_codes_as_given(codes)


def test_factors_beyond_whole_numbers_of_double_precision_are_refused():
    with pytest.raises(ValueError, match=r"factors must be whole numbers.*row 1, column 0 is 1e\+30"):
        check_factors(np.array([[0.0], [1e30]]), 2)


def test_nested_lists_that_are_no_matrix_are_refused():
    with pytest.raises(ValueError, match="expected a matrix, got rows of different lengths"):
        check_codes([[1.0, 2.0], [3.0]])


def test_masked_entries_are_refused_and_an_empty_mask_is_none():
    values = np.ma.masked_array(np.ones((3, 2)), [[0, 0], [0, 1], [1, 1]])
    for check in (check_codes, lambda values: check_factors(values, 3), lambda v: check_continuous_factors(v, 3)):
        with pytest.raises(ValueError, match=r"masked array with 3 masked entries, the first at \[1, 1\]; drop"):
            check(values)
    whole = np.ma.masked_array(np.eye(2), False)
    assert check_codes(whole).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "column",
    [np.arange(100), np.random.default_rng(0).permutation(100) * 7 - 5, np.arange(100.0), np.arange(4000) // 2],
)
def test_a_column_that_names_rows_is_no_factor(column):
    factors = np.column_stack([np.arange(len(column)) % 3, column])
    with pytest.raises(ValueError, match=r"factors: column 1 takes (100|2000) values in \d+ rows, so it names rows"):
        check_factors(factors[: 2 * 2000 - 1], len(column[: 2 * 2000 - 1]))


def test_many_values_are_a_factor_while_they_repeat():
    rng = np.random.default_rng(0)
    for factors in (np.arange(99), np.arange(400) % 183, rng.integers(1000, size=1500), rng.integers(10**6, size=90)):
        assert len(check_factors(factors[:, None], len(factors))) == len(factors)


@pytest.mark.parametrize("rows_of_each", [1, 3])
def test_an_id_of_a_hundred_thousand_values_is_refused_at_once(rows_of_each):
    factors = np.tile(np.arange(100_000), rows_of_each)[:, None]
    start = time.perf_counter()
    with pytest.raises(ValueError, match="column 0 takes 100000 values"):
        check_factors(factors, len(factors))
    assert time.perf_counter() - start < 1


def test_scores_in_a_notebook_and_as_a_frame():
    factors = np.random.default_rng(0).integers(4, size=(200, 2))
    codes = factors + np.random.default_rng(1).normal(size=factors.shape) * 0.1
    evaluation = evaluate(codes, factors, metrics="mig,sap", num_resamples=5)
    html = evaluation._repr_html_()
    assert html.count("<tr>") == 3
    assert f"{evaluation.results['mig'].score:.3f}" in html
    frame = evaluation.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.set_index("metric").loc["mig", "value"] == pytest.approx(evaluation.results["mig"].score)


def test_a_frame_without_pandas_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match=r"a DataFrame needs pandas: pip install pandas"):
        Evaluation({}).to_frame()
