import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import contrafact as cf
from contrafact.bench.recipe import load_recipe, recipe_names
from contrafact.cli import main
from contrafact.core import plugins as module
from contrafact.core.catalog import Catalog
from contrafact.core.plugins import admit, load_file, load_spelled_out
from contrafact.methods import CATALOG

METHOD = '''"""Axes: one direction for each axis of the latent."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from contrafact.core.directions import GlobalDirections
from contrafact.core.method import Artefacts, Method


@dataclass(frozen=True)
class LatentAxes(Method):
    """Axis-parallel directions."""

    source: ClassVar = "generator"
    yields: ClassVar = ("directions", "generator")

    def train(self, source, run):
        return Artefacts(directions=GlobalDirections.of(torch.eye(source.latent_dim)), generator=source)


def nothing():
    return None


NUMBER = 3
'''


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(METHOD)
    return file


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """A package that offers a method, a broken one, and one that wants the name of the package's own."""
    (tmp_path / "axes_plugin.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    points = {
        name: EntryPoint(name, value, "contrafact.methods")
        for name, value in {
            "latent_axes": "axes_plugin:LatentAxes",
            "broken": "no_such_module_anywhere:Thing",
            "sefa": "axes_plugin:LatentAxes",
            "number": "axes_plugin:NUMBER",
        }.items()
    }
    monkeypatch.setattr("contrafact.core.catalog.plugins", lambda group: points if group == "methods" else {})


def test_an_installed_package_adds_entries(offered, tmp_path):
    assert "latent_axes" in CATALOG.names()
    assert CATALOG.summary("latent-axes") == "Axes: one direction for each axis of the latent."
    cls = CATALOG.get("LatentAxes")
    assert cls.name() == "latent_axes"
    assert cf.methods.LatentAxes is cls
    del vars(cf.methods)["LatentAxes"]
    assert CATALOG.module("latent_axes").NUMBER == 3
    cls().fit(cf.load_generator("analytic"), tmp_path / "run")
    assert cf.load_run(tmp_path / "run").directions.num_directions == 8


def test_a_plugin_cannot_take_the_name_of_an_own_entry(offered):
    assert CATALOG.names().count("sefa") == 1
    assert CATALOG.get("sefa").__module__ == "contrafact.methods.sefa"


def test_a_broken_plugin_is_listed_and_says_what_is_wrong(offered):
    assert CATALOG.summary("broken") == ""
    with pytest.raises(ValueError, match=r"the plugin 'broken' \(no_such_module_anywhere:Thing\) cannot be loaded"):
        CATALOG.get("broken")
    with pytest.raises(ValueError, match=r"number is no method: expected a subclass of contrafact.core.method.Method"):
        CATALOG.get("number")


def test_a_class_of_a_file_is_an_entry_that_nothing_lists(mine, tmp_path):
    name = f"{mine}:LatentAxes"
    assert name not in CATALOG, "a file of code is not run because its name stands somewhere"
    assert CATALOG.admit(name) == name
    assert name in CATALOG
    assert name not in CATALOG.names()
    assert CATALOG.summary(name) == "Axes: one direction for each axis of the latent."
    assert CATALOG.get(name) is CATALOG.get(name), "the file is run once"
    assert CATALOG.get(name).name() == "latent_axes"
    CATALOG.get(name)().fit(cf.load_generator("analytic"), tmp_path / "run")
    assert cf.load_run(tmp_path / "run").config["method"] == "latent_axes"


def test_what_a_file_lacks_is_said(mine, tmp_path):
    with pytest.raises(ValueError, match=r"mine.py defines no 'Axes'; it defines LatentAxes, nothing"):
        CATALOG.get(CATALOG.admit(f"{mine}:Axes"))
    with pytest.raises(ValueError, match=r"mine.py:nothing is no method: expected a subclass"):
        CATALOG.get(CATALOG.admit(f"{mine}:nothing"))
    with pytest.raises(ValueError, match=r"gone.py does not exist; expected a Python file, as in FILE.py:NAME"):
        CATALOG.get(CATALOG.admit(f"{tmp_path}/gone.py:Axes"))
    with pytest.raises(ValueError, match=r"mine.py:NUMBER is no metric: expected a function, got int"):
        Catalog("metrics", "metric").get(admit(f"{mine}:NUMBER"))
    (tmp_path / "bad.py").write_text("import no_such_module_anywhere\n")
    with pytest.raises(ValueError, match=r"bad.py does not import \(ModuleNotFoundError: No module named"):
        load_spelled_out(f"{tmp_path}/bad.py:Axes")


def test_two_files_of_one_name_stay_apart(tmp_path):
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(f"VALUE = {value}\n")
    assert [load_file(tmp_path / folder / "same.py").VALUE for folder in ("a", "b", "a")] == [1, 2, 1]


def test_recipes_come_from_files_and_packages(tmp_path, monkeypatch):
    file = tmp_path / "own.py"
    file.write_text("from contrafact.bench.recipe import load_recipe\nRECIPE = load_recipe('disco-quick')\nOTHER = 3\n")
    assert load_recipe(str(file)) == load_recipe(f"{file}:RECIPE") == load_recipe("disco-quick")
    with pytest.raises(
        ValueError, match=r"own.py:OTHER is no recipe: expected a contrafact.bench.recipe.Recipe, got int"
    ):
        load_recipe(f"{file}:OTHER")
    monkeypatch.syspath_prepend(tmp_path)
    offered = {"their_table": EntryPoint("their_table", "own:RECIPE", "contrafact.recipes")}
    monkeypatch.setattr("contrafact.bench.recipe.plugins", lambda group: offered)
    assert "their-table" in recipe_names()
    assert load_recipe("their-table").title == load_recipe("disco-quick").title


def test_a_dataset_of_a_file_is_loaded_by_its_name(tmp_path):
    file = tmp_path / "dots.py"
    file.write_text(
        "import torch\nfrom contrafact.core.dataset import ImageDataset\n\n\n"
        "class Dots(ImageDataset):\n"
        "    name, image_shape, source = 'dots', (1, 8, 8), 'memory'\n"
        "    def __len__(self): return 4\n"
        "    def batch(self, indices): return torch.zeros(len(indices), 1, 8, 8)\n"
    )
    assert len(cf.load_dataset(f"{file}:Dots")) == 4
    with pytest.raises(ValueError, match=r"Dots takes no size; it takes no options"):
        cf.load_dataset(f"{file}:Dots", size=8)


def test_groups_are_read_once():
    assert module.plugins("methods") is module.plugins("methods")


def test_where_a_file_fails_is_said(tmp_path):
    (tmp_path / "bad.py").write_text("def part():\n    return 1 / 0\n\n\npart()\n")
    with pytest.raises(ValueError, match=r"bad.py does not import \(ZeroDivisionError: .*\), line 2; mend it first"):
        load_file(tmp_path / "bad.py")


def test_a_file_finds_the_modules_beside_it_and_hides_none(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "beside_it.py").write_text("VALUE = 3\n")
    (tmp_path / "json.py").write_text("raise SystemExit('this ran')\n")
    (tmp_path / "main_part.py").write_text("import json\nfrom beside_it import VALUE\n")
    assert load_file(tmp_path / "main_part.py").VALUE == 3


PLUGIN = METHOD.replace(
    "from contrafact.core.directions import GlobalDirections",
    "from contrafact.core.directions import Directions\n\n\n"
    "class Axes(Directions):\n"
    "    def shift(self, latent, index, magnitude):\n"
    "        return magnitude[:, None] * torch.eye(self.latent_dim)[index]\n\n",
).replace("GlobalDirections.of(torch.eye(source.latent_dim))", "Axes(source.latent_dim, 2)")


def test_a_command_takes_files_of_classes(tmp_path, monkeypatch, capsys):
    """The run holds a class of the file: another process reads it with --plugin, wherever that stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_axes.py").write_text(PLUGIN)

    def call(*arguments):
        command = [sys.executable, "-m", "contrafact", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = call("fit", "own_axes.py:LatentAxes", "--generator", "analytic", "--device", "cpu")
    assert (code, list(Path("runs").iterdir())) == (0, [Path("runs/latent_axes-analytic-1")]), said
    run = "runs/latent_axes-analytic-1"
    code, said = call("name", run, "0", "smile")
    assert code == 2
    assert "holds a own_axes:Axes, somebody's own class" in said
    assert "--plugin FILE.py" in said
    for before, after in ((["--plugin", "own_axes.py"], []), ([], ["--plugin=own_axes.py"])):
        assert call(*before, "name", run, "0", f"smile{len(before)}", *after)[0] == 0
    assert json.loads(Path(run, "config.json").read_text())["method"] == "latent_axes"


@pytest.mark.parametrize("arguments", [["list", "--plugin"], ["--plugin=", "list"], ["--plugin", "--help"]])
def test_plugin_without_a_file(arguments, capsys):
    assert main(arguments) == 2
    assert "--plugin takes a Python file, as in --plugin mine.py" in capsys.readouterr().err


def test_help_tells_of_own_files(capsys):
    assert main(["--help"]) == 0
    assert "--plugin FILE.py" in capsys.readouterr().out
    assert main(["list", "data", "--plugin", "no_such.py"]) == 2
    assert "no_such.py does not exist; expected a Python file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({'    source: ClassVar = "generator"\n': ""}, "does not say what it learns from: set source"),
        ({"    def train": "    seed: int = 3\n\n    def train"}, "options of `contrafact fit` itself: seed; call"),
        ({"    def train": "    size_: int\n\n    def train"}, "has settings without a default: size_; give each one"),
    ],
)
def test_a_method_that_is_not_finished(tmp_path, changes, message, capsys):
    text = METHOD
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "unfinished.py").write_text(text)
    assert main(["fit", f"{tmp_path}/unfinished.py:LatentAxes", "--generator", "analytic"]) == 2
    assert message in capsys.readouterr().err
