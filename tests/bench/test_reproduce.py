"""Computing what is outstanding, a bit at a time: nothing twice, and always something to keep."""

import json
import shutil
from dataclasses import replace

import pytest

from contrafact.bench import cells as bench_cells
from contrafact.bench.plan import plan
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
        (["--plan"], "leave out --plan"),
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


def test_only_files_that_are_there_are_said_to_be_written(folder, capsys):
    command = ["bench", "first.py", "--rows", "random", "--seeds", "1", "--device", "cpu", "--out", "out", "--budget"]
    assert main([*command, "0.001s"]) == 0
    assert capsys.readouterr().out == "t\n\nnothing is finished yet\n"
    assert main([*command, "9m"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    files = said.removeprefix("wrote ").split(", ")
    assert files == [f"out/results.{form}" for form in ("md", "json", "tex", "html")]
    assert all((folder / file).is_file() for file in files)
