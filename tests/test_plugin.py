"""A package of somebody else's, installed beside contrafact: all it offers works as what is ours does."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "plugin"
PROGRAM = """
import sys
from contrafact.cli import main
for line in sys.argv[1:]:
    print(">", line)
    try:
        code = main(line.split())
    except SystemExit as stopped:
        code = stopped.code
    assert code == 0, line
"""
FIT = "fit steady_axes --generator stripes --preset quick --steps 3 --out run --device cpu"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, and one in which the package is installed."""
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("installing a package needs pip and setuptools")
    folder = tmp_path_factory.mktemp("plugin")
    # A copy: setuptools builds in the folder it is given.
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    quiet = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def python(place, code, *arguments, installed=True):
    path = [*([str(place / "site")] if installed else []), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def said(place):
    """What the commands print that make something, in one process."""
    code, said = python(
        place,
        PROGRAM,
        "list",
        "fit",
        "fit steady_axes --help",
        "bench",
        FIT,
        "fit vae --data dots --steps 2 --batch-size 4 --width 0.1 --latent-dim 2 --size 32 --out vae --device cpu",
        "encode vae dots --out codes.npz",
    )
    assert code == 0, said
    return " ".join(said.split())


def test_it_is_listed(said):
    for line in (
        "steady_axes Steady axes: the latent's axes, each with the step that changes the image as much as any other's.",
        "live_share Live share: the share of codes that vary at all.",
        "dots Dots: a bright square on a dark ground, at each place of a grid, in several colours.",
        "stripes Stripes: waves across an image, whose tilt, width, phase and contrast are the latent.",
        "steady-table Steady axes: what is left of the loss",
    ):
        assert line in said


def test_it_is_explained_and_fitted(said, place):
    assert "Mean absolute change of a pixel that a step of 1 aims at." in said
    config = json.loads((place / "run" / "config.json").read_text(encoding="utf-8"))
    assert (config["method"], config["source"]["name"]) == ("steady_axes", "stripes")
    header = (place / "run" / "directions.safetensors").read_bytes()
    assert b"outside:contrafact_example.steady_axes:AxisDirections" in header
    assert "vae: encoder, generator" in said


def test_another_process_reads_it_scores_it_and_reports_it(said, place):
    code, said = python(
        place,
        PROGRAM,
        "traverse run --out pictures",
        "name run 0 tilt",
        "export run --directions tilt --out tilt.safetensors",
        "report run",
        "evaluate --codes codes.npz --metrics live_share mig",
        "evaluate vae --metrics live_share --num-train 100 --num-test 50",
        "bench steady-table --seeds 1",
    )
    assert code == 0, said
    assert "live_share_n192" in said
    assert (place / "run" / "report.html").stat().st_size > 1000
    assert "| steady axes |" in (place / "runs" / "bench" / "steady-table-small" / "results.md").read_text("utf-8")


def test_it_is_reloaded_with_its_package_and_not_without(said, place):
    read = "import contrafact as cf; run = cf.load_run('run'); print(type(run.directions).__name__, run.generator.name)"
    code, said = python(place, read)
    assert (code, said.split()[:1]) == (0, ["AxisDirections"]), said
    chosen = (
        "import contrafact as cf; cf.load_run('run').directions; "
        "from contrafact.core.direction_files import export_directions as e; "
        "e(cf.load_run('run'), 'two.safetensors', [1, 0])"
    )
    code, said = python(place, chosen)
    assert code == 0, said
    code, said = python(place, "import contrafact as cf; print(cf.load_directions('two.safetensors').num_directions)")
    assert (code, said) == (0, "2\n"), "directions chosen from those of a class of the package"
    code, said = python(place, read, installed=False)
    assert code == 1
    assert "steady_axes:AxisDirections, somebody's own class, which is not imported because a file names it" in said
    code, said = python(place, "import contrafact as cf; cf.methods.SteadyAxes", installed=False)
    assert "has no attribute 'SteadyAxes'" in said


@pytest.mark.parametrize("name", ["steady_axes live_share", "dots stripes"])
def test_it_keeps_its_promises(name, place):
    code, said = python(place, PROGRAM, *(f"check {one}" for one in name.split()))
    assert code == 0, said
    assert "✗" not in said
    assert said.count("promises kept") == 2
