"""The smoke scale is derived, so that what is not asked for here cannot be forgotten in a recipe."""

import json

import pytest

from contrafact.bench.plan import Bench, method_of, plan, score_cells, source_of
from contrafact.bench.recipe import Column, Recipe, Row, Trained, load_recipe, recipe_names
from contrafact.bench.runner import run_bench
from contrafact.bench.smoke import SMOKE, STAND_IN, smoked
from contrafact.evaluation.run import CONTROL
from contrafact.methods import CATALOG

MOST_STEPS, MOST_IMAGES = 4, 24


def smoke(name, out, **options):
    return Bench(name, smoked(load_recipe(name)), out, SMOKE, (0,), **options)


def is_of_a_class(row):
    """Whether the row is about a class of the user's own generator, for which there is no stand-in."""
    return row.scales == ("paper",) and "label" in row.changes


@pytest.mark.parametrize("name", recipe_names())
def test_every_row_of_every_recipe_has_it_and_is_tiny(name, tmp_path):
    bench, recipe = smoke(name, tmp_path), load_recipe(name)
    assert [row.name for row in bench.recipe.rows] == [row.name for row in recipe.rows]
    cells = list(score_cells(bench, {row.name for row in recipe.rows}))
    assert [cell.row.name for cell in cells] == [
        row.name for row in recipe.rows if row.method == CONTROL or (row.method in CATALOG and not is_of_a_class(row))
    ]
    for row in bench.recipe.rows:
        if row.method not in CATALOG or not row.scales:
            continue
        settings = method_of(bench, row).hyperparameters()
        steps = {name: value for name, value in settings.items() if name == "steps" or name.endswith("_steps")}
        assert all(value <= MOST_STEPS for value in steps.values()), steps
        assert settings.get("batch_size", 0) <= MOST_IMAGES
        source = source_of(bench, row)
        assert not isinstance(source, Trained) or source.settings["steps"] <= MOST_STEPS


def test_settings_that_tell_rows_apart_stay():
    rows = smoked(load_recipe("disco-table6")).rows
    assert [row.settings["threshold"] for row in rows] == [0.7, 0.8, 0.9, 0.95, 0.98]
    assert {row.settings["steps"] for row in rows} == {2}
    assert smoked(load_recipe("disco-table3")).num_latents < 10, "of metrics of edits"


def test_what_is_not_at_hand_is_replaced(tmp_path):
    rows = (
        Row("own generator", "latentclr", settings={"layer": "generator.layers.4"}, scales=("paper",)),
        Row("own images", "beta_vae", source="cars3d", data={"labels": 1000}, scales=("paper",)),
    )
    columns = {"MIG": ("mig", "score"), "FID": ("fid", "score"), "r": Column("recovery", "score", "faces.pkl")}
    recipe = smoked(Recipe("t", "t", rows, columns, presets={"paper": "paper"}))
    generator, images = recipe.rows
    assert (generator.source, images.source) == (STAND_IN, STAND_IN)
    assert "layer" not in generator.settings
    assert images.data == {"size": 16, "labels": 40, "factors": ("floor-hue",)}
    assert list(recipe.columns) == ["MIG", "r"], "no classifier is trained for FID"
    assert recipe.columns["r"].generator == STAND_IN


def test_a_table_runs_from_end_to_end(tmp_path):
    """Typical methods, regressed encoders, a control, and a generator that is trained first."""
    rows = ("β-TCVAE", "CF on GAN", "DisCo on Flow", "control on Flow")
    bench = smoke("disco-table1", tmp_path, rows=rows, device="cpu")
    kinds = {cell.kind for cell in plan(bench, set(rows))}
    assert kinds == {"train", "read", "control", "score"}
    table = run_bench(bench)
    assert "β-TCVAE | 0." in table
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["failed"] == {}
    assert [name for name, row in results["rows"].items() if row["cells"]] == list(rows)
