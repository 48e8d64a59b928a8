"""Generators that are trained first: cells of their own, shared by every run on them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from contrafact.bench.plan import Bench, plan, score_cells
from contrafact.bench.recipe import Column, Recipe, Row, Trained
from contrafact.bench.runner import CellsFailed, run_bench
from contrafact.contract.promise import Broken
from contrafact.contract.recipe import Subject, gives_settings_that_methods_take, trains_generators_that_are_there
from contrafact.evaluation.regression import RegressionSettings

LIGHT = RegressionSettings(steps=2, batch_size=4, width=0.1)
TINY = Trained(
    "beta_vae",
    "shapes3d",
    {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4},
    data={"size": 16},
    seeds=(0, 1),
)
ROWS = tuple(Row(name, name, settings={"num_directions": 2}, regression=LIGHT) for name in ("random", "ganspace"))


def a_bench(out, *rows, columns=None, **options):
    recipe = Recipe("t", "t", rows or ROWS, columns or {"MIG": ("mig", "score")}, num_train=60, num_test=20)
    recipe = replace(recipe, sources={"small": TINY})
    return Bench("tiny", recipe, out, **{"seeds": (0, 1, 2), "device": "cpu", **options})


def names(bench):
    return {row.name for row in bench.recipe.rows}


def test_runs_at_every_seed_on_every_generator_share_the_generators(tmp_path):
    bench = a_bench(tmp_path, seeds=tuple(range(5)), generators=tuple(range(5)))
    cells = plan(bench, names(bench))
    kinds = [(cell.kind, cell.method) for cell in cells]
    assert kinds.count(("train", "beta_vae")) == 5
    assert kinds.count(("train", "random")) == kinds.count(("score", "ganspace")) == 25
    pairs = [(cell.seed, cell.generator) for cell in score_cells(bench, {"random"})]
    assert set(pairs) == {(seed, generator) for seed in range(5) for generator in range(5)}
    assert pairs[:5] == [(seed, seed) for seed in range(5)], "both vary as soon as there is more than one number"
    assert all(cell.needs[0].method == "beta_vae" for cell in cells if (cell.kind, cell.method) == ("train", "random"))


def test_a_row_that_trains_the_same_shares_its_cell(tmp_path):
    alone = Row("VAE", "beta_vae", settings=TINY.settings, source="shapes3d", data=TINY.data)
    bench = a_bench(tmp_path, alone, ROWS[0], seeds=(0,), generators=(0,))
    trainings = [cell.key for cell in plan(bench, names(bench)) if cell.kind == "train"]
    assert [key.partition("-seed")[0] for key in trainings] == ["beta-vae", "random"]


def test_another_setting_of_the_generator_makes_all_on_it_other_cells(tmp_path):
    def keys(generator):
        bench = a_bench(tmp_path, seeds=(0,))
        bench = replace(bench, recipe=replace(bench.recipe, sources={"small": generator}))
        return {cell.key for cell in plan(bench, names(bench))}

    assert keys(TINY) == keys(replace(TINY))
    assert not keys(TINY) & keys(replace(TINY, settings={**TINY.settings, "steps": 3}))
    assert keys(replace(TINY, seeds=(0,))) < keys(TINY)


def test_they_are_computed_once_and_the_table_says_on_how_many(tmp_path):
    bench = a_bench(tmp_path, ROWS[0], Row("control", "control", regression=LIGHT), seeds=(0, 1))
    table = run_bench(bench)
    cells = json.loads((tmp_path / "results.json").read_text())["rows"]["random"]["cells"]
    assert [(cell["seed"], cell["generator"]) for cell in cells] == [(0, 0), (1, 1), (0, 1), (1, 0)]
    sources = {cell["generator"]: cell["source"] for cell in cells}
    assert sources[0].startswith("beta_vae-on-shapes3d (seed 0, ")
    assert len(set(sources.values())) == 2
    assert len(list((tmp_path / "cells").glob("beta-vae-seed*"))) == 2
    mean = np.mean([cell["scores"]["MIG"] for cell in cells])
    assert f"| random | {mean:.3f} ± " in table
    assert "| 4 on 2 generators |" in table
    assert run_bench(replace(bench, generators=(0,), seeds=(0,))).count("| 1 on 1 generator |") == 2


def test_one_judge_for_all_generators_of_the_same_images(tmp_path):
    bench = a_bench(tmp_path, ROWS[0], columns={"MDS": ("mds", "score")})
    assert [cell.kind for cell in plan(bench, {"random"})].count("judge") == 1


def test_a_source_that_is_asked_for_stands_for_it(tmp_path):
    bench = a_bench(tmp_path, ROWS[0], source="shapes3d")
    assert [cell.method for cell in plan(bench, {"random"}) if cell.kind == "train"] == ["random"] * 3
    other = a_bench(tmp_path, ROWS[0], columns={"r": Column("recovery", "score", "analytic:sprite", {"size": 16})})
    needs = [cell.needs for cell in plan(other, {"random"}) if cell.kind == "train"]
    assert {len(found) for found in needs} == {0, 1}, "a column's own generator is there already"


def test_what_a_generator_could_not_learn_is_said_of_all_on_it(tmp_path, monkeypatch):
    from contrafact.bench import cells as bench_cells

    train = bench_cells._COMPUTE["train"]

    def fail(bench, cell):
        if cell.method == "beta_vae":
            raise RuntimeError("no light")
        return train(bench, cell)

    monkeypatch.setitem(bench_cells._COMPUTE, "train", fail)
    with pytest.raises(
        CellsFailed, match=r"1 of 4 cells of tiny failed .*row 'generator beta_vae' at seed 0: no light"
    ):
        run_bench(a_bench(tmp_path, ROWS[0], seeds=(0,), generators=(0,)))
    assert json.loads((tmp_path / "results.json").read_text())["failed"] == {
        "random, seed 0 on generator 0": "no light"
    }


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (replace(TINY, method="betavea"), "unknown method 'betavea'"),
        (replace(TINY, method="simclr"), "simclr trains no generator on images"),
        (replace(TINY, seeds=()), "the generators of beta_vae have no seeds"),
    ],
)
def test_a_recipe_whose_generator_cannot_be_trained_is_refused(generator, message):
    recipe = Recipe("t", "t", ROWS, {"MIG": ("mig", "score")}, sources={"small": generator})
    with pytest.raises(Broken, match=message):
        trains_generators_that_are_there(Subject(recipe))


def test_a_generator_of_one_scale_is_checked_at_that_scale_alone():
    rows = (Row("DisCo", "disco", source={"small": "shapes3d", "paper": TINY}),)
    recipe = Recipe("t", "t", rows, {"MIG": ("mig", "score")}, small={"samples_per_direction": 6})
    gives_settings_that_methods_take(Subject(recipe))
    for wrong in (
        replace(recipe, rows=(replace(rows[0], source=TINY),)),
        replace(recipe, rows=(replace(rows[0], source={"small": TINY}),)),
        replace(recipe, rows=(Row("DisCo", "disco"),), sources={"small": TINY}),
    ):
        with pytest.raises(Broken, match="row 'generator beta_vae': beta_vae has no samples_per_direction"):
            gives_settings_that_methods_take(Subject(wrong))
