"""Suites: one protocol for all, whose shipped scores are of exactly the rows that it has."""

import json
import re
import sys
from pathlib import Path

import pytest

from contrafact.bench.plan import method_of, plan, score_cells
from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.suite import (
    Suite,
    bench_of,
    check_budget,
    enter,
    load_suite,
    protocol,
    shipped,
    standings,
    suite_names,
)
from contrafact.cli import main
from contrafact.core.plugins import load_file
from contrafact.evaluation.regression import RegressionSettings
from contrafact.methods import CATALOG
from tests.bench.conftest import OWN

SUITES = suite_names()
TINY = """
from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.suite import Suite
from contrafact.evaluation.regression import RegressionSettings

SUITE = Suite(
    Recipe(
        title="Tiny",
        table="none: ours",
        rows=tuple(Row(name, name, settings={"num_directions": 2}) for name in ("random", "sefa")),
        columns={"MIG": ("mig", "score")},
        presets={"small": "quick"},
        sources={"small": "shapes3d"},
        data={"small": {"size": 16}},
        regression={"small": RegressionSettings(steps=2, batch_size=4, width=0.1)},
        num_train=60,
        num_test=20,
    ),
    seeds=(0, 1),
    images=1000,
    data="shapes3d",
)
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A small suite and a method of one's own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY)
    (tmp_path / "obedient.py").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize("name", SUITES)
def test_what_is_left_out_of_a_suite_is_catalogued_and_has_a_reason(name):
    suite = load_suite(name)
    left_out = sys.modules[next(m for m, v in sys.modules.items() if getattr(v, "SUITE", None) is suite)].LEFT_OUT
    entered = {CATALOG.resolve(row.method) for row in suite.recipe.rows}
    assert set(left_out) <= set(CATALOG.own_names())
    assert not entered & set(left_out)
    assert all(len(reason) > 10 for reason in left_out.values())


@pytest.mark.parametrize("name", SUITES)
def test_no_row_takes_more_images_than_the_suite_allows_all_stages_together(name):
    suite = load_suite(name)
    for row in suite.recipe.rows:
        settings = method_of(bench_of(suite, None, Path()), row).hyperparameters()
        size = settings.get("batch_size") or 0
        taken = (settings.get("steps") or 0) * size
        for stage in ("encoder", "synthesis", "amortization", "tuning"):
            taken += settings.get(f"{stage}_steps", 0) * settings.get(f"{stage}_batch_size", size)
        assert taken <= suite.images, row.name
        check_budget(suite, row)


@pytest.mark.parametrize("name", SUITES)
def test_what_was_shipped_are_the_scores_of_the_rows_as_they_are(name):
    """A preset that changes makes its row's scores old: `contrafact bench --suite NAME --all --rows ROW` mends it."""
    suite = load_suite(name)
    results = shipped(name)
    bench = bench_of(suite, None, Path())
    expected = {row.name: {} for row in suite.recipe.rows}
    for cell in score_cells(bench, set(expected)):
        expected[cell.row.name][cell.seed] = cell.key
    for row, line in results["rows"].items():
        assert {cell["seed"]: cell["key"] for cell in line["cells"]}.items() <= expected[row].items(), row
        assert all(cell["scores"].keys() == suite.recipe.columns.keys() for cell in line["cells"]), row
    assert any(line["cells"] for line in results["rows"].values())


def test_a_method_of_ones_own_is_ranked_among_them(tiny, capsys):
    assert main(["bench", "--suite", "tiny.py", "--all"]) == 0
    assert main(["bench", "obedient.py:Obedient", "--suite", "tiny.py", "--set", "steps=2"]) == 0
    assert main(["bench", "--suite", "tiny.py", "--all", "--seeds", "4", "--plan", "--jobs", "4"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"24 cells: 12 done, 12 to do; .* h of one process, 0\.0 h of 4\n", said)
    assert "| **Obedient, steps 2** |" in said
    assert "all 3 methods are in it" in said
    out = tiny / "runs" / "bench" / "suite-tiny"
    assert "Obedient, steps 2" in (out / "leaderboard.html").read_text()
    found = standings(load_suite("tiny.py"), "tiny.py", out)
    assert {entry.name: (entry.is_own, entry.seeds) for entry in found.entries} == {
        "random": (False, 2),
        "sefa": (False, 2),
        "Obedient, steps 2": (True, 2),
    }
    recorded = json.loads((out / "entry-obedient-steps-2" / "results.json").read_text())["rows"]["Obedient, steps 2"]
    (own,) = (entry for entry in found.entries if entry.is_own)
    assert list(own.scores["MIG"]) == [cell["scores"]["MIG"] for cell in recorded["cells"]]
    assert own.learns_from == "generator"


def test_it_begins_from_what_was_shipped_and_one_row_can_be_computed_again(tiny, capsys):
    assert main(["bench", "--suite", "tiny.py", "--all"]) == 0
    first = json.loads((tiny / "runs" / "bench" / "suite-tiny" / "catalogued" / "results.json").read_text())
    first["rows"]["random"]["cells"] = first["rows"]["random"]["cells"][:1]
    first["rows"]["sefa"]["cells"][0]["scores"]["MIG"] = 0.75
    (tiny / "tiny.json").write_text(json.dumps(first))
    assert main(["bench", "--suite", "tiny.py", "--out", "elsewhere"]) == 0
    assert "| 1 | sefa | 1.0 | 0.3" in capsys.readouterr().out, "the mean of 0.75 and of what SeFa has"
    assert main(["bench", "--suite", "tiny.py", "--out", "elsewhere", "--all", "--rows", "random"]) == 0
    again = json.loads((tiny / "elsewhere" / "catalogued" / "results.json").read_text())["rows"]
    assert len(again["random"]["cells"]) == 2
    assert again["sefa"]["cells"] == first["rows"]["sefa"]["cells"]


def test_methods_that_learn_from_few_labels_get_them_and_no_others():
    suite, labelled = load_suite("shapes3d"), load_suite("shapes3d-labels")
    few = enter(labelled, "labels_only", {"steps": 500})
    assert (few.data, few.source) == ({"labels": 100}, "shapes3d")
    assert enter(suite, "simclr", {"steps": 10}).data == {}
    assert enter(suite, "sefa").source is None
    first = plan(bench_of(labelled, few, Path(), seeds=(2,)), {few.name})[0]
    assert first.facts["source"] == {"name": "shapes3d", "size": 32, "labels": 100, "label_seed": 2}


@pytest.mark.parametrize(
    ("suite", "method", "message"),
    [
        ("shapes3d", "labels_only", "labels_only learns from few labels, and the suite has none"),
        (
            "shapes3d-labels",
            "sefa",
            "sefa learns without labels, and the suite is for methods that learn from few; take another",
        ),
    ],
)
def test_what_was_told_of_factors_is_not_ranked_with_what_was_not(suite, method, message):
    with pytest.raises(ValueError, match=message):
        enter(load_suite(suite), method, {})


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("beta_vae", {}, "would take 256,000 images .* at most --set steps=781"),
        ("beta_vae", {"step": 3}, "unknown setting"),
        ("stylegan2", {}, "stylegan2 yields generator, and the suite scores codes"),
    ],
)
def test_what_cannot_enter_is_told_why(method, settings, message):
    with pytest.raises(ValueError, match=message):
        enter(load_suite("shapes3d"), method, settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "shapse3d"], "unknown suite 'shapse3d'; did you mean 'shapes3d'"),
        (["--suite", "shapes3d", "--scale", "paper"], "protocol is the same for everybody; leave out --scale"),
        (
            ["--suite", "shapes3d", "--keep", "x", "--finished", "y"],
            "in its folder, --out; leave out --keep and --finished",
        ),
        (["sefa", "--suite", "shapes3d", "--data", "dsprites"], "leave out --data"),
        (["sefa", "--suite", "shapes3d", "--all"], "leave sefa out, or --all"),
        (["--suite", "shapes3d", "--set", "steps=3"], "--set and --called are of a method; name it"),
        (["disco-quick", "--set", "steps=3"], "--set and --called are of a method that enters a --suite"),
        (["--suite", "none.py"], "none.py does not exist"),
    ],
)
def test_bad_questions_are_answered(arguments, message, tiny, capsys):
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_without_a_suite_is_refused(tiny):
    (tiny / "no.py").write_text("SUITE = 3\n")
    with pytest.raises(ValueError, match=r"no\.py is no suite: expected a contrafact\.bench\.suite\.Suite, got int"):
        load_suite("no.py")


def test_the_protocol_in_words():
    regression = RegressionSettings(steps=7, batch_size=8)
    recipe = Recipe("t", "t", (Row("a", "sefa"),), {"MIG": ("mig", "score")}, regression={"small": regression})
    said = protocol(Suite(recipe, (3,), 1234, "shapes3d"))
    assert said["budget"] == "at most 1,234 images in a training"
    assert "7 steps of 8 generated images" in said["directions alone"]
    assert "labels" not in said
    labelled = protocol(load_suite("shapes3d-labels"))
    assert labelled["labels"].startswith("100 annotated images")
    assert "directions alone" not in labelled


def test_a_suite_of_ones_own_is_code_that_somebody_named(tiny):
    assert load_suite("tiny.py") is load_file("tiny.py").SUITE
