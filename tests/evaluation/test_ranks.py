import matplotlib
import numpy as np
import pytest
from scipy.stats import friedmanchisquare, wilcoxon

from contrafact.evaluation.ranks import corrected, paired, rank_methods, runs_needed, smallest_p
from contrafact.metrics import compare_runs

matplotlib.use("Agg")

# Demšar 2006, Table 6: areas of four variants of a tree on 14 data sets. It prints the third and the fourth variant
# alike for the data set "voting", 0.975, and ranks the third before the fourth.
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
AREAS = np.array(
    [
        *([0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967]),
        *([0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931]),
        *([0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875]),
        *([1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669]),
        *([0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970]),
    ]
)
SCORES = dict(zip(NAMES, AREAS.T, strict=True))


def test_demsars_worked_example():
    ranking = rank_methods(SCORES, test="nemenyi")
    assert np.round(ranking.mean_ranks, 3).tolist() == [3.143, 2.0, 2.893, 1.964]
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
    assert ranking.groups() == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]
    loose = rank_methods(SCORES, test="nemenyi", level=0.1)
    assert loose.critical_difference == pytest.approx(1.12, abs=0.005)
    assert {(d.first, d.second) for d in loose.differences if d.differs} == {("C4.5", "C4.5+m"), ("C4.5", "C4.5+m+cf")}
    assert loose.groups() == [("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5")]
    assert ranking.chi_squared == pytest.approx(
        friedmanchisquare(*AREAS.T).statistic
    )  # the paper's 9.28 leaves ties in
    # Without ties the statistic and F are the paper's formulas.
    order = np.array([[1, 2, 3, 4], [2, 1, 3, 4], [1, 3, 2, 4], [1, 2, 4, 3], [2, 1, 4, 3]])
    untied = rank_methods({str(m): -order[:, m] for m in range(4)})
    mean = order.mean(axis=0)
    assert untied.chi_squared == pytest.approx(12 * 5 / (4 * 5) * ((mean**2).sum() - 4 * 25 / 4))


def test_pairs_are_tested_and_corrected():
    ranking = rank_methods(SCORES)
    first = ranking.differences[0]
    assert (first.first, first.second) == ("C4.5", "C4.5+m")
    assert first.p_value == pytest.approx(wilcoxon(AREAS[:, 1] - AREAS[:, 0]).pvalue)
    assert first.difference == pytest.approx(AREAS[:, 1].mean() - AREAS[:, 0].mean())
    expected = corrected([pair.p_value for pair in ranking.differences])
    assert [pair.p_corrected for pair in ranking.differences] == pytest.approx(expected.tolist())
    flips = rank_methods(SCORES, test="flip", correction="none")
    assert flips.differences[1].p_value == compare_runs(AREAS[:, 0], AREAS[:, 2]) == flips.differences[1].p_corrected
    worse = rank_methods(SCORES, score="fid.score")
    assert worse.mean_ranks == pytest.approx([5 - rank for rank in ranking.mean_ranks])
    same = rank_methods({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    assert (same.chi_squared, same.p_value, same.differences[0].p_value) == (0.0, 1.0, 1.0)


def test_holm_step_by_step():
    # Sorted 0.01, 0.02, 0.03, 0.2: times 4, 3, 2, 1, and never below one before.
    assert corrected([0.03, 0.01, 0.2, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert corrected([0.03, 0.4], "bonferroni").tolist() == pytest.approx([0.06, 0.8])
    assert corrected([0.6, 0.7]).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="correction must be 'holm', 'bonferroni' or 'none', got 'fdr'"):
        corrected([0.1], "fdr")
    with pytest.raises(ValueError, match="expected p-values between 0 and 1"):
        corrected([1.5])


@pytest.mark.parametrize("num_runs", [3, 5, 6, 8])
def test_the_smallest_p_is_what_a_constant_difference_gives(num_runs):
    zeros, ones = np.zeros(num_runs), 1 + np.arange(num_runs) / 100
    assert smallest_p(num_runs) == pytest.approx(compare_runs(zeros, ones)) == wilcoxon(ones).pvalue
    for tests in (1, 6):
        needed = runs_needed(0.05, tests)
        assert smallest_p(needed) * tests < 0.05 <= smallest_p(needed - 1) * tests


def test_notes_say_what_so_many_runs_can_show():
    notes = rank_methods({name: values[:5] for name, values in SCORES.items()}).notes()
    assert notes[1] == "pairs: Wilcoxon's signed-rank test, two-sided, 6 of them, corrected by Holm"
    assert notes[2] == (
        "5 paired runs can give no p below 0.0625, and none below 0.375 once corrected: no difference, however large, "
        "can show at 0.05; 8 runs can show one"
    )
    assert "cannot" not in rank_methods(SCORES).notes()[2]
    assert rank_methods(SCORES, test="nemenyi").notes()[1].endswith("mean ranks differ at 0.05 from 1.25 apart")


def test_runs_are_paired_by_what_all_methods_have():
    runs = [("a", "0", {"s": 1.0}), ("a", "2", {"s": 3.0}), ("b", "2", {"s": 4.0}), ("b", "0", {"s": 2.0, "t": 1.0})]
    runs += [("a", "1", {"s": 9.0})]
    assert paired(runs, "s") == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    with pytest.raises(ValueError, match="no run has the score 'u'; they have: s, t"):
        paired(runs, "u")
    with pytest.raises(ValueError, match="a has two runs '0' with s"):
        paired([*runs, ("a", "0", {"s": 5.0})], "s")
    with pytest.raises(ValueError, match="runs that all of them have, at least two, paired by seed; got a: 0; b: 1"):
        paired([("a", "0", {"s": 1.0}), ("b", "1", {"s": 1.0})], "s")


def test_refusals():
    with pytest.raises(ValueError, match=r"each with a score of the same two or more runs; got a \(3,\)"):
        rank_methods({"a": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"got a \(3,\), b \(2,\)"):
        rank_methods({"a": [1, 2, 3], "b": [1, 2]})
    with pytest.raises(ValueError, match="scores must be finite"):
        rank_methods({"a": [1, np.nan], "b": [1, 2]})
    with pytest.raises(ValueError, match="test must be 'wilcoxon', 'flip' or 'nemenyi', got 't'"):
        rank_methods(SCORES, test="t")


def test_the_picture_has_each_method_at_its_rank_and_a_bar_for_each_group():
    ranking = rank_methods(SCORES, test="nemenyi", level=0.1)
    axes = ranking.plot()
    texts = [text.get_text() for text in axes.texts]
    for label in ("C4.5+m+cf  1.96", "C4.5+m  2.00", "2.89  C4.5+cf", "3.14  C4.5", "critical difference 1.12"):
        assert label in texts
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() > 3]
    assert [(round(low, 2), round(high, 2)) for low, high in bars] == [(1.93, 2.92), (2.86, 3.17)]
    assert ranking.to_dict()["groups"] == [["C4.5+m+cf", "C4.5+m", "C4.5+cf"], ["C4.5+cf", "C4.5"]]
    matplotlib.pyplot.close(axes.figure)


def test_tables_list_methods_by_rank_and_pairs_by_p():
    ranks, pairs = rank_methods(SCORES).tables()
    assert next(iter(ranks.columns[0].cells)) == "C4.5+m+cf"
    assert next(iter(pairs.columns[0].cells)) == "C4.5+m − C4.5"
