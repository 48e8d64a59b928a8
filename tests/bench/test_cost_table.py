"""What `benchmarks/scale.py fit` knows of a training: from its run, or from a table whose cell the plan still has."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contrafact.bench.plan import Bench
from contrafact.bench.recipe import Recipe, Row, Trained
from contrafact.bench.runner import run_bench
from contrafact.core.plugins import load_file
from contrafact.evaluation.regression import RegressionSettings

VAE = {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4}
RECIPE = Recipe(
    "t",
    "t",
    (
        Row("images", "beta_vae", settings=VAE, source="shapes3d", data={"size": 32}),
        Row("control", "control"),
        Row("shipped", "random", settings={"num_directions": 2}, source="shapes3d-64"),
        Row("trained", "random", settings={"num_directions": 3}),
    ),
    {"MIG": ("mig", "score")},
    sources={"small": Trained("beta_vae", "shapes3d", VAE, data={"size": 16}, seeds=(0,))},
    regression={"small": RegressionSettings(steps=2, batch_size=4, width=0.1)},
    num_train=60,
    num_test=20,
)


@pytest.fixture
def costs(monkeypatch):
    script = load_file(Path(__file__).parents[2] / "benchmarks" / "scale.py")
    monkeypatch.setattr(script, "load_recipe", lambda name: RECIPE)
    return script


def test_sides_are_those_of_the_images_whatever_the_recipe_calls_its_data(costs, tmp_path):
    run_bench(Bench("t", RECIPE, tmp_path, seeds=(0,), device="cpu"))
    computed = {key: training for key, training, _ in costs.computed(tmp_path / "cells")}
    stored = {key: training for key, training, _ in costs.stored(tmp_path / "results.json")}
    assert [one[:1] + one[2:] for one in stored.values()] == [
        ("beta_vae", 32, 2, 4),
        ("random", 64, None, None),
        ("random", 16, None, None),
    ]
    assert {key: one._replace(source="") for key, one in computed.items() if key in stored} == {
        key: one._replace(source="") for key, one in stored.items()
    }
    assert len(computed) == 4, "the generator's own training too"


def test_a_number_whose_cell_the_plan_has_no_longer_is_left_out(costs, tmp_path, monkeypatch):
    run_bench(Bench("t", RECIPE, tmp_path, seeds=(0,), device="cpu", rows=("images", "shipped")))
    assert len(list(costs.stored(tmp_path / "results.json"))) == 2
    first, *others = RECIPE.rows
    changed = replace(RECIPE, rows=(replace(first, settings={**VAE, "steps": 3}), *others))
    monkeypatch.setattr(costs, "load_recipe", lambda name: changed)
    assert [one.method for _, one, _ in costs.stored(tmp_path / "results.json")] == ["random"]
    results = json.loads((tmp_path / "results.json").read_text())
    for row in results["rows"].values():
        for cell in row["cells"]:
            cell["key"] = None  # as in tables from before cells had keys
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert list(costs.stored(tmp_path / "results.json")) == []


def test_a_line_says_seconds_a_step_where_steps_are_what_takes_the_time(costs):
    line = costs._line(costs.Training("disco", "shapes3d", 32, 250, 66), [20.0, 16.5, 30.0])
    assert line == "| disco | shapes3d | 32 | 250 × 66 | 20.0 (16.5, 30.0) | 0.080 | 1.21 | 3 |"
    line = costs._line(costs.Training("joint_diagonal", "faces", 64, 1, 128), [9.0])
    assert line == "| joint_diagonal | faces | 64 | – | 9.0 (9.0, 9.0) | – | – | 1 |"
