"""What is drawn is what was measured: read back from the axes."""

from dataclasses import replace

import numpy as np
import pytest

from contrafact.bench.pictures import draw, runs_picture, sweep_picture
from contrafact.bench.recipe import Recipe, Row, load_recipe
from contrafact.bench.table import Scores, split_by_device

ROWS = (
    Row("T = 0.7", "disco", {"MIG": (0.2, 0.05)}),
    Row("T = 0.95", "disco", {"MIG": (0.5, None)}),
    Row("T = 12,800", "disco"),
    Row("nobody", "disco"),
)
RECIPE = Recipe("t", "t", ROWS, {"MIG": ("mig", "score"), "loss": ("log", "loss")}, sweep="threshold T")
VALUES = {
    "T = 0.7": [0.1, 0.2, 0.4],
    "T = 0.95": [0.3, 0.31, 0.4, 0.5, 0.6, 0.2],
    "T = 12,800": [0.2, 0.3, 0.9],
    "nobody": [],
}
CELLS = {
    name: [Scores(name, seed, {"MIG": value, "loss": -value}, 1.0) for seed, value in enumerate(values)]
    for name, values in VALUES.items()
}


@pytest.fixture(autouse=True)
def no_windows(monkeypatch):
    from matplotlib import pyplot

    yield
    pyplot.close("all")


def test_every_run_is_a_dot_and_a_violin_stands_around_many():
    figure = runs_picture(RECIPE, CELLS)
    panel = figure.axes[0]
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in dots] == [VALUES[row.name] for row in ROWS[:3]]
    assert [set(line.get_ydata()) for line in dots] == [{0}, {1}, {2}]
    means = [
        float(line.get_xdata()[0]) for line in panel.lines if line.get_marker() == "|" and line.get_markersize() == 13
    ]
    assert means == pytest.approx([np.mean(VALUES[row.name]) for row in ROWS[:3]])
    published = [float(line.get_xdata()[0]) for line in panel.lines if line.get_marker() == "D"]
    assert published == [0.2, 0.5]
    violins = [
        body for body in panel.collections if body.__class__.__name__ in ("PolyCollection", "FillBetweenPolyCollection")
    ]
    assert len(violins) == 1, "of three runs no shape is drawn"
    assert [text.get_text() for text in panel.get_yticklabels()] == [row.name for row in ROWS[:3]]
    with pytest.raises(ValueError, match="there are no runs to draw"):
        runs_picture(RECIPE, {name: [] for name in VALUES})


def test_a_curve_runs_over_the_number_in_the_rows_names():
    panel, loss = sweep_picture(RECIPE, CELLS).axes
    ours = next(line for line in panel.lines if line.get_label() == "ours")
    assert list(ours.get_xdata()) == [0.7, 0.95, 12800.0]
    assert list(ours.get_ydata()) == pytest.approx([np.mean(VALUES[row.name]) for row in ROWS[:3]])
    published = next(line for line in panel.lines if line.get_label() == "published")
    assert (list(published.get_xdata()), list(published.get_ydata())) == ([0.7, 0.95], [0.2, 0.5])
    assert loss.get_legend() is None, "nobody published the loss"
    with pytest.raises(ValueError, match="a curve over threshold T needs two rows with a number in their name"):
        sweep_picture(replace(RECIPE, rows=ROWS[:1]), {"T = 0.7": CELLS["T = 0.7"]})


def drawn(panel):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines}


def test_a_sweep_of_two_things_is_two_curves_that_may_share_a_row():
    """DisCo's Fig. 6: N at a fixed sum, and N at a fixed ratio."""
    recipe = load_recipe("disco-fig6")
    means = {row.name: place / 10 for place, row in enumerate(recipe.rows)}
    cells = {
        name: [Scores(name, seed, dict.fromkeys(recipe.columns, mean), 1.0) for seed in (0, 1)]
        for name, mean in means.items()
    }
    ratios = [(8, 88), (16, 80), (32, 64), (48, 48), (64, 32), (80, 16)]
    sums = [(8, 16), (16, 32), (32, 64), (64, 128)]
    for panel in sweep_picture(recipe, cells).axes:
        assert drawn(panel) == {
            label: ([n for n, _ in pairs], [means[f"N : M = {n} : {m}"] for n, m in pairs])
            for label, pairs in (("N + M = 96", ratios), ("M = 2 N", sums))
        }
        assert [text.get_text() for text in panel.get_legend().get_texts()] == ["N + M = 96", "M = 2 N"]


def test_what_was_published_has_the_colour_of_its_curve():
    recipe = replace(RECIPE, curves={"high": ("T = 12,800",), "low": ("T = 0.7", "T = 0.95")})
    lines = sweep_picture(recipe, CELLS).axes[0].lines
    (published,) = (line for line in lines if line.get_marker() == "D")
    assert list(published.get_ydata()) == [0.2, 0.5]
    assert {line.get_label() for line in lines if line.get_color() == published.get_color()} >= {"low"}
    assert "high" not in {line.get_label() for line in lines if line.get_color() == published.get_color()}


@pytest.mark.parametrize("curves", [{}, {"low": ("T = 0.7", "T = 0.95"), "high": ("T = 12,800",)}])
def test_runs_on_another_kind_of_device_are_a_curve_of_their_own_and_what_was_published_is_drawn_once(curves):
    recipe = replace(RECIPE, sweep="T", curves=curves)
    on_cpu = {name: [run._replace(device="cpu (x86_64)") for run in runs] for name, runs in CELLS.items()}
    on_gpu = [run._replace(device="cuda:0") for run in CELLS["T = 0.7"]]
    panel = sweep_picture(*split_by_device(recipe, {**on_cpu, "T = 0.7": [*on_cpu["T = 0.7"], *on_gpu]})).axes[0]
    assert {line.get_label(): list(line.get_xdata()) for line in panel.lines if line.get_marker() == "o"} == (
        {"low (cpu)": [0.7, 0.95], "low (cuda)": [0.7], "high (cpu)": [12800.0]}
        if curves
        else {"ours (cpu)": [0.7, 0.95, 12800.0], "ours (cuda)": [0.7]}
    )
    (published,) = (line for line in panel.lines if line.get_marker() == "D")
    assert (list(published.get_xdata()), list(published.get_ydata())) == ([0.7, 0.95], [0.2, 0.5])


def test_files_are_written_for_what_there_is(tmp_path):
    files = draw(RECIPE, CELLS, tmp_path, "t")
    assert [file.name for file in files] == ["t-runs.png", "t-sweep.png", "t-ranks-mig.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    begun = {**CELLS, "T = 0.7": [], "T = 12,800": []}
    assert [file.name for file in draw(RECIPE, begun, tmp_path / "begun", "t")] == ["t-runs.png"]
    plain = replace(RECIPE, sweep="", rows=ROWS[:2])
    assert [file.name for file in draw(plain, CELLS, tmp_path / "two", "t")] == ["t-runs.png"]
