"""Computing what is outstanding, a bit at a time: nothing twice, and always something to keep."""

import json
import shutil
from dataclasses import replace

import pytest

from contrafact.bench import cells as bench_cells
from contrafact.bench.plan import known_cells, plan, score_cells
from contrafact.bench.reproduce import Reproduction, outstanding, reproduce
from contrafact.cli import main

RECIPE = """
from contrafact.bench.recipe import Recipe, Row
from contrafact.evaluation.regression import RegressionSettings

def row(name, **more):
    settings = {"num_directions": 2, **more}
    return Row(name, "random", settings=settings, regression=RegressionSettings(steps=2, batch_size=4, width=0.1))

RECIPE = Recipe("t", "t", (row("random"), row("frame", constraint="orthonormal")), {"MIG": ("mig", "score")},
                sources={"small": "shapes3d"}, num_train=60, num_test=20)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.py").write_text(RECIPE)
    (tmp_path / "second.py").write_text(
        RECIPE.replace('row("random")', 'row("chance")').replace("2, **more", "3, **more")
    )
    return tmp_path


@pytest.fixture
def asked(folder):
    return Reproduction(
        kept=folder / "kept", runs=folder / "runs", seeds=(0, 1), device="cpu", recipes=("first.py", "second.py")
    )


@pytest.fixture
def computed(monkeypatch):
    """Keys of the cells that are computed, in their order."""
    found = []
    for kind, compute in list(bench_cells._COMPUTE.items()):
        monkeypatch.setitem(
            bench_cells._COMPUTE,
            kind,
            lambda b, c, compute=compute: (found.append((b.name, c.kind, c.seed)), compute(b, c))[1],
        )
    return found


def kept_seeds(folder, name):
    rows = json.loads((folder / "kept" / f"{name}-small.json").read_text())["rows"]
    return {row: [cell["seed"] for cell in line["cells"]] for row, line in rows.items()}


def test_every_table_has_one_seed_before_any_has_two(asked, computed, monkeypatch):
    monkeypatch.setattr("contrafact.bench.reproduce.run_bench", in_this_process)
    assert reproduce(asked, 600.0) == []
    order = [(name, seed) for name, kind, seed in computed if kind == "score"]
    assert order == [(n, s) for s in (0, 1) for n in ("first-py", "first-py", "second-py", "second-py")]
    assert kept_seeds(asked.kept.parent, "first-py") == {"random": [0, 1], "frame": [0, 1]}
    assert outstanding(asked) == (0, 0.0, 0)


def in_this_process(bench, jobs, budget, session):
    from contrafact.bench.runner import run_bench

    return run_bench(bench)


def test_where_the_runs_are_gone_what_was_kept_is_not_computed_again(asked, computed, monkeypatch, folder):
    monkeypatch.setattr("contrafact.bench.reproduce.run_bench", in_this_process)
    reproduce(replace(asked, seeds=(0,)), 600.0)
    before = kept_seeds(folder, "first-py"), json.loads((folder / "kept" / "first-py-small.json").read_text())["rows"]
    shutil.rmtree(folder / "runs")
    computed.clear()
    assert outstanding(asked)[0] == 12, "two recipes of two rows at seed 1: training, encoder, score"
    reproduce(asked, 600.0)
    assert {seed for _, _, seed in computed} == {1}
    assert len(computed) == 12
    rows = json.loads((folder / "kept" / "first-py-small.json").read_text())["rows"]
    assert kept_seeds(folder, "first-py") == {"random": [0, 1], "frame": [0, 1]}
    assert rows["random"]["cells"][0] == before[1]["random"]["cells"][0]
    computed.clear()
    reproduce(asked, 600.0)
    assert computed == []


def test_another_setting_is_outstanding_though_its_row_was_kept(asked, monkeypatch, folder):
    monkeypatch.setattr("contrafact.bench.reproduce.run_bench", in_this_process)
    reproduce(replace(asked, seeds=(0,), recipes=("first.py",)), 600.0)
    (folder / "later").mkdir()
    (folder / "later" / "first.py").write_text(RECIPE.replace("2, **more", "4, **more"))
    changed = replace(asked, recipes=(str(folder / "later" / "first.py"),), seeds=(0,))
    (bench,) = changed.benches()
    assert bench.kept == folder / "kept" / "first-py-small.json"
    assert len(plan(bench, {"random", "frame"})) == 6


def test_when_the_time_is_up_it_stops_and_says_what_is_left(folder, capsys):
    assert main(["bench", "first.py", "--keep", "kept", "--seeds", "1", "--budget", "0.001s"]) == 0
    assert "6 cells are left" in capsys.readouterr().out
    assert main(["bench", "first.py", "--keep", "kept", "--seeds", "1", "--budget", "9m"]) == 0
    assert "nothing is left; what is finished lies in kept" in capsys.readouterr().out
    assert kept_seeds(folder, "first-py") == {"random": [0], "frame": [0]}


def test_a_recipe_of_which_nothing_can_run_is_named_with_what_it_wants(folder, capsys):
    text = RECIPE.replace('sources={"small": "shapes3d"}', 'remark="by --source face.pkl"')
    (folder / "third.py").write_text(text)
    assert list(Reproduction(folder / "kept", recipes=("third.py", "first.py")).left_out()) == [
        (
            "third-py",
            "nothing of it can run at the small scale as it is: it needs a generator of your own, name it with "
            "--source. Its remark: by --source face.pkl",
        )
    ]
    assert main(["bench", "third.py", "--keep", "kept"]) == 0
    assert "left out: third-py: nothing of it can run at the small scale as it is" in capsys.readouterr().err
    assert main(["bench", "third.py", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "  nothing of it can run at the small scale as it is: it needs a gen" in said
    assert said.splitlines()[-1] == "0 cells"


def test_a_plan_names_rows_that_want_a_source(folder, capsys):
    (folder / "third.py").write_text(
        RECIPE.replace("def row(name, **more)", "def row(name, source=None, **more)")
        .replace("regression=Reg", "source=source, regression=Reg")
        .replace('row("random")', 'row("random", source={"paper": "shapes3d"})')
    )
    assert main(["bench", "third.py", "--plan", "--seeds", "1"]) == 0
    shown = capsys.readouterr().out
    assert "  without these rows, which need a generator of your own (--source): random\n" in shown
    assert "3 cells: 3 to do" in shown


def test_one_that_fails_stops_no_other(asked, monkeypatch, folder):
    monkeypatch.setattr("contrafact.bench.reproduce.run_bench", in_this_process)
    train = bench_cells._COMPUTE["train"]

    def fail(bench, cell):
        if cell.row.name == "random" and bench.name == "first-py":
            raise RuntimeError("no light")
        return train(bench, cell)

    monkeypatch.setitem(bench_cells._COMPUTE, "train", fail)
    (error,) = reproduce(replace(asked, seeds=(0,)), 600.0)
    assert "1 of 6 cells of first-py failed" in error
    assert kept_seeds(folder, "first-py") == {"random": [], "frame": [0]}
    assert kept_seeds(folder, "second-py") == {"chance": [0], "frame": [0]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "ray"], "--keep computes on this machine"),
        (["--scale", "smoke"], "numbers of the smoke scale mean nothing, so there is nothing to keep"),
        (["--table"], "leave out --table"),
        (["--finished", "none"], "none is no folder of finished results"),
    ],
)
def test_bad_questions(folder, capsys, arguments, message):
    assert main(["bench", "first.py", "--keep", "kept", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_holds_no_results_is_not_believed(asked, folder):
    (folder / "kept").mkdir()
    (folder / "kept" / "first-py-small.json").write_text('{"rows": [3]}')
    with pytest.raises(ValueError, match=r"first-py-small\.json holds no results of a bench; delete it"):
        outstanding(asked)


@pytest.fixture
def with_finished(asked, computed, monkeypatch, folder):
    """All that is asked, beside a folder of finished results that holds the first recipe's seed 0."""
    monkeypatch.setattr("contrafact.bench.reproduce.run_bench", in_this_process)
    reproduce(replace(asked, seeds=(0,), recipes=("first.py",)), 600.0)
    (folder / "finished").mkdir()
    (folder / "kept" / "first-py-small.json").rename(folder / "finished" / "any_name.json")
    shutil.rmtree(folder / "runs")
    shutil.rmtree(folder / "kept")
    computed.clear()
    return replace(asked, recipes=("first.py",), finished=folder / "finished")


def change_finished(folder, change, name="any_name"):
    """Write the finished results as ``name``, changed as a whole; their cells are also given by row."""
    results = json.loads((folder / "finished" / "any_name.json").read_text())
    change(results, {row: line["cells"] for row, line in results["rows"].items()})
    (folder / "finished" / f"{name}.json").write_text(json.dumps(results))


def test_what_is_finished_elsewhere_is_in_the_table_and_not_computed_again(with_finished, computed, folder):
    change_finished(folder, lambda results, cells: cells["frame"][0]["scores"].update(MIG=0.875))
    assert outstanding(with_finished)[0] == 6, "two rows at seed 1: training, encoder, score"
    assert reproduce(with_finished, 600.0) == []
    assert sorted(computed) == sorted(("first-py", kind, 1) for kind in ("train", "read", "score") * 2)
    rows = json.loads((folder / "kept" / "first-py-small.json").read_text())["rows"]
    assert kept_seeds(folder, "first-py") == {"random": [0, 1], "frame": [0, 1]}
    assert rows["frame"]["cells"][0]["scores"] == {"MIG": 0.875}


def test_a_table_that_is_finished_elsewhere_is_left_as_it_is(with_finished, computed, folder):
    assert reproduce(replace(with_finished, seeds=(0,)), 600.0) == []
    assert computed == []
    assert not (folder / "kept").exists()


def set_key(key):
    return lambda results, cells: cells["random"][0].update(key=key)


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (set_key("score-random-seed0-0123456789ab"), 1),
        (set_key(""), 1),
        (set_key(None), 1),
        (lambda results, cells: cells["random"][0].pop("key"), 1),
        (lambda results, cells: cells["random"][0].update(device="cuda:0 (NVIDIA H200)"), 1),
        (lambda results, cells: results.update(scale="paper"), 2),
    ],
)
def test_another_cell_or_one_of_which_that_cannot_be_said_is_computed(with_finished, computed, folder, change, rows):
    change_finished(folder, change)
    assert reproduce(replace(with_finished, seeds=(0,)), 600.0) == []
    assert len(computed) == 3 * rows, "training, encoder, score"
    assert kept_seeds(folder, "first-py") == {"random": [0], "frame": [0]}


def test_a_cell_without_a_device_is_that_of_its_file(with_finished, folder):
    change_finished(folder, lambda results, cells: cells["random"][0].pop("device"))
    assert outstanding(replace(with_finished, seeds=(0,)))[0] == 0


def test_a_training_that_another_score_needs_is_computed_though_its_own_score_is_known(asked, folder, monkeypatch):
    monkeypatch.setattr("contrafact.bench.reproduce.run_bench", in_this_process)
    (folder / "first.py").write_text(RECIPE.replace('row("frame"', 'Row("control", "control"), row("frame"'))
    one = replace(asked, seeds=(0,), recipes=("first.py",), finished=folder / "finished")
    (folder / "finished").mkdir()
    reproduce(one, 600.0)
    (folder / "kept" / "first-py-small.json").rename(folder / "finished" / "any_name.json")
    change_finished(folder, lambda results, cells: cells["control"].clear())
    (bench,) = one.benches()
    assert [cell.kind for cell in plan(bench, {"random", "control", "frame"})] == ["train", "read", "control", "score"]


def test_the_table_of_the_same_recipe_comes_first_and_what_was_kept_before_all(with_finished, folder):
    def other(value, recipe):
        def change(results, cells):
            results["recipe"] = recipe
            cells["random"][0]["scores"]["MIG"] = value

        return change

    change_finished(folder, other(0.25, "another"), "a_first_name")
    change_finished(folder, other(0.5, "first-py"))
    (bench, _) = with_finished.benches()
    (key,) = (cell.key for cell in score_cells(bench, {"random"}))
    assert known_cells(bench)[key]["scores"]["MIG"] == 0.5
    (folder / "kept").mkdir()
    change_finished(folder, other(0.75, "first-py"), "../kept/first-py-small")
    assert known_cells(bench)[key]["scores"]["MIG"] == 0.75


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"broken\.json"),
        ("[]", r"broken\.json holds no results of a bench"),
        ('{"rows": {"random": {"cells": [{"key": "k"}]}}}', r"broken\.json holds no results of a bench"),
        ('{"rows": {"a": {"cells": [{"seed": 0, "seconds": 1, "scores": {"MIG": "x"}}]}}}', "holds no results"),
        ('{"rows": {"a": {"cells": [{"seed": 0, "seconds": 1, "scores": {}, "key": [1]}]}}}', "holds no results"),
        ('{"rows": {"a": {"cells": [{"seed": 0, "seconds": 1, "scores": {}, "device": 1}]}}}', "holds no results"),
    ],
)
def test_a_broken_file_of_finished_results_is_named(with_finished, folder, text, message):
    (folder / "finished" / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        outstanding(with_finished)


def test_a_plan_says_how_many_scores_are_taken_and_from_where(with_finished, folder, capsys):
    command = ["bench", "first.py", "--keep", "kept", "--finished", "finished", "--device", "cpu", "--plan"]
    assert main([*command, "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert "first-py: t\n  2 scores are taken from finished\n  random-seed1-" in said
    assert said.splitlines()[-1].startswith("6 cells: 6 to do")
    assert said.splitlines()[-1].endswith("; 2 scores are taken from finished")
    assert main([*command, "--seeds", "1"]) == 0
    said = capsys.readouterr().out
    assert said == "first-py: t\n  2 scores are taken from finished\n0 cells; 2 scores are taken from finished\n"
    assert main([*command[:-1], "--seeds", "1"]) == 0
    assert "nothing is left; what is finished lies in kept and finished\n" in capsys.readouterr().out
    reproduce(with_finished, 600.0)
    assert main([*command, "--seeds", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 cells; 4 scores are taken from kept"


def test_finished_results_are_read_for_what_is_kept_alone(folder, capsys):
    assert main(["bench", "first.py", "--finished", "finished"]) == 2
    assert "give --keep FOLDER too" in capsys.readouterr().err


def test_only_files_that_are_there_are_said_to_be_written(folder, capsys):
    command = ["bench", "first.py", "--rows", "random", "--seeds", "1", "--device", "cpu", "--out", "out", "--budget"]
    assert main([*command, "0.001s"]) == 0
    assert capsys.readouterr().out == "t\n\nnothing is finished yet\n"
    assert main([*command, "9m"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    files = said.removeprefix("wrote ").split(", ")
    assert files == [f"out/results.{form}" for form in ("md", "json", "tex", "html")]
    assert all((folder / file).is_file() for file in files)
