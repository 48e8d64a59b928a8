"""What cells take, before any is finished here."""

import json
import re

import pytest

from contrafact.bench.check import asked_rows
from contrafact.bench.forecast import forecast, forecasts
from contrafact.bench.plan import Bench, plan
from contrafact.bench.recipe import load_recipe, recipe_names
from contrafact.bench.usual import Kind, Times, shipped, take_down
from contrafact.cli import main
from contrafact.core.files import write_json
from contrafact.methods import CATALOG

SEFA = Kind("train", "sefa", "small", "directions")


def record(cells, key, kind, seconds, state="done"):
    (cells / key).mkdir(parents=True)
    write_json(
        cells / key / "cell.json",
        {"key": key, "state": state, "wall_seconds": seconds, **dict(zip(Kind._fields, kind, strict=True))},
    )


def test_cells_of_the_same_recipe_tell_it_best_then_those_of_others():
    other, third = SEFA._replace(recipe="faces"), SEFA._replace(recipe="disco-table1")
    times = Times([(other, 3.0), (other, 5.0), (other, 100.0)], {SEFA: 7.0, third: 9.0})
    assert times.of(other) == (5.0, True)
    assert times.of(SEFA) == (7.0, False)
    assert times.of(SEFA._replace(recipe="unheard-of")) == (5.0, True)
    assert Times([], {SEFA: 7.0, third: 9.0}).of(other) == (8.0, False)
    assert times.of(SEFA._replace(kind="score")) is None
    assert times.of(SEFA._replace(scale="paper")) is None


def test_what_is_finished_is_taken_down_and_what_nobody_measured_stays(tmp_path):
    cells, results, file = tmp_path / "cells", tmp_path / "results", tmp_path / "usual.json"
    results.mkdir()
    write_json(file, {"faces small": {"train random": 1.0}, "directions small": {"train sefa": 50.0}})
    for key, seconds in (("a", 2.0), ("b", 3.0), ("c", 10.0)):
        record(cells, key, SEFA, seconds)
    record(cells, "d", SEFA, 1e6, state="failed")
    record(cells, "e", SEFA._replace(recipe="mine.py"), 1.0)
    row = load_recipe("disco-table6").rows[0].name
    table = {"recipe": "disco-table6", "scale": "small", "rows": {row: {"cells": [{"seconds": 14.84}]}, "gone": {}}}
    write_json(results / "disco_table6.json", table)
    assert take_down(cells, results, file) == file
    assert json.loads(file.read_text()) == {
        "directions small": {"train sefa": 3.0},
        "disco-table6 small": {"train disco": 14.8},
        "faces small": {"train random": 1.0},
    }
    assert shipped(file)[SEFA] == 3.0
    assert shipped(tmp_path / "none.json") == {}


def test_what_comes_with_the_package_is_of_its_own_recipes_and_methods():
    known = shipped()
    assert len(known) > 100
    assert {kind.recipe for kind in known} <= set(recipe_names())
    assert {kind.method for kind in known} <= set(CATALOG.names())
    assert all(seconds >= 0 for seconds in known.values())


def test_a_plan_knows_the_time_before_anything_is_finished(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench = Bench("disco-table6", load_recipe("disco-table6"), tmp_path / "out", seeds=(0,), device="cpu")
    lines = forecast(bench)
    seconds = shipped()[Kind("train", "disco", "small", "disco-table6")]
    assert {line.seconds for line in lines if line.what.startswith("train")} == {seconds}
    assert all(line.is_elsewhere for line in lines)
    cell = plan(bench, asked_rows(bench))[0]
    record(bench.cells, cell.key, Kind(cell.kind, cell.method, "small", "disco-table6"), 40.0)
    here = {line.key: (line.state, line.seconds, line.is_elsewhere) for line in forecast(bench)}
    assert here[cell.key] == ("done", 40.0, False)
    assert ("to do", 40.0, False) in here.values()

    assert main(["bench", "disco-table6", "--seeds", "1", "--plan"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    expected = sum(line.seconds for line in lines) / 3600
    assert re.fullmatch(
        rf"10 cells: 10 to do; what is left may take {expected:.1f} h of one process; "
        "of 10 cells by what such took on another machine",
        told,
    )


@pytest.mark.parametrize("name", ["disco-table1", "contralord-table2"])
def test_tables_that_were_computed_have_their_own_times(name):
    recipe = load_recipe(name)
    methods = {row.method for row in recipe.rows if row.method in CATALOG.names() and "small" in row.scales}
    assert methods <= {kind.method for kind in shipped() if kind.recipe == name and kind.kind == "train"}


def test_recipes_that_share_a_folder_read_its_cells_once(tmp_path, monkeypatch):
    names = ("disco-table6", "disco-table2")
    benches = [Bench(name, load_recipe(name), tmp_path / name, seeds=(0,), store=tmp_path / "cells") for name in names]
    read = []
    monkeypatch.setattr("contrafact.bench.forecast.finished", lambda cells: read.append(cells) or iter(()))
    alone = [forecast(bench) for bench in benches]
    read.clear()
    assert [lines for _, lines in forecasts(benches)] == alone
    assert read == [tmp_path / "cells"]
