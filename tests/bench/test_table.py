"""The table of rows tested against one of them, from cells written by hand."""

import itertools
import json
import re
from dataclasses import replace

import pytest

from contrafact.bench.recipe import Column, Recipe, Row, load_recipe
from contrafact.bench.results import as_latex, as_markdown, stored
from contrafact.bench.table import (
    Scores,
    grids,
    is_higher_better,
    paired_grid,
    ranks_grid,
    results_grid,
    split_by_device,
    standings_grid,
)

COLUMNS = {"gap": ("mig", "score"), "loss": ("log", "loss")}
RECIPE = Recipe("t", "t", tuple(Row(name, "vae") for name in ("control", "ours", "other")), COLUMNS, against="control")


def cells(name, gaps, **more):
    return [Scores(name, seed, {"gap": gap, **more}, 1.0) for seed, gap in enumerate(gaps)]


def sign_flips(differences):
    """Share of all patterns of signs whose mean is at least as far from nothing."""
    means = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(mean >= means[0] - 1e-12 for mean in means) / len(means)


def test_each_row_less_the_control_seed_by_seed_with_corrected_p():
    control, ours, other = [0.1, 0.3, 0.2, 0.1], [0.4, 0.5, 0.6, 0.3], [0.2, 0.1, 0.2, 0.3]
    by_row = {"control": cells("control", control), "ours": cells("ours", ours), "other": cells("other", other)[::-1]}
    lines = paired_grid(RECIPE, by_row).to_markdown().splitlines()
    assert lines[0] == "| less control | gap | loss |"
    p = sorted(sign_flips([b - a for a, b in zip(control, scores, strict=True)]) for scores in (ours, other))
    assert p[0] == 0.125
    assert lines[2:] == [
        f"| ours | +0.275 (p {2 * p[0]:.2g}) | – |",
        f"| other | +0.025 (p {max(2 * p[0], p[1]):.2g}) | – |",
    ]


@pytest.mark.parametrize("ours", [[], [0.2]])
def test_one_seed_or_none_is_no_comparison(ours):
    by_row = {"control": cells("control", [0.1, 0.2]), "ours": cells("ours", ours), "other": []}
    assert paired_grid(RECIPE, by_row) is None


def test_only_seeds_that_both_have_are_compared():
    by_row = {"control": cells("control", [0.1, 0.2]), "ours": cells("ours", [0.2, 0.3, 9.0]), "other": []}
    assert "| ours | +0.100 (p 0.5) | – |" in paired_grid(RECIPE, by_row).to_markdown()


def test_the_best_two_rows_of_a_column_by_their_means_over_what_all_have():
    gaps = {"control": [0.1, 0.3, 0.2, 0.9], "ours": [0.4, 0.5, 0.1], "other": [0.3, 0.1, 0.2, 0.1]}
    by_row = {name: cells(name, scores, loss=0.0) for name, scores in gaps.items()}
    lines = standings_grid(RECIPE, by_row).to_markdown().splitlines()
    assert lines[0] == "| column | best (mean rank) | next | difference | runs | p | smallest p of so few |"
    shared = {name: scores[:3] for name, scores in gaps.items()}  # the fourth seed is not everybody's
    p = sign_flips([a - b for a, b in zip(shared["ours"], shared["control"], strict=True)])
    # ranks by seed, the largest first: ours 1, 1, 3; other 2, 3, 1.5; control 3, 2, 1.5
    assert lines[2:] == [f"| gap | ours (1.7) | control (2.2) | +0.133 | 3 | {p:.2g} | 0.25 |"], "a log has no best end"


def test_the_lower_mean_is_the_best_where_the_metric_says_so():
    recipe = Recipe("t", "t", RECIPE.rows[:2], {"FID": ("fid", "score")})
    by_row = {
        name: [Scores(name, seed, {"FID": value}, 1.0) for seed, value in enumerate(values)]
        for name, values in {"control": [30.0, 31.0], "ours": [20.0, 25.0]}.items()
    }
    assert (
        standings_grid(recipe, by_row)
        .to_markdown()
        .splitlines()[2]
        .startswith("| FID | ours (1.0) | control (2.0) | -8.000 |")
    )


@pytest.mark.parametrize("scores", [{"control": [0.1, 0.2]}, {"control": [0.1], "ours": [0.2]}])
def test_nothing_stands_where_nothing_is_shared(scores):
    by_row = {name: cells(name, scores.get(name, [])) for name in ("control", "ours", "other")}
    assert standings_grid(RECIPE, by_row) is None


@pytest.mark.parametrize("apart", [{"device": "cuda:0 (NVIDIA H200)"}, {"seed": 10}])
def test_a_row_that_shares_no_run_with_the_others_is_left_out_of_their_ranks(apart):
    gaps = {"control": [0.1, 0.3, 0.2], "ours": [0.4, 0.5, 0.1], "other": [0.9, 0.9, 0.9]}
    by_row = {name: [cell._replace(device="cpu") for cell in cells(name, scores)] for name, scores in gaps.items()}
    together = standings_grid(replace(RECIPE, rows=RECIPE.rows[:2]), by_row)
    for name in ("other", "control"):
        elsewhere = [dict(apart, seed=apart["seed"] + cell.seed) if "seed" in apart else apart for cell in by_row[name]]
        moved = [cell._replace(**change) for cell, change in zip(by_row[name], elsewhere, strict=True)]
        left = [row for row in ("control", "ours", "other") if row != name]
        lines = standings_grid(RECIPE, {**by_row, name: moved}).to_markdown().splitlines()
        assert sorted(re.findall(r"(\w+) \(\d\.\d\)", lines[2])) == sorted(left)
    assert together.to_markdown() == standings_grid(RECIPE, {**by_row, "other": []}).to_markdown()


def test_every_row_has_its_mean_rank():
    gaps = {"control": [0.1, 0.3, 0.2, 0.9], "ours": [0.4, 0.5, 0.1], "other": [0.3, 0.1, 0.2, 0.1]}
    by_row = {name: cells(name, scores, loss=0.0) for name, scores in gaps.items()}
    assert ranks_grid(RECIPE, by_row).to_markdown().splitlines() == [
        "| mean rank, 1 the best | gap |",
        "| --- | --- |",
        "| control | 2.2 |",
        "| ours | 1.7 |",
        "| other | 2.2 |",
    ]
    assert ranks_grid(RECIPE, {**by_row, "ours": [], "other": []}) is None


def on_generators(name, by_generator, source):
    return [
        Scores(name, seed, {"gap": gap}, 1.0, source, "cpu", generator=generator)
        for generator, gaps in by_generator.items()
        for seed, gap in enumerate(gaps)
    ]


def test_bold_is_the_best_of_those_that_are_ranked_alone():
    columns = {**COLUMNS, "FID": ("fid", "score")}
    recipe = Recipe("t", "t", tuple(Row(name, "vae", {"gap": (0.9, 0.1)}) for name in ("a", "b", "c")), columns)
    by_row = {
        "a": cells("a", [0.1, 0.3], loss=0.1, FID=9.0),
        "b": cells("b", [0.3, 0.4], loss=0.2, FID=9.5),
        "c": cells("c", [0.9], loss=0.3, FID=1.0),  # one run is not ranked
    }
    grid = results_grid(recipe, by_row)
    bold = {(grid.rows[row][0], grid.rows[row][place]) for row, place in grid.best}
    assert bold == {("b", "0.350 ± 0.071"), ("a", "9.000 ± 0.000")}
    assert results_grid(recipe, {**by_row, "b": by_row["b"][:1]}).best == frozenset()


def test_every_row_of_a_tie_is_bold():
    by_row = {"control": cells("control", [0.1, 0.2]), "ours": cells("ours", [0.7, 0.1]), "other": []}
    by_row["other"] = cells("other", [0.1, 0.7])
    grid = results_grid(RECIPE, by_row)
    assert [grid.rows[row][place] for row, place in sorted(grid.best)] == ["0.400 ± 0.424"] * 2
    assert {grid.rows[row][0] for row, _ in grid.best} == {"ours", "other"}
    by_row["other"] = cells("other", [0.1, 0.69999])
    assert {grid.rows[row][0] for row, _ in results_grid(RECIPE, by_row).best} == {"ours"}


def test_latex_has_the_tables_of_the_markdown_and_what_was_computed_in_comments():
    recipe = Recipe("A title", "t", (Row("β_1", "vae", {"gap": (0.9, None)}), Row("b", "vae")), COLUMNS)
    by_row = {name: cells(name, scores) for name, scores in {"β_1": [0.1, 0.2], "b": [0.3, 0.5]}.items()}
    facts = {"title": "A title", "remark": "50 %\n\\dangerous", "environment": {"device": "cpu", "started": "now"}}
    latex = as_latex(recipe.title, grids(recipe, by_row), facts, {"b, seed 3": "it\nbroke"})
    assert latex.count(r"\begin{tabular}") == latex.count(r"\bottomrule") == 3
    assert r"$\beta$\_1 & 0.150 $\pm$ 0.071 & 0.900 & -- & 2 & 1 s \\" in latex
    assert r"b & \textbf{0.400 $\pm$ 0.141} & -- & -- & 2 & 1 s \\" in latex
    comments = [line for line in latex.splitlines() if line.startswith("%")]
    assert comments[0] == "% A title"
    assert comments[2:] == [r"% remark: 50 % \dangerous", "% device: cpu", "% failed: b, seed 3: it broke"]
    outside = [line for line in latex.splitlines() if line and line[0] not in "%" and "&" not in line]
    assert all(re.match(r"\\(begin|end|toprule|midrule|cmidrule|bottomrule)", line) for line in outside)


def test_a_remark_of_several_lines_is_one_line_of_the_list():
    recipe = Recipe("A\ntitle", "t", (Row("a", "vae"),), COLUMNS)
    facts = {"title": "A title", "remark": "50 %\n- more", "environment": {"device": "cpu"}}
    tables = grids(recipe, {"a": cells("a", [0.1])})
    lines = as_markdown(recipe.title, tables, facts, {"b, seed 3": "it\nbroke"})[1].splitlines()
    assert lines[0] == "# A title"
    assert lines[-3:] == ["- remark: 50 % - more", "- device: cpu", "- failed: b, seed 3: it broke"]


def test_rows_on_several_kinds_of_source_are_compared_by_their_means_over_generators():
    by_row = {
        "control": cells("control", [0.1, 0.2]),
        "ours": on_generators("ours", {0: [0.3, 0.5], 1: [0.5, 0.9]}, "glow-on-shapes3d (seed 0, 344e056e)"),
        "other": on_generators("other", {0: [0.3, 0.4]}, "vae-on-shapes3d (seed 0, 8f284fe6)"),
    }
    for row in by_row:
        by_row[row] = [cell._replace(device="cpu") for cell in by_row[row]]
    assert (
        standings_grid(RECIPE, by_row).to_markdown().splitlines()[2]
        == "| gap | ours (1.0) | other (2.0) | +0.200 | 2 | 0.5 | 0.5 |"
    )
    assert "| ours | +0.400 (p 1) | – |" in paired_grid(RECIPE, by_row).to_markdown()


def test_rows_on_one_kind_of_generator_are_compared_on_each():
    source = "glow-on-shapes3d (seed 0, 344e056e)"
    by_row = {
        "control": on_generators("control", {0: [0.1, 0.1], 1: [0.1, 0.1]}, source),
        "ours": on_generators("ours", {0: [0.2, 0.2], 1: [0.2, 0.2]}, source),
        "other": [],
    }
    assert standings_grid(RECIPE, by_row).to_markdown().splitlines()[2].endswith("| +0.100 | 4 | 0.12 | 0.12 |"), (
        "four pairs"
    )


def test_only_rows_on_the_same_data_are_ranked_against_each_other():
    rows = tuple(Row(f"{name}, {data}", "vae", source=data) for data in ("a", "b") for name in ("x", "y"))
    recipe = Recipe("t", "t", (*rows, Row("z", "sefa"), Row("of z", "control")), {"MIG": ("mig", "score")})
    means = {"x, a": 0.1, "y, a": 0.2, "x, b": 0.4, "y, b": 0.3, "z": 0.9, "of z": 0.8}
    by_row = {
        name: [Scores(name, seed, {"MIG": mean + seed}, 1.0, "", "cpu") for seed in (0, 1)]
        for name, mean in means.items()
    }
    for name in ("z", "of z"):
        by_row[name] = [cell._replace(source="c (17513da0)") for cell in by_row[name]]
    assert [line.split(" | ")[:3] for line in standings_grid(recipe, by_row).to_markdown().splitlines()[2:]] == [
        ["| MIG, on a", "y, a (1.0)", "x, a (2.0)"],
        ["| MIG, on b", "x, b (1.0)", "y, b (2.0)"],
        ["| MIG, on c", "z (1.0)", "of z (2.0)"],
    ]
    lines = ranks_grid(recipe, by_row).to_markdown().splitlines()
    assert lines[0] == "| mean rank, 1 the best of its data | MIG |"
    assert [line[-6:-2] for line in lines[2:]] == [" 2.0", " 1.0", " 1.0", " 2.0", " 1.0", " 2.0"]
    alone = Recipe("t", "t", (*rows[:2], *recipe.rows[4:]), recipe.columns)
    assert "| MIG | z (1.0) | of z (2.0) |" in standings_grid(alone, by_row).to_markdown(), (
        "one data set: it stands for that"
    )


def test_translations_are_better_where_they_vary_more_and_what_stands_beside_is_not_ranked():
    recipe = load_recipe("contralord-table3")
    titles = ("FID", "FID, untranslated", "LPIPS", "LPIPS, real")
    cells = {
        name: [Scores(name, seed, dict.fromkeys(titles, value), 1.0, "x", "cpu") for seed in (0, 1)]
        for name, value in (("LORD", 0.1), ("OverLORD", 0.9), ("ContraLORD", 0.5))
    }
    lines = standings_grid(recipe, cells).to_markdown().splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [["| FID", "LORD (1.0)"], ["| LPIPS", "OverLORD (1.0)"]]


def test_a_recipe_says_which_end_of_a_column_is_better_where_its_metric_does_not():
    ends = {"high": None, "others": "lower", "beside": "neither"}
    columns = {title: Column("matched_rescoring", title, better=better) for title, better in ends.items()}
    recipe = Recipe("t", "t", RECIPE.rows[:2], columns)
    by_row = {
        name: [Scores(name, seed, dict.fromkeys(ends, value + 0.1 * seed), 1.0, "x", "cpu") for seed in (0, 1)]
        for name, value in (("control", 1.0), ("ours", 2.0))
    }
    lines = standings_grid(recipe, by_row).to_markdown().splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [["| high", "ours (1.0)"], ["| others", "control (1.0)"]]


def test_what_a_direction_of_a_face_changes_besides_had_better_be_little():
    recipe = load_recipe("faces")
    lower = {title for title in recipe.columns if not is_higher_better(recipe, title)}
    assert lower == {"years: others", "male: others", "turn: others", "mouth: others", "lost"}


def test_cells_of_older_files_are_on_the_device_that_their_file_says(tmp_path):
    new = [{**cell._asdict(), "device": "cuda:0 (NVIDIA H200)"} for cell in cells("ours", [0.4, 0.5])]
    old = [{**cell._asdict(), "device": ""} for cell in cells("control", [0.1, 0.2])]
    file = {
        "recipe": "t",
        "title": "t",
        "scale": "small",
        "rows": {name: {"published": {}, "cells": found} for name, found in (("control", old), ("ours", new))},
    }

    def stands(**environment):
        path = tmp_path / "results.json"
        path.write_text(json.dumps({**file, **environment}))
        recipe, rows, _ = stored(path, RECIPE)
        return standings_grid(*split_by_device(recipe, rows)) is not None

    assert stands(environment={"device": "cuda:1 (NVIDIA H200)"})
    assert not stands(environment={"device": "cpu (x86_64)"}), "computed on another kind"
    assert stands(), "nothing is said, and there is one kind"
    new[0]["device"] = "cpu (x86_64)"
    assert not stands(), "nothing is said, and there are two kinds"
