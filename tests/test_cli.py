import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact import cli
from contrafact.cli import COMMANDS, main
from contrafact.core.artefact import fingerprint
from contrafact.core.method import load_run
from contrafact.core.run import LOG
from contrafact.evaluation.regression import RegressionSettings
from contrafact.generators import checkpoints
from tests.generators.recorded import Recorded

TINY_VAE = ["vae", "--data", "shapes3d", "--size", "16", "--width", "0.1", "--latent-dim", "3", "--batch-size", "8"]
CPU = ["--device", "cpu", "--precision", "float32"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    """The command line in this process; checks its exit code."""
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stopped:  # tyro's way out, of --help and of unknown options
        found = stopped.code
    assert found == code, f"exit code {found}"


def start(*arguments):
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "contrafact", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny VAE run and a tiny DisCo run on its generator."""
    folder = tmp_path_factory.mktemp("runs")
    run("fit", *TINY_VAE, "--steps", 4, *CPU, "--out", folder / "vae")
    small = ["--num-directions", 3, "--code-dim", 4, "--encoder-width", 0.1, "--directions-per-step", 3]
    source = ["--generator", folder / "vae", "--preset", "quick"]
    run("fit", "disco", *source, "--steps", 3, *small, *CPU, "--out", folder / "disco")
    return folder


# -- light and helpful ------------------------------------------------------------------------------------------------


def test_help_and_list_import_nothing_heavy():
    heavy = {"torch", "numpy", "scipy", "sklearn", "matplotlib", "h5py", "kornia", "accelerate", "PIL", "rich", "numba"}
    program = f"""
import sys
import contrafact
from contrafact.cli import main
assert "tyro" not in sys.modules
main(["--help"])
assert "tyro" not in sys.modules
main(["list"])
main(["fit", "--help"])
print(sorted({heavy!r} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_help_names_every_command(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        run(*arguments)
        shown = capsys.readouterr().out
        assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    run(command, "--help")
    assert f"usage: contrafact {command}" in capsys.readouterr().out


def test_version(capsys):
    run("--version")
    assert capsys.readouterr().out.startswith("contrafact 0.")


def test_list_prints_names_and_summaries(capsys):
    run("list", "metrics")
    shown = capsys.readouterr().out
    assert "  mig " in shown
    assert "Mutual information gap" in shown
    assert "methods:" not in shown
    run("list", "generators")
    assert "shapes3d" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", ["list", "--help"])
def test_a_reader_that_goes_away_is_no_error(arguments):
    command = f"{sys.executable} -m contrafact {arguments} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_help_of_a_preset_shows_its_values(capsys):
    run("fit", "vae", "--preset", "quick", "--help")
    quick = capsys.readouterr().out
    run("fit", "vae", "--help")
    paper = capsys.readouterr().out
    assert "(default: quick)" in quick
    assert "(default: 64)" in paper
    assert "Images per step. (default: 64)" not in quick


# -- the whole job ----------------------------------------------------------------------------------------------------


def test_directions_are_judged_by_a_function_of_ones_own(finished, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "def see(images):\n    return images.mean(dim=(2, 3))\n\nsee.names = ['red', 'green', 'blue']\n"
    )
    judged = ("evaluate", finished / "disco", "--metrics", "rescoring", "--device", "cpu")
    run(*judged, "--predictor", f"{tmp_path}/mine.py:see")
    shown = capsys.readouterr().out
    assert re.search(r"rescoring +0\.\d+  red 0\.\d+  green 0\.\d+  blue 0\.\d+  \(", shown)
    assert re.search(r"best directions: red [0-2], green [0-2], blue [0-2]\n", shown)
    run(*judged, code=2)
    assert "rescoring needs somebody who sees attributes in images: train a predictor" in capsys.readouterr().err


def test_from_images_to_a_report(finished, capsys):
    disco = finished / "disco"
    config = json.loads((disco / "config.json").read_text())["hyperparameters"]
    assert (config["batching"], config["steps"], config["num_directions"]) == ("all_pairs", 3, 3)
    run(
        "evaluate",
        disco,
        "--metrics",
        "mig",
        "--num-train",
        200,
        "--num-test",
        50,
        "--control",
        "--device",
        "cpu",
        "--out",
        "s.csv",
    )
    assert [line.split(",")[0] for line in Path("s.csv").read_text().splitlines()] == ["metric", "mig", "control mig"]
    shown = capsys.readouterr().out
    assert f"next:\n  contrafact report {disco}" in shown
    scored = map(json.loads, (disco / "scores.jsonl").read_text().splitlines())
    assert [line["of"] for line in scored if line["metric"] == "mig"] == ["run", "control"]
    run("traverse", disco, "--samples", 1, "--frames", 3, "--out", "pictures")
    assert Path("pictures/traversal.png").stat().st_size > 0
    run("traverse", disco, "--samples", 1, "--frames", 3, "--directions", 2, "direction 0", "--out", "chosen")
    assert {p.name for p in Path("chosen").glob("direction_*.png")} == {"direction_00.png", "direction_02.png"}
    run("traverse", disco, "--directions", 9, code=2)
    assert "direction 9 does not exist; there are 3, from 0" in capsys.readouterr().err
    run("report", disco, "--samples", 1)
    assert "control" in (disco / "report.html").read_text()


@dataclass(frozen=True)
class Light(RegressionSettings):
    """The published protocol, but for what it costs."""

    steps: int = 2
    batch_size: int = 4
    width: float = 0.1


@pytest.mark.parametrize("source", ["vae", "sefa"])
def test_a_control_of_an_encoder_or_of_directions_alone(source, finished, capsys, monkeypatch):
    run("fit", "sefa", "--generator", finished / "vae", "--num-directions", 2, *CPU, "--out", "sefa")
    monkeypatch.setattr("contrafact.evaluation.control.RegressionSettings", Light)
    folder = {"vae": finished / "vae", "sefa": Path("sefa")}[source]
    sizes = ["--num-train", 60, "--num-test", 20]
    run("evaluate", folder, *sizes, "--control", "--device", "cpu")
    of = [json.loads(line)["of"] for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert of == ["run"] * 2 + ["control"] * 2
    assert "its control\n  mig " in capsys.readouterr().out


def test_fit_says_what_to_do_next(finished, capsys):
    run("fit", *TINY_VAE, "--steps", 2, *CPU)
    shown = capsys.readouterr().out
    assert "runs/vae-shapes3d-1: encoder, generator in" in shown
    assert "contrafact evaluate runs/vae-shapes3d-1 --control" in shown
    assert "contrafact fit disco --generator runs/vae-shapes3d-1" in shown
    run("fit", *TINY_VAE, "--steps", 2, *CPU)
    assert "runs/vae-shapes3d-2:" in capsys.readouterr().out
    run("fit", *TINY_VAE, "--steps", 2, *CPU, "--resume")
    assert "runs/vae-shapes3d-2 is already finished" in capsys.readouterr().err


def test_show_draws_a_sheet(finished, capsys):
    run("show", "data", "shapes3d", "--size", 16)
    assert "floor hue 10" in capsys.readouterr().out
    assert Path("shapes3d.png").read_bytes().startswith(b"\x89PNG")
    run("show", "generator", finished / "vae", "--out", "g.png")
    assert "trained_on" in capsys.readouterr().out
    assert Path("g.png").exists()
    run("show", finished / "vae", code=2)
    assert f"is a run: contrafact report {finished / 'vae'} draws all of it" in capsys.readouterr().err


def test_show_reads_a_checkpoint_once(finished, monkeypatch, capsys):
    """A large one takes seconds to read."""
    read, load = [], checkpoints.load_generator
    monkeypatch.setattr(
        checkpoints, "load_generator", lambda source, changes: read.append(source) or load(source, changes)
    )
    run("show", "generator", finished / "vae", "--out", "g.png")
    assert read == [str(finished / "vae")]


def test_convert_writes_a_file_of_our_own(finished, capsys):
    run("convert", finished / "vae", "mine.safetensors")
    run("show", "generator", "mine.safetensors", "--out", "g.png")
    assert "VAE" in capsys.readouterr().out


def test_codes_and_factors_of_ones_own_are_scored(capsys):
    factors = np.random.default_rng(0).integers(3, size=(300, 2))
    np.save("c.npy", factors * [1.0, -2.0])
    np.save("f.npy", factors)
    run("evaluate", "--codes", "c.npy", "--factors", "f.npy", "--metrics", "mig", "sap", "--out", "r.json")
    shown = capsys.readouterr().out
    assert "mig" in shown
    assert "sap" in shown
    assert json.loads(Path("r.json").read_text())["scores"]["mig.score"] > 0.9


def test_codes_that_hardly_move_are_named_once_and_left_out_of_a_second_column(capsys):
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(300, 2))
    np.save("c.npy", np.hstack([factors * 1.0, 1e-4 * rng.normal(size=(300, 2))]))
    np.save("f.npy", factors)
    own = ("evaluate", "--codes", "c.npy", "--factors", "f.npy", "--metrics", "mig,modularity")
    run(*own, "--out", "r.json")
    shown = capsys.readouterr().out
    assert "active codes" in shown
    assert shown.count("move less than a hundredth as far") == 1
    assert "the second score of each metric leaves out code 2, code 3" in shown
    found = json.loads(Path("r.json").read_text())
    assert found["active"]["modularity.score"] > found["scores"]["modularity.score"] + 0.1
    run(*own, "--active", 0)
    assert "active codes" not in capsys.readouterr().out


def test_codes_are_put_beside_recorded_scores_and_other_codes(capsys):
    factors = np.random.default_rng(0).integers(3, size=(300, 2))
    np.save("c.npy", factors * [1.0, -2.0])
    np.save("mixed.npy", factors @ np.array([[1.0, 1.0], [1.0, -1.0]]))
    np.savetxt("f.csv", factors, fmt="%d", delimiter=",", header="shape,hue", comments="")
    own = ("evaluate", "--codes", "c.npy", "--factors", "f.csv")
    run(*own, "--metrics", "mig,modularity", "--resamples", 5, "--heat-maps", "maps", "--out", "r.json")
    shown = capsys.readouterr().out
    assert "95 %" in shown
    assert sorted(path.name for path in Path("maps").iterdir()) == ["mig.png", "modularity.png"]
    recorded = json.loads(Path("r.json").read_text())["scores"]
    run(*own, "--metrics", "mig", "--reference", "r.json")
    assert f"{recorded['mig.score']:.6f}" in capsys.readouterr().out
    Path("r.json").write_text(json.dumps({"scores": {"mig.score": 0.5}, "tolerances": {"mig.score": 0.1}}))
    run(*own, "--metrics", "mig", "--reference", "r.json", code=1)
    assert "0.500000" in capsys.readouterr().out
    run(*own, "--compare", "mixed.npy", "--metrics", "mig", "--resamples", 20, "--out", "difference.csv")
    assert "mixed.npy against c.npy" in capsys.readouterr().out
    assert (
        Path("difference.csv")
        .read_text()
        .startswith("score,first,second,difference,low,high,p_value,p_corrected,missing\nmig.score,")
    )
    run("evaluate", "--codes", "c.npy", "--factors", "mixed.npy", "--continuous", "--metrics", "sap")
    assert "sap_continuous_n300" in capsys.readouterr().out


def test_what_a_metric_remarks_is_printed(capsys):
    np.save("c.npy", np.arange(30.0)[:, None])
    np.save("f.npy", np.arange(30)[:, None] % 3)
    run("evaluate", "--codes", "c.npy", "--factors", "f.npy", "--metrics", "mig")
    assert "mig: one code only" in capsys.readouterr().out


def test_fit_takes_the_edit_space_of_a_generator(tmp_path):
    run(
        "fit",
        "random",
        "--generator",
        "fashion-mnist",
        "--space",
        "z",
        "--num-directions",
        "3",
        "--out",
        str(tmp_path / "z"),
    )
    assert load_run(tmp_path / "z").generator.space == "z"


def test_bench_lists_recipes(capsys):
    run("bench")
    assert "disco-table4" in capsys.readouterr().out


# -- errors: one line that names the remedy, no traceback -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fitt"], "unknown command 'fitt'; did you mean 'fit'?"),
        (["fit", "sefaa", "--generator", "x"], "unknown method 'sefaa'"),
        (["fit", "--data", "shapes3d"], "name the method first: contrafact fit METHOD --data shapes3d"),
        (["fit", "vae"], "vae learns from images: give --data NAME-OR-PATH"),
        (
            ["fit", "disco", "--data", "x"],
            "disco learns from a generator: give --generator NAME-OR-FILE, and no --data",
        ),
        (
            ["fit", "vae", "--data", "shapes3d", "--space", "z"],
            "vae learns from images: give --data NAME-OR-PATH, and no --space",
        ),
        (
            ["fit", "vae", "--data", "shapes3d", "--set", "clamp=1"],
            "vae learns from images: give --data NAME-OR-PATH, and no --set",
        ),
        (["show", "data", "shapes3d", "--set", "size=8"], "--set is of a generator; leave it out for data"),
        (
            ["show", "generator", "analytic", "--set", "size"],
            "--set takes NAME=VALUE, such as --set clamp=256; got 'si",
        ),
        (["show", "generator", "analytic", "--set", "sice=8"], "unknown Analytic argument 'sice'; did you mean 'size'"),
        (
            ["fit", "sefa", "--generator", "fashion-mnist", "--space", "w", "--set", "space=z"],
            "space is given twice, as 'w' and as 'z'; give it once",
        ),
        (["fit", "sefa", "--generator", "fashion-mnist", "--space", "q"], "unknown edit space 'q'; known: w, z"),
        (["fit", "vae", "--preset", "quik"], "unknown preset of vae 'quik'; did you mean 'quick'?"),
        (["fit", "vae", "--data", "shapes4d"], "unknown dataset 'shapes4d'; did you mean 'shapes3d'?"),
        (["fit", "disco", "--generator", "shapes4d"], "unknown generator 'shapes4d'"),
        (["fit", *TINY_VAE, "--steps", "0"], "steps must be a whole number of at least 1, got 0"),
        (["fit", *TINY_VAE, "--batch-size", "-1"], "batch_size must be a whole number of at least 1, got -1"),
        (["fit", *TINY_VAE, "--seed", "-1"], "seed must be a whole number of at least 0, got -1"),
        (["fit", *TINY_VAE, "--device", "abacus"], "unknown device 'abacus'"),
        (["evaluate", "nowhere"], "nowhere is no folder; expected a run folder"),
        (["evaluate"], "name a run folder to score, or give --codes and --factors; one of the two"),
        (["evaluate", "x", "--codes", "c.npy"], "name a run folder to score, or give --codes and --factors"),
        (["evaluate", "--codes", "c.npy"], "no file c.npy"),
        (["evaluate", "--codes", "c.npy", "--reference", "r.json"], "r.json does not exist"),
        (["traverse", "."], ". holds no config.json, so it is no run"),
        (["show", "shapes3d"], "show takes data or generator before the name: contrafact show data shapes3d, or"),
        (["show", "daat", "shapes3d"], "expected one of data, generator, got 'daat'"),
        (["show", "data", "nowhere/3dshapes.h5"], "nowhere/3dshapes.h5 does not exist"),
        (["convert", "shapes3d", "x.pt"], "must be called *.safetensors, got 'x.pt'"),
        (["bench", "disco-table5"], "unknown recipe 'disco-table5'; did you mean 'disco-table"),
        (["bench", "latentclr-table1", "--scale", "paper"], "it needs a generator of your own, name it with --source"),
        (["bench", "latentclr-table1"], "nothing of it can run at the small scale: its rows are at --scale paper"),
    ],
)
def test_bad_input(arguments, message, capsys):
    run(*arguments, code=2)
    shown = capsys.readouterr().err.strip()
    assert shown.startswith(f"contrafact: {message}") or message in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["fit", "vae", "--stepz", "3"], ["list", "methodz"], ["show", "data"]])
def test_unknown_and_missing_options(arguments, capsys):
    run(*arguments, code=2)
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert f"contrafact {arguments[0]}" in shown


def test_the_systems_errors_are_one_line_too(capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "runs/x")

    monkeypatch.setattr("contrafact.core.run.Run.start", refuse)
    run("fit", *TINY_VAE, "--steps", 2, code=2)
    assert capsys.readouterr().err == "contrafact: Permission denied: runs/x\n"


def test_several_processes_need_a_named_folder(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    run("fit", *TINY_VAE, code=2)
    assert "several processes must share one run folder; name it with --out" in capsys.readouterr().err


# -- stopping and going on --------------------------------------------------------------------------------------------


def wait_for_lines(folder, count, process):
    log = Path(folder, LOG)
    while process.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"the process ended first: {process.communicate()}")


def test_kill_and_ctrl_c_then_resume_end_at_the_same_weights():
    arguments = ["fit", *TINY_VAE, "--steps", 600, "--save-every", 0, *CPU]
    whole = start(*arguments, "--out", "whole")
    assert whole.wait() == 0

    killed = start(*arguments, "--out", "cut")
    wait_for_lines("cut", 4, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not Path("cut/result.json").exists()

    interrupted = start(*arguments, "--out", "cut", "--resume")
    wait_for_lines("cut", 15, interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate()
    assert interrupted.returncode == 130
    assert "of 600; go on with the same command and --resume" in errors
    assert "Traceback" not in errors

    # In a process of its own, as the others: another number of threads would round otherwise.
    assert start(*arguments, "--out", "cut", "--resume").wait() == 0
    first, second = load_run("whole"), load_run("cut")
    assert fingerprint(first.encoder) == fingerprint(second.encoder)
    assert fingerprint(first.generator) == fingerprint(second.generator)
    assert first.log == second.log


# -- the last net -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError("depth"), MemoryError(), RecursionError("too deep"), AssertionError()])
def test_a_fault_of_our_own_is_one_line_and_a_file(monkeypatch, tmp_path, capsys, error):
    def fail(_):
        raise error

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cli, "_run", fail)
    run("list", "meth ods", code=70)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"contrafact: internal error: {type(error).__name__}")
    (file,) = tmp_path.glob("contrafact-error-*.txt")
    assert str(file) in said
    text = file.read_text()
    assert "command: contrafact list 'meth ods'" in text
    assert "Traceback" in text
    assert re.search(r"^torch \d", text, re.MULTILINE)
    monkeypatch.setenv("CONTRAFACT_DEBUG", "1")
    with pytest.raises(type(error)):
        main(["list"])


def test_no_place_for_the_file_is_said(monkeypatch, capsys):
    def fail(*_, **__):
        raise KeyError("depth") if _ else OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", fail)
    monkeypatch.setattr(cli, "_run", fail)
    run("list", code=70)
    assert "could not be written (No space left on device); CONTRAFACT_DEBUG=1 shows them" in capsys.readouterr().err


def test_a_message_cannot_steer_the_terminal(monkeypatch, capsys):
    def fail(_):
        raise ValueError("a file holds \x1b[2J\x07é")

    monkeypatch.setattr(cli, "_run", fail)
    run("list", code=2)
    assert capsys.readouterr().err == "contrafact: a file holds \\x1b[2J\\x07é\n"


def test_settings_a_checkpoint_does_not_hold(tmp_path, capsys):
    recorded = Recorded("stylegan2_nvidia_conditional")
    torch.save(recorded.state, tmp_path / "state.pt")
    known = ["--set", "clamp=0.9", "--set", "mapping_activation=lrelu", "--set", "label=1"]
    with pytest.warns(UserWarning, match="assumed mapping_lr = 0.01, activation"):
        run("show", "generator", tmp_path / "state.pt", *known, "--out", "g.png")
    said = capsys.readouterr().out
    assert re.search(r"^assumed +{'mapping_lr': 0.01, 'activation': 'lrelu'}$", said, re.MULTILINE)
    with pytest.warns(UserWarning, match="assumed mapping_lr"):
        run("convert", tmp_path / "state.pt", "own.safetensors", *known)
    generator = cf.load_generator("own.safetensors")
    assert (generator.clamp, generator.label) == (0.9, 1)
    run("fit", "sefa", "--generator", "own.safetensors", "--set", "space=z", "--num-directions", 2, "--out", "z")
    assert cf.load_run("z").generator.space == "z"
    run("traverse", "z", "--set", "clamp=0.5", "--truncation", 0.5, "--samples", 1, "--frames", 3, "--out", "pictures")
    assert Path("pictures/traversal.png").exists()


def test_warnings_are_one_line(tmp_path):
    torch.save(Recorded("glow_affine").state, tmp_path / "model.pt")
    command = [sys.executable, "-m", "contrafact", "convert", str(tmp_path / "model.pt"), "x.safetensors"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert said.splitlines() == [
        f"contrafact: {tmp_path / 'model.pt'} does not say all about its network; assumed size = 64. Give what was "
        'otherwise: load_generator(..., {"size": 64}), or the option --set size=64'
    ]
