import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.evaluation.bootstrap import bootstrap, centred_limits, deviations, draw_rows, split_as_scored
from contrafact.evaluation.codes import call_static
from contrafact.metrics import CATALOG, evaluate, infomec, sap

FACTORS = draw_factors(300)
CODES = noisy_codes(FACTORS)


@pytest.mark.filterwarnings("ignore:sap. one code only")
def test_limits_cover_the_truth_about_as_often_as_they_say():
    # The squared correlation of a known pair of Gaussians is known.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        hidden = rng.normal(size=(200, 1))
        codes = 0.8 * hidden + 0.6 * rng.normal(size=(200, 1))
        data = {"codes": codes, "factors": hidden}
        settings = {"continuous": True}
        result = call_static("sap", data, settings, 0)
        low, high = bootstrap("sap", data, result, settings, 60, seed=1)["score"]
        hits += low <= 0.64 <= high
    assert hits >= 32


def test_limits_are_quantiles_moved_to_the_estimate():
    values = np.linspace(10.0, 12.0, 201)
    low, high = centred_limits(0.5, deviations(values, repeats=True), level=0.9)
    assert (low, high) == (pytest.approx(0.5 - 0.9), pytest.approx(0.5 + 0.9))
    # Two thirds of the rows lie from the whole at half of its variance.
    low, high = centred_limits(0.5, deviations(values, repeats=False), level=0.9)
    assert (low, high) == (pytest.approx(0.5 - 0.9 * 2**0.5), pytest.approx(0.5 + 0.9 * 2**0.5))


def test_two_thirds_stretched_have_the_spread_of_a_mean():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=900)
    means = [sample[draw_rows({"codes": sample[:, None]}, False, rng)["codes"]].mean() for _ in range(2000)]
    assert deviations(np.array(means), repeats=False).std() == pytest.approx(sample.std() / 30, rel=0.06)


def test_resamples_repeat_rows_and_two_thirds_do_not():
    data = {"codes": CODES, "factors": FACTORS, "codes_test": CODES[:99], "factors_test": FACTORS[:99]}
    rng = np.random.default_rng(0)
    rows, parts = draw_rows(data, True, rng), draw_rows(data, False, rng)
    assert set(rows) == set(parts) == set(data)
    assert [len(rows["codes"]), len(rows["codes_test"])] == [300, 99]
    assert len(np.unique(rows["codes"])) < 230
    assert [len(parts["codes"]), len(np.unique(parts["codes"])), len(parts["codes_test"])] == [200, 200, 66]
    assert rows["codes"] is rows["factors"]


def test_a_row_never_ends_on_both_sides_of_a_split():
    data = {"codes": np.arange(300.0)[:, None] + [0.0, 0.5], "factors": FACTORS}
    result = call_static("sap", data, {}, 0)
    parts = split_as_scored(data, result, repeats=True)
    assert [len(parts["codes"]), len(parts["codes_test"])] == [result.num_train, result.num_test] == [200, 100]
    assert not set(parts["codes"][:, 0]) & set(parts["codes_test"][:, 0])
    # The same third as the metric's own: nothing but the protocol's name changes.
    assert sap(*(parts[key] for key in ("codes", "factors", "codes_test", "factors_test"))).score == result.score
    whole = call_static("mig", data, {}, 0)
    assert split_as_scored(data, whole, repeats=True) is data
    assert split_as_scored(parts, result, repeats=True) is parts
    assert split_as_scored(data, call_static("zerodim", data, {}, 0), repeats=False) is data


@pytest.mark.parametrize("name", ["infomec", "zerodim", "irs", "med", "modularity"])
def test_metrics_misled_by_repeated_rows_say_so(name):
    assert not CATALOG.module(name).INFO.repeats


def test_two_thirds_measure_the_spread_of_fresh_samples():
    def sample(seed):
        rng = np.random.default_rng(seed)
        factors = rng.integers((4, 3, 2), size=(300, 3))
        return factors + 0.5 * rng.normal(size=factors.shape), factors

    fresh = [infomec(*sample(seed)).compactness for seed in range(24)]
    codes, factors = sample(100)
    low, high = bootstrap("infomec", {"codes": codes, "factors": factors}, infomec(codes, factors), {}, 30, 0)[
        "compactness"
    ]
    assert 0.5 < (high - low) / (4 * np.std(fresh)) < 1.8


def test_limits_stay_within_the_range_of_their_own_score():
    rng = np.random.default_rng(0)
    codes, factors = rng.normal(size=(120, 3)), rng.integers([2, 3], size=(120, 2))
    found = evaluate(codes, factors, metrics="smoothness,clustering", num_resamples=40)
    scores = found.scores()
    low, high = found.intervals["smoothness.negative_log"]
    assert 0 < low < scores["smoothness.negative_log"] < high
    assert low > 1  # headline scores end there
    low, high = found.intervals["clustering.ari"]
    assert low < 0 < high  # chance is 0, and samples lie on both sides
    for name, (low, high) in found.intervals.items():
        metric, score = name.split(".")
        lowest, highest = CATALOG.module(metric).INFO.range_of(score)
        assert lowest <= low <= scores[name] <= high <= highest


def test_the_robustness_of_codes_that_deviate_from_a_value_s_mean_is_negative():
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(2000, 1))
    codes = np.where(rng.random((2000, 1)) < 0.9 - 0.8 * factors, -1.0, 1.0)
    found = evaluate(codes, factors, metrics="irs", num_resamples=40)
    low, high = found.intervals["irs.score"]
    # At each value nine in ten lie at one end: the 99th percentile is 1.8 from the mean there, 1 from the mean of all.
    assert found.scores()["irs.score"] == pytest.approx(-0.8, abs=0.1)
    assert low < found.scores()["irs.score"] < high < 0


def test_the_largest_of_all_points_is_resampled_by_thirds():
    codes, factors = CODES[:90], FACTORS[:90]
    data = {"codes": codes, "factors": factors}
    result = call_static("irs", data, {}, 0)
    rng = np.random.default_rng(4)
    drawn = []
    for _ in range(10):
        rows = rng.permutation(90)[:30]
        drawn.append(call_static("irs", {"codes": codes[rows], "factors": factors[rows]}, {}, 0).score)
    low, high = bootstrap("irs", data, result, {}, 10, seed=4)["score"]
    assert low == pytest.approx(result.score - 1.959964 * np.std(drawn, ddof=1))
    assert high == pytest.approx(min(1.0, result.score + 1.959964 * np.std(drawn, ddof=1)))
