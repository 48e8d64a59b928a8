import csv
import io
import itertools
import json

import numpy as np
import pytest
from rich.console import Console

from contrafact import metrics
from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.core.metric import MetricWarning
from contrafact.evaluation import bootstrap as _bootstrap
from contrafact.evaluation.compare import comparison_notes, comparison_table, flip_p_values, write_comparisons
from contrafact.evaluation.ranks import corrected
from contrafact.metrics import compare, compare_runs

FACTORS = draw_factors(300)


def test_equal_codes_do_not_differ():
    codes = noisy_codes(FACTORS)
    result = compare(codes, codes, FACTORS, metrics="mig,modularity", num_resamples=20)
    assert [c.score for c in result] == ["mig.score", "modularity.score"]
    assert [c.p_corrected for c in result] == [1.0, 1.0]
    for comparison in result:
        assert (comparison.difference, comparison.low, comparison.high, comparison.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_chance_differences_are_rarely_significant():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(20):
        factors = rng.integers(4, size=(200, 2))
        one, two = (factors + rng.normal(size=factors.shape) for _ in range(2))
        p_values.append(compare(one, two, factors, metrics="mig", num_resamples=20)[0].p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.2
    assert np.mean(p_values) > 0.25


def test_continuous_factors_and_metrics_that_split():
    factors = np.random.default_rng(0).random((200, 2))
    results = compare(
        factors, factors @ [[1.0, 1.0], [1.0, -1.0]], factors, metrics="mig,sap", continuous=True, num_resamples=5
    )
    assert [row.score for row in results] == ["mig.score", "sap.score"]
    assert all(row.difference < 0 for row in results)
    codes = noisy_codes(FACTORS)
    split = compare(codes, codes[:, ::-1], FACTORS, metrics="sap,infomec", num_resamples=5)
    assert all(abs(row.difference) < 1e-6 for row in split)


def test_missing_values_leave_rows_or_pairs_out_and_it_is_said():
    one, two = noisy_codes(FACTORS), noisy_codes(FACTORS, noise=0.8)
    hole_1, hole_2 = np.zeros(one.shape, dtype=bool), np.zeros(two.shape, dtype=bool)
    hole_1[:20, 0] = hole_2[15:30, 1] = True
    first, second = np.ma.masked_array(one, hole_1), np.ma.masked_array(two, hole_2)
    with pytest.warns(MetricWarning, match=r"mig\.score, sap\.score: 30 of 300 rows of codes and factors left out"):
        rows = compare(first, second, FACTORS, metrics="mig,sap", num_resamples=5)
    whole = compare(one[30:], two[30:], FACTORS[30:], metrics="mig,sap", num_resamples=5)
    assert [(r.first, r.second, r.p_value) for r in rows] == [(r.first, r.second, r.p_value) for r in whole]
    assert {row.missing for row in whole} == {""}
    with pytest.warns(MetricWarning, match=r"mig\.score: 30 of 300 .* \(pairwise deletion\)"):
        mig, sap = compare(first, second, FACTORS, metrics="mig,sap", missing="pairs", num_resamples=5)
    assert mig.first == pytest.approx(metrics.mig(first, FACTORS).score, abs=1e-12)
    assert mig.first != rows[0].first
    assert sap == rows[1]
    assert comparison_notes([mig, sap], 5)[:2] == [
        "mig.score: 30 of 300 rows of codes and factors have missing values: each code and factor was compared on the "
        "rows that have both (pairwise deletion)",
        "sap.score: 30 of 300 rows of codes and factors left out for a missing value in either code or a factor: "
        "row-wise deletion",
    ]
    with pytest.raises(ValueError, match="20 of 300 rows of codes and factors have missing values"):
        compare(first, second, FACTORS, missing="refuse", num_resamples=5)
    with pytest.raises(ValueError, match="missing must be 'rows', 'pairs' or 'refuse', got 'none'"):
        compare(first, second, FACTORS, missing="none", num_resamples=5)
    nothing = np.ma.masked_array(one, np.eye(1, one.shape[1], dtype=bool).repeat(len(one), axis=0))
    with pytest.raises(ValueError, match="300 of 300 rows of codes and factors have a missing value in one code or"):
        compare(nothing, two, FACTORS, num_resamples=5)


def test_p_values_are_corrected_for_the_number_of_scores():
    worse, codes = noisy_codes(FACTORS, noise=0.8), noisy_codes(FACTORS)
    rows = compare(worse, codes, FACTORS, metrics="mig,modularity,sap", num_resamples=20)
    assert [row.p_corrected for row in rows] == pytest.approx(corrected([row.p_value for row in rows]).tolist())
    assert comparison_notes(rows, 20) == ["20 resamples can give no p below 0.05; corrected for 3 scores by Holm"]
    assert min(row.p_value for row in rows) == pytest.approx(1 / 21)
    plain = compare(worse, codes, FACTORS, metrics="mig", num_resamples=5, correction="none")
    assert plain[0].p_corrected == plain[0].p_value


def test_table_names_both_codes():
    rows = compare(noisy_codes(FACTORS, noise=2.0), noisy_codes(FACTORS), FACTORS, metrics="mig", num_resamples=50)
    out = io.StringIO()
    Console(file=out, width=120).print(comparison_table(rows, "old", "new"))
    for text in ("new against old", "mig.score", f"{rows[0].difference:+.4f}", f"{rows[0].low:+.4f} to"):
        assert text in out.getvalue()


def test_comparisons_are_written(tmp_path):
    codes = noisy_codes(FACTORS)
    rows = compare(codes, codes[:, :3], FACTORS, metrics="mig,modularity", num_resamples=5)
    written = json.loads(write_comparisons(rows, tmp_path / "c.json").read_text())
    assert [line["score"] for line in written] == ["mig.score", "modularity.score"]
    lines = list(csv.DictReader(write_comparisons(rows, tmp_path / "c.csv").open()))
    assert float(lines[0]["difference"]) == written[0]["difference"] == rows[0].difference
    with pytest.raises(ValueError, match=r"results are written as \.json or \.csv, got 'c\.txt'"):
        write_comparisons(rows, tmp_path / "c.txt")


def test_infinite_scores_are_left_out():
    factors = FACTORS[:, :2]
    codes = np.hstack([factors, factors.sum(axis=1, keepdims=True)]) * 1.0
    with pytest.warns(MetricWarning, match="linear function of the others"):
        rows = compare(codes, noisy_codes(FACTORS), factors, metrics="total_correlation", num_resamples=3)
    assert "total_correlation.total_correlation" not in [row.score for row in rows]
    assert np.isfinite([row.p_value for row in rows]).all()


def test_held_out_rows_are_resampled_too():
    codes = noisy_codes(FACTORS)
    result = compare(
        codes, codes + 1e-9, FACTORS, codes[:99], codes[:99] + 1e-9, FACTORS[:99], metrics="sap", num_resamples=3
    )
    assert result[0].difference == pytest.approx(0.0, abs=1e-6)


def test_refusals():
    codes = noisy_codes(FACTORS)
    with pytest.raises(ValueError, match="both codes must be of the same images, got 300 and 200 rows"):
        compare(codes, codes[:200], FACTORS)
    with pytest.raises(ValueError, match="both codes must be of the same images, got 99 and 0 rows"):
        compare(codes, codes, FACTORS, codes[:99], None, FACTORS[:99])
    with pytest.raises(ValueError, match="num_resamples must be at least 2"):
        compare(codes, codes, FACTORS, num_resamples=1)


def test_a_factor_too_rare_to_resample_is_an_error_not_a_crash():
    rare = np.zeros((3, 1), dtype=int)
    rare[0] = 1
    codes = np.arange(6.0).reshape(3, 2)
    # A resample of three rows misses one of the two values in a third of the cases, 20 times in a row hardly ever.
    assert compare(codes, codes, rare, metrics="mig", num_resamples=50)[0].p_value == 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bootstrap, "MOST_REDRAWS", 1)
        with pytest.raises(ValueError, match="1 resamples of 3 rows left a factor constant; use more points"):
            compare(codes, codes, rare, metrics="mig", num_resamples=50)


def test_sign_flips_by_counting():
    assert compare_runs([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]) == pytest.approx(2 / 8)
    assert compare_runs([0.0, 0.0], [1.0, -1.0]) == 1.0
    many = compare_runs(np.zeros(20), np.ones(20), num_flips=1000)
    assert many == pytest.approx(1 / 1000)
    with pytest.raises(ValueError, match="expected two finite vectors of the same length"):
        compare_runs([1.0], [2.0])


@pytest.mark.parametrize("num_runs", [4, 16])
def test_many_pairs_at_once_are_each_tested_as_if_alone(num_runs):
    """By a loop over the patterns where all are tried, one pair at a time where they are drawn."""
    differences = np.random.default_rng(3).normal(size=(300, num_runs)).round(1)
    together = flip_p_values(differences)
    if num_runs == 4:
        for row, p in zip(differences, together, strict=True):
            sums = [abs(np.dot(signs, row)) for signs in itertools.product([1, -1], repeat=num_runs)]
            assert p == np.mean([value >= abs(row.sum()) - 1e-9 for value in sums])
    else:
        alone = [compare_runs(np.zeros(num_runs), row) for row in differences]
        assert together == pytest.approx(alone, abs=1e-12)
