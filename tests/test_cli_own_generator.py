"""Runs on a module of somebody's own, given again to every command that reads them as --generator FILE.py:FUNCTION."""

import json
import re
import shutil

import pytest
from PIL import Image

import contrafact as cf
from contrafact.cli import main
from contrafact.core.artefact import fingerprint

FILE = '''"""Generators of a user."""

import contrafact as cf
import torch
from torch import nn


def layers(width=4):
    return nn.Sequential(nn.Linear(width, 768), nn.Tanh(), nn.Unflatten(1, (3, 16, 16)))


def gan():
    return cf.wrap(layers(), 4)


def sized(width=4, gain=1.0):
    class Gained(nn.Module):
        latent_dim = width

        def __init__(self):
            super().__init__()
            self.layers = layers(width)

        def forward(self, latent):
            return gain * self.layers(latent)

    return Gained()


def other():
    torch.manual_seed(7)
    return cf.wrap(layers(), 4)
'''
CPU = ("--device", "cpu")
DISCO = ("--num-directions", 3, "--code-dim", 3, "--steps", 2, "--encoder-width", 0.05, "--directions-per-step", 3)


def call(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with mine.py, and runs on what it makes: ``disco``, ``random``, and ``sized`` with an argument."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        gan = ("--generator", "mine.py:gan")
        assert call("fit", "disco", "--preset", "quick", *gan, *DISCO, *CPU, "--out", "disco") == 0
        assert call("fit", "random", *gan, "--num-directions", 3, *CPU, "--out", "random") == 0
        sized = ("--generator", "mine.py:sized", "--set", "gain=0.5")
        assert call("fit", "random", *sized, "--num-directions", 2, *CPU, "--out", "sized") == 0
        Image.new("RGB", (16, 16), "teal").save(folder / "photo.png")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


COMMANDS = {
    "traverse": ("traverse", "disco", "--frames", 3, "--samples", 1),
    "edit": ("edit", "disco", "--latent", 1, "--direction", 0),
    "plane": ("plane", "disco", 0, 1, "--steps", 3, "--pictures", 2),
    "encode": ("encode", "disco", "shapes3d", "--num-images", 5),
    "evaluate": ("evaluate", "disco", "--data", "shapes3d", "--metrics", "mig", "--num-train", 60, "--num-test", 20),
    "evaluate --control": (
        *("evaluate", "disco", "--control", "--data", "shapes3d", "--metrics", "mig"),
        *("--num-train", 60, "--num-test", 20, *CPU),
    ),
    "report": ("report", "disco", "--samples", 1),
    "cube": ("cube", "disco", "--data", "shapes3d", "--values", 2),
    "compare": ("compare", "disco", "random", "--frames", 3, "--samples", 1, "--most", 1),
    "study": ("study", "make", "disco", "random", "--participants", 1, "--images", 1, "--pool", 4),
    "invert": ("invert", "photo.png", "--steps", 1, "--starts", 1, "--network", "none", *CPU),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_it(here, name, capsys):
    assert call(*COMMANDS[name], "--generator", "mine.py:gan") == 0, capsys.readouterr().err


def test_pictures_of_the_run_lie_in_it_and_its_encoder_stays(here):
    assert call(*COMMANDS["traverse"], "--generator", "mine.py:gan") == 0
    assert (here / "disco/figures/traversal.png").exists()
    assert call("traverse", "disco", "--generator", "mine.py:other") == 2  # another's have no place of their own


def test_the_report_draws_and_says_how_to_load(here):
    assert call(*COMMANDS["report"], "--generator", "mine.py:gan") == 0
    page = (here / "disco/report.html").read_text()
    assert (here / "disco/figures/traversal.png").exists()
    assert "contrafact evaluate disco --generator mine.py:gan --control" in page
    assert call(*COMMANDS["report"]) == 0  # what can be said without it
    assert "contrafact report disco --generator mine.py:gan" in (here / "disco/report.html").read_text()


@pytest.mark.parametrize("name", ["traverse", "edit", "plane", "evaluate --control", "compare", "study"])
def test_what_needs_it_says_which_option_to_give(here, name, capsys):
    assert call(*COMMANDS[name]) == 2
    assert "on a command line --generator mine.py:gan, in Python" in capsys.readouterr().err


def test_the_advice_works_as_printed(here, capsys, monkeypatch):
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert call("traverse", "../sized") == 2
    said = re.search(r"on a command line (.*), in Python (load_run\(.*\))\n", capsys.readouterr().err)
    assert said[1] == "--generator ../mine.py:sized --set gain=0.5"
    assert call("traverse", "../sized", "--frames", 3, "--samples", 1, *said[1].split()) == 0
    run = eval(said[2], {"load_run": cf.load_run, "folder": "../sized", "load_generator": cf.load_generator})
    assert run.generator.latent_dim == 4


def test_the_run_says_where_it_came_from_and_nothing_of_homes(here):
    source = json.loads((here / "sized/config.json").read_text())["source"]
    generator = cf.load_generator("mine.py:sized", {"gain": 0.5})
    assert (source["name"], source["from"], source["given"]) == ("mine.py:sized", "../mine.py", {"gain": 0.5})
    assert source["weights"] == fingerprint(generator)


def test_the_file_is_not_run_because_a_run_names_it(here):
    (here / "mine.py").write_text("raise SystemExit('imported')\n")
    run = cf.load_run("disco")
    with pytest.raises(ValueError, match=r"--generator mine\.py:gan"):
        _ = run.generator
    assert run.directions.num_directions == 3


def test_another_generator_is_refused(here, capsys):
    for command in ("evaluate", "report", "compare"):
        assert call(*COMMANDS[command], "--generator", "mine.py:other") == 2
        said = capsys.readouterr().err
        assert "was made on a generator with other weights than the one given" in said
        assert "contrafact traverse --generator OTHER --use disco --out FOLDER" in said
    assert call("traverse", "--generator", "mine.py:other", "--use", "disco", "--out", "pictures", "--frames", 3) == 0
    with pytest.raises(ValueError, match="a generator with other weights"):
        _ = cf.load_run("disco", generator=cf.load_generator("mine.py:other")).generator


def test_what_needs_none_refuses_it(here, capsys):
    assert call("fit", "random", "--generator", "analytic", "--num-directions", 2, *CPU, "--out", "theirs") == 0
    for words in (("report", "theirs"), ("compare", "theirs", "theirs")):
        assert call(*words, "--generator", "mine.py:gan") == 2
        assert "theirs needs none, so leave it out" in capsys.readouterr().err
    assert call("report", "theirs", "--set", "gain=2") == 2
    assert "--set is of the generator that --generator names" in capsys.readouterr().err


def test_runs_on_several_modules_get_each_its_own(here):
    two = ("--generator", "mine.py:gan", "mine.py:other")
    assert call("fit", "random", "--generator", "mine.py:other", "--num-directions", 3, *CPU, "--out", "second") == 0
    study = ("study", "make", "random", "second", "--participants", 1, "--images", 1, "--pool", 4)
    assert call(*study, *two) == 0


def test_a_run_goes_on_where_it_was_called_otherwise(here, monkeypatch):
    (here / "elsewhere").mkdir()
    (here / "mine.py").rename(here / "elsewhere/renamed.py")
    again = ("--generator", "elsewhere/renamed.py:gan", "--num-directions", 3, *CPU, "--out", "random", "--resume")
    assert call("fit", "random", *again) == 0


def test_a_bench_runs_on_it_and_reads_rows_again(here):
    (here / "table.py").write_text(
        "from contrafact.bench.recipe import Recipe, Row\n"
        "from contrafact.evaluation.regression import RegressionSettings\n"
        "RECIPE = Recipe(\n"
        "    title='Ours', table='none', presets={}, sources={'small': 'shapes3d'},\n"
        "    rows=(Row('first', 'random', settings={'num_directions': 2}),\n"
        "          Row('second', 'random', settings={'num_directions': 3})),\n"
        "    columns={'MIG': ('mig', 'score')}, num_train=60, num_test=20,\n"
        "    regression={'small': RegressionSettings(steps=1, batch_size=4, width=0.05)},\n"
        ")\n"
    )
    bench = ("bench", "table.py", "--seeds", 1, "--generator", "mine.py:gan", "--data", "shapes3d", *CPU, "--out", "b")
    assert call(*bench, "--rows", "first") == 0
    assert call(*bench, "--rows", "second") == 0
    results = json.loads((here / "b/results.json").read_text())["rows"]
    assert {row: len(found["cells"]) for row, found in results.items()} == {"first": 1, "second": 1}
    score = f"{results['second']['cells'][0]['scores']['MIG']:.3f}"
    assert f"second & {score} & 1 &" in (here / "b/results.tex").read_text()
    page = here / "b/results.html"
    assert f'<th scope="row">second</th><td>{score}</td>' in page.read_text()
    page.unlink()
    assert call(*bench, "--table") == 0
    assert page.is_file()
