"""The page of all results says what the files of results say, and chooses among them without looking at scores."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from contrafact.bench.results import rewrite, stored
from contrafact.methods import CATALOG

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def overview():
    spec = importlib.util.spec_from_file_location("overview", RESULTS / "overview.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(overview):
    assert overview.PAGE.read_text(encoding="utf-8") == overview.page(), "run python docs/results/overview.py"


def test_the_leaderboards_are_up_to_date(overview):
    written = {path.name: path.read_text(encoding="utf-8") == text for path, text in overview.boards()}
    assert written == {"suite_shapes3d.md": True, "suite_shapes3d_labels.md": True}, (
        "run python docs/results/overview.py"
    )
    assert all(
        f"/results/{name}" in (RESULTS.parent / "leaderboard.md").read_text(encoding="utf-8") for name in written
    )


def test_the_costs_are_up_to_date(overview):
    written = {path.name: path.read_text(encoding="utf-8") == text for path, text in overview.costs()}
    assert written == {"cost_images.md": True, "cost_generator.md": True}, "run python docs/results/overview.py"
    assert all(f"/results/{name}" in (RESULTS.parent / "scale.md").read_text(encoding="utf-8") for name in written)


def test_every_line_of_a_table_has_the_cells_of_its_head(overview):
    for table in re.findall(r"(?:^\|.*\n)+", overview.page(), flags=re.MULTILINE):
        lines = table.splitlines()
        bars = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
        assert [line for line, number in zip(lines, bars, strict=True) if number != bars[0]] == []


def test_a_line_is_the_mean_of_its_table(overview):
    table = json.loads((RESULTS / "disco_quick.json").read_text(encoding="utf-8"))
    scores = [cell["scores"]["MIG"] for cell in table["rows"]["DisCo, quick"]["cells"]]
    row = next(row for row in overview.measured() if row.recipe == "disco-quick")
    assert (row.method, row.data, row.seeds) == ("disco", "generator shapes3d", 5)
    assert f"MIG {np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f}" in overview.scores(row).replace("\u00a0", " ")


def test_more_seeds_are_chosen_before_better_scores(overview):
    few = overview.Measured("disco-quick", "few", "disco", "generator a", {"MIG": [0.9]}, 1, "2026-11-29")
    many = few._replace(row="many", scores={"MIG": [0.1, 0.2]}, seeds=2, date="2026-11-01")
    for rows in ([few, many], [many, few]):
        assert "many" in overview.matrix(rows)
        assert "few" not in overview.matrix(rows)


def test_a_papers_table_is_chosen_before_a_newer_one_of_ours(overview):
    ours = overview.Measured("contralord-budgets", "ours", "zerodim", "a", {"D": [0.9, 0.9]}, 2, "2026-11-30")
    paper = ours._replace(recipe="contralord-table2", row="a paper's", date="2026-11-01")
    for rows in ([ours, paper], [paper, ours]):
        assert "a paper's" in overview.matrix(rows)
        assert "ours" not in overview.matrix(rows)


@pytest.mark.parametrize(
    ("method", "data", "labels", "row"),
    [
        ("disco", "generator analytic:sprite", "–", "random, free (control), `disco-table12`, there a control"),
        ("sub_infomax", "digits-garments", "–", "InfoMin, λ = 0.001, `sub-infomax-digits`"),
        ("sub_infomax", "mnist-stl", "–", "orthogonality, λ = 0.001, `sub-infomax-table3`"),
        ("beta_vae", "shapes3d", "–", "β-VAE, `vae-shapes3d`"),
        ("cd_gan", "fashion-mnist", "–", "CD-GAN, no labels, `cd-gan-table2`"),
        ("cd_gan", "fashion-mnist", "0.024", "CD-GAN, few labels, `cd-gan-table2`"),
        ("semi_supervised_vae", "shapes3d", "–", "semi-supervised, no labels, `vae-shapes3d`"),
    ],
)
def test_a_line_is_of_the_method_itself_with_labels_or_without(overview, method, data, labels, row):
    name, lines = "", []
    for line in overview.matrix(list(overview.measured())).splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        name = cells[0].partition("]")[0].strip("[") or name
        if (name, cells[1], cells[2]) == (method, data, labels):
            lines.append(cells[5])
    assert lines == [row]


def test_a_control_stands_for_a_method_only_where_there_is_nothing_else_of_it(overview):
    control = overview.Measured("directions", "a", "random", "b", {"MIG": [0.9]}, 9, "2026-11-30", "control")
    assert "| a, `directions`, there a control |" in overview.matrix([control])
    itself = control._replace(row="itself", seeds=1, role="method")
    assert "there a" not in overview.matrix([control, itself])
    told = control._replace(row="told", seeds=19, role="ceiling")
    part = control._replace(row="part", seeds=9, role="ablation")
    for rows in ([told, control, part], [part, told, control], [control, part, told]):
        assert "| a, `directions`, there a control |" in overview.matrix(rows)
    assert "| part, `directions`, there an ablation |" in overview.matrix([told, part])


@pytest.fixture
def on_two_kinds(tmp_path, overview, monkeypatch):
    """A table with one more run of every row, on a GPU."""
    results = json.loads((RESULTS / "vae_shapes3d.json").read_text(encoding="utf-8"))
    for line in results["rows"].values():
        for cell in line["cells"]:
            cell["device"] = "cpu (x86_64)"
        line["cells"].append(
            {**line["cells"][0], "seed": 9, "device": "cuda:0 (NVIDIA H200)", "scores": {"MIG": 0.9, "DCI": 0.9}}
        )
    (tmp_path / "vae_shapes3d.json").write_text(json.dumps(results))
    monkeypatch.setattr(overview, "FOLDER", tmp_path)
    return results


def test_runs_on_processors_and_on_gpus_are_never_averaged(overview, on_two_kinds):
    found = [(row.row, row.seeds, row.scores["MIG"]) for row in overview.measured() if row.method == "beta_tcvae"]
    runs = [cell["scores"]["MIG"] for cell in on_two_kinds["rows"]["β-TCVAE"]["cells"]]
    assert found == [("β-TCVAE (cpu)", 5, runs[:5]), ("β-TCVAE (cuda)", 1, [0.9])]


def test_beside_the_papers_each_kind_of_device_has_its_own_line(overview, on_two_kinds):
    lines = overview.beside_papers().splitlines()[2:]
    published = [line["published"]["MIG"][0] for line in on_two_kinds["rows"].values() if line["published"]]
    assert ["(`vae-shapes3d`, cpu)" in lines[0], "(`vae-shapes3d`, cuda)" in lines[1], len(lines)] == [True, True, 2]
    assert f"| MIG {np.mean([0.9 - value for value in published]):+.2f}; DCI" in lines[1]


def test_every_table_with_published_numbers_says_why_ours_are_others(overview):
    tables = {path.stem: stored(path) for path in RESULTS.glob("*.json")}
    published = {
        name for name, (recipe, cells, results) in tables.items() if overview.against_papers(recipe, cells, results)[0]
    }
    assert set(overview.readings()) == published


def test_every_method_has_a_number_or_is_named_as_having_none(overview):
    page = overview.PAGE.read_text(encoding="utf-8")
    assert [name for name in CATALOG if f"[{name}](reference/methods/{name}.md)" not in page] == []


def test_every_method_says_when_to_use_it():
    pages = {name: (RESULTS.parent / "methods" / f"{name}.md").read_text(encoding="utf-8") for name in CATALOG}
    assert [name for name, text in pages.items() if not text.startswith("**Use it when**")] == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_stored_table_is_what_this_version_writes(path):
    assert path.with_suffix(".md").read_text(encoding="utf-8") == rewrite(path), "run python docs/results/overview.py"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_stored_table_says_which_row_is_best_where_two_have_several_runs(path):
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"].values()
    is_comparable = sum(len(line["cells"]) > 1 for line in rows) > 1
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert ("| column | best (mean rank) | next |" in text) == is_comparable
    assert ("| mean rank, 1 the best" in text) == is_comparable


def test_pages_find_the_parts_of_tables_that_they_show():
    docs, found = RESULTS.parent, 0
    pattern = r":::\{include\} (/results/\S+)\n:start-after: (\".*\")\n:end-before: (\".*\")\n"
    for page in (*docs.glob("*.md"), *docs.glob("m*/*.md")):
        for file, start, end in re.findall(pattern, page.read_text(encoding="utf-8")):
            text = (docs / file.lstrip("/")).read_text(encoding="utf-8")
            _, begun, rest = text.partition(json.loads(start))
            part, ended, _ = rest.partition(json.loads(end))
            assert begun, (page.name, file, start)
            assert ended, (page.name, file, end)
            assert part.lstrip().startswith("|  |"), (page.name, file)
            found += 1
    assert found > 20


def test_a_row_that_the_recipe_has_no_longer_stays_in_its_table(tmp_path):
    results = json.loads((RESULTS / "disco_quick.json").read_text(encoding="utf-8"))
    results["rows"]["an old one"] = {
        "published": {"MIG": [0.5, 0.1]},
        "cells": results["rows"]["DisCo, quick"]["cells"],
    }
    (tmp_path / "old.json").write_text(json.dumps(results))
    line = next(line for line in rewrite(tmp_path / "old.json").splitlines() if line.startswith("| an old one |"))
    assert "0.500 ± 0.100" in line


def test_every_picture_of_the_page_is_there(overview):
    files = [overview.PICTURES / picture.file for picture in overview.drawn()]
    assert files
    assert [file for file in files if not file.is_file()] == [], "run python docs/results/overview.py"


def test_curves_and_ranks_are_drawn_where_there_is_something_to_draw(overview):
    shown = {picture.file: picture.text for picture in overview.drawn()}
    assert [file for file in shown if file.startswith("sweep")] == ["sweep-disco_fig6.png", "sweep-disco_table6.png"]
    assert "ranks-garments.png" in shown
    assert "ranks-disco_quick.png" not in shown, "two rows need no picture of their ranks"
    assert "ranks-disco_table1.png" not in shown, "three runs"
    assert shown["ranks-faces.png"].endswith("mean ranks by years over 5 runs")


def test_a_picture_shows_runs_on_processors_and_on_gpus_as_two_rows(overview, on_two_kinds):
    runs = next(picture for picture in overview.drawn() if picture.file.startswith("runs"))
    figure = runs.figure()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["VAE (cpu)", "VAE (cuda)"]


def test_a_methods_page_has_all_its_rows(overview):
    rows = list(overview.measured())
    for name in CATALOG:
        own, section = [row for row in rows if row.method == name], overview.of_method(name, rows)
        assert bool(own) == bool(section)
        assert section.count("`contrafact bench ") == len(own)
    section = overview.of_method("random", rows)
    assert all("(a control)" in line for line in section.splitlines() if "bench joint-diagonal`" in line)
    assert overview.of_method("nobody's", rows) == ""
