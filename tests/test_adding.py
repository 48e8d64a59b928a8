"""The page on adding: each example is a whole file that keeps its kind's promises, wherever it is put."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import contrafact
from contrafact.bench.recipe import load_recipe
from contrafact.cli import main
from contrafact.methods import CATALOG as METHODS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(contrafact.__file__).parent
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
ITEMS = {"nearest": "Nearest", "best_correlation": "best_correlation", "bars": "Bars", "painter": "Painter"}
FOLDERS = {"nearest": "methods", "best_correlation": "metrics", "bars": "data", "painter": "generators"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_kind_has_its_example():
    assert set(FILES) == {*(f"{name}.py" for name in ITEMS), "nearest_table1.py"}
    assert PAGE.count("```python") == len(FILES), "no example stands apart from a file"


@pytest.mark.parametrize("name", ITEMS)
def test_an_example_keeps_its_promises_as_printed(name, files, capsys):
    code = main(["check", f"{name}.py:{ITEMS[name]}"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "✗" not in said
    assert f"{name}.py:{ITEMS[name]} ({FOLDERS[name]})" in said


def test_the_page_s_commands_do_what_it_says(files, capsys):
    cpu, small = ["--device", "cpu"], ["--steps", "2", "--batch-size", "4", "--width", "0.1", "--latent-dim", "2"]
    for arguments in (
        ["fit", "nearest.py:Nearest", "--generator", "painter.py:Painter", "--preset", "quick", "--out", "run", *cpu],
        ["fit", "ganspace", "--generator", "painter.py:Painter", "--num-directions", "2", "--out", "pca", *cpu],
        ["fit", "vae", "--data", "bars.py:Bars", "--size", "32", *small, "--out", "vae", *cpu],
        ["report", "run", "--plugin", "painter.py"],
    ):
        assert main(arguments) == 0, capsys.readouterr().err
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (200, 2))
    np.savez("codes.npz", codes=factors + 0.1 * rng.normal(size=factors.shape), factors=factors)
    capsys.readouterr()
    assert main(["evaluate", "--codes", "codes.npz", "--metrics", "best_correlation.py:best_correlation", "mig"]) == 0
    assert "best_correlation_n200" in capsys.readouterr().out


def test_what_fit_says_next_names_the_reader_s_files(files, capsys):
    """A run folder holds no code: without its file, a later process could not read the generator."""
    painted = ["--generator", "painter.py:Painter", "--preset", "quick", "--out", "run", "--device", "cpu"]
    assert main(["fit", "nearest.py:Nearest", *painted]) == 0
    (report,) = re.findall(r"^  (contrafact report .*)$", capsys.readouterr().out, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", *report.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_recipe_runs(files):
    recipe = load_recipe("nearest_table1.py")
    for row in recipe.rows:
        METHODS.get(row.method).preset("quick", **row.settings)


def test_the_package_s_table_names_what_the_page_holds():
    table = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1)
    values = re.findall(r'= "my_package\.(\w+):(\w+)"', table)
    assert values == [*ITEMS.items(), ("nearest_table1", "RECIPE")]
    groups = re.findall(r"contrafact\.(\w+)\"", table)
    assert groups == [*FOLDERS.values(), "recipes"]


def test_adding_is_adding_one_file(files):
    """The examples put into a copy of the package: they are listed, explained, fitted, checked and named in files."""
    copy = files / "copy"
    shutil.copytree(PACKAGE, copy / "contrafact", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    for name, folder in FOLDERS.items():
        shutil.copy(files / f"{name}.py", copy / "contrafact" / folder)
    program = (
        "import sys\nfrom contrafact.cli import main\n"
        "import contrafact\nassert contrafact.__file__.startswith(sys.argv[1])\n"
        "for line in sys.argv[2:]:\n    code = main(line.split())\n    assert code == 0, line\n"
    )
    commands = [
        "list methods",
        *(f"check {name}" for name in ITEMS),
        "fit nearest --generator analytic --num-directions 3 --device cpu --out run",
        "fit random --generator painter.safetensors --num-directions 2 --device cpu --out random",
    ]
    painter = (
        "from contrafact.generators.painter import Painter; from contrafact.core.artefact import save_artefact; "
        "save_artefact(Painter(), 'painter.safetensors')"
    )
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    for code, arguments in ((painter, []), (program, [str(copy), *commands])):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=files,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "nearest Nearest: directions towards other samples." in " ".join(done.stdout.split())
    assert "✗" not in done.stdout
    assert done.stdout.count("promises kept") == 4
    header = (files / "random" / "generator.safetensors").read_bytes()
    assert b'"class":"generator/painter"' in header, "a generator's name in files is its file's"
    assert json.loads((files / "run" / "result.json").read_text())["artefacts"] == ["directions", "generator"]
