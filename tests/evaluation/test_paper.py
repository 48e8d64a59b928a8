import csv
import io

import matplotlib
import numpy as np
import pytest

from contrafact.contract.samples import draw_factors, noisy_codes
from contrafact.evaluation.paper import latex_text
from contrafact.metrics import evaluate, summarize

matplotlib.use("Agg")
FACTORS = draw_factors(200)
CODES = noisy_codes(FACTORS)
pytestmark = pytest.mark.filterwarnings("ignore::contrafact.core.metric.MetricWarning")


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(CODES, FACTORS, metrics="mig,dci,total_correlation", num_resamples=5)


def test_one_evaluation_is_a_table_with_limits(evaluation):
    low, high = evaluation.intervals["mig.score"]
    value = evaluation.scores()["mig.score"]
    row = f"| mig ↑ | {value:.3f} [{low:.3f}, {high:.3f}] |"
    assert row in str(evaluation) == evaluation.to_markdown()
    assert "| dci informativeness train ↑ |" in str(evaluation)
    assert "| total_correlation wasserstein ↓ |" in str(evaluation)
    assert evaluation.to_markdown(1).splitlines()[2] == f"| mig ↑ | {value:.1f} [{low:.1f}, {high:.1f}] |"
    assert "in brackets: 95 % limits by resampling rows" in str(evaluation)
    latex = evaluation.to_latex().splitlines()
    assert latex[:4] == [r"\begin{tabular}{lc}", r"\toprule", r"score & value \\", r"\midrule"]
    assert rf"mig $\uparrow$ & ${value:.3f} [{low:.3f}, {high:.3f}]$ \\" in latex
    assert any(line.startswith(r"total\_correlation wasserstein $\downarrow$") for line in latex)


def test_runs_become_mean_and_sample_deviation(evaluation, tmp_path):
    runs = [evaluate(CODES[rows], FACTORS[rows], metrics="mig,dci") for rows in (slice(0, 120), slice(80, 200))]
    values = [run.scores()["mig.score"] for run in runs]
    evaluation.write(tmp_path / "one.json")
    summary = summarize(
        {"ours_2": runs, "theirs": tmp_path / "one.json", "third": {"fid.score": 3.0, "mig.score": 0.1}}
    )
    cell = summary.columns["ours_2"]["mig.score"]
    assert (cell.mean, cell.deviation, cell.count) == (np.mean(values), pytest.approx(np.std(values, ddof=1)), 2)
    best = evaluation.scores()["mig.score"]
    means = {"ours_2": cell.mean, "theirs": best}
    winner = max(means, key=means.get)
    assert summary.best("mig.score") == {winner}
    assert summary.best("fid.score") == set()
    row = next(line for line in str(summary).splitlines() if line.startswith("| mig"))
    assert f"{cell.mean:.3f} ± {cell.deviation:.3f}" in row
    assert row.count("**") == 2
    assert r"ours\_2" in summary.to_latex()
    assert r"\pm" in summary.to_latex()
    assert r"\mathbf{" in summary.to_latex()
    assert "mean ± sample standard deviation over runs: ours_2 2, theirs 1, third 1" in summary.notes
    lines = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert float(lines[0]["std"]) == cell.deviation
    assert summary.to_frame()["method"].tolist()[:3] == ["ours_2", "theirs", "third"]
    assert summary.to_dict()["methods"]["third"]["fid.score"] == {"mean": 3.0, "std": None, "runs": 1}
    assert "<b>" in summary._repr_html_()


def test_lower_is_better_where_the_metric_says_so():
    assert summarize({"a": {"fid.score": 2.0}, "b": {"fid.score": 3.0}}).best("fid.score") == {"a"}
    assert summarize({"a": {"mine": 2.0}, "b": {"mine": 3.0}}).best("mine") == set()


def test_other_protocols_are_remarked_upon(evaluation):
    other = evaluate(CODES[:150], FACTORS[:150], metrics="mig")
    notes = summarize({"a": evaluation, "b": other}).notes
    assert "mig was measured by different protocols, which do not compare: mig_n150_bins20, mig_n200_bins20" in notes


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="expected at least one method by name"):
        summarize({})
    with pytest.raises(ValueError, match="ours has no runs; pass its evaluations"):
        summarize({"ours": []})
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match="must hold scores by name"):
        summarize({"ours": tmp_path / "x.json"})


def test_the_picture_shows_values_limits_and_what_does_not_fit(evaluation):
    axes = evaluation.plot()
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[0] == "mig ↑"
    assert len(labels) == len(evaluation.scores())
    low, high = evaluation.intervals["mig.score"]
    lines = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(line, [low, high]) for line in lines)
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[0] == pytest.approx(evaluation.scores()["mig.score"])
    beyond = [value for value in evaluation.scores().values() if not -1 <= value <= 1]
    assert [text.get_text() for text in axes.texts] == [f"{value:.3g}" for value in beyond]
    matplotlib.pyplot.close(axes.figure)


def test_a_notebook_shows_bars_and_limits(evaluation):
    html = evaluation._repr_html_()
    assert html.count("<tr>") == 1 + len(evaluation.scores())
    assert f"width:{120 * evaluation.scores()['mig.score']:.0f}px" in html
    assert "calc(" in html


def test_greek_letters_and_signs_are_commands_that_latex_has():
    small = "αβγδεζηθικλμνξπρστυφχψω"
    names = (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
        "omega"
    )
    assert latex_text(small) == "".join(rf"$\{name}$" for name in names.split())
    assert latex_text("\N{GREEK SMALL LETTER OMICRON}ς") == r"o$\varsigma$"
    capitals = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
    assert latex_text("ΓΔΘΛΞΠΣΥΦΨΩ") == "".join(rf"$\{name}$" for name in capitals.split())
    signs = "approx ne infty in leftarrow surd | epsilon"
    assert latex_text("≈≠∞∈←√‖ϵ") == "".join(rf"$\{name}$" for name in signs.split())
