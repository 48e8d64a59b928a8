"""What the command line says of itself: help, lists, names that do not exist, machine-readable answers, completion."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from contrafact.cli import COMMANDS, main
from contrafact.cli._methods import FOR_TESTS, lines, what_it_declares
from contrafact.methods import CATALOG


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        found = stopped.code
    assert found == code, f"exit code {found}"


def shown(capsys, *arguments, code=0):
    run(*arguments, code=code)
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_commands_stand_under_headings_each_once(capsys):
    text = shown(capsys, "--help")
    headings = [
        line for line in text.splitlines() if line in ("make:", "score:", "edit:", "share:", "set up:", "else:")
    ]
    assert headings[:4] == ["make:", "score:", "edit:", "share:"]
    assert "else:" not in headings
    assert all(text.count(f"\n  {name} ") == 1 for name in COMMANDS)
    assert text.index("\n  fit ") < text.index("score:") < text.index("\n  evaluate ") < text.index("edit:")


def test_version_in_short(capsys):
    assert shown(capsys, "-V") == shown(capsys, "--version")


@pytest.mark.parametrize("arguments", [["fit"], ["list", "methods"]])
def test_methods_stand_under_what_they_need(arguments, capsys):
    text = shown(capsys, *arguments)
    generator, few, images = (text.index(f"learn from {what}") for what in ("a generator", "images, and", "images ("))
    assert generator < text.index("\n  sefa ") < few < text.index("\n  zerodim ") < images < text.index("\n  vae ")
    assert "(presets: released, paper, quick, framed)" in text
    assert "tiny" not in text


@pytest.mark.parametrize("name", CATALOG.own_names())
def test_what_is_read_of_a_methods_source_is_what_it_is(name):
    cls, read = CATALOG.get(name), what_it_declares(name)
    assert (read.values["source"], read.values["labels"]) == (cls.source, cls.labels)
    assert read.values.get("presets", ()) == tuple(cls.presets)
    assert [*read.fields] == [*cls().hyperparameters()] if hasattr(cls, "hyperparameters") else True


def test_every_group_has_methods():
    assert len({line.needs for line in lines()}) >= 3


@pytest.mark.parametrize(
    ("method", "takes", "lacks"),
    [
        ("sefa", ("--generator", "--space", "--of-class", "--set"), ("--data", "--size", "--labels", "--factors")),
        ("vae", ("--data", "--size", "--split"), ("--generator", "--space", "--of-class", "--labels", "--label-seed")),
        ("zerodim", ("--data", "--labels", "--label-seed", "--factors"), ("--generator", "--of-class")),
        ("simclr", ("--data", "--labels"), ("--generator",)),
    ],
)
def test_a_methods_help_shows_only_what_it_takes(method, takes, lacks, capsys):
    text = shown(capsys, "fit", method, "--help")
    options = {part.strip(",") for part in text.split() if part.startswith("--")}
    assert set(takes) <= options
    assert not {option for option in lacks if f"│ {option} " in text}
    assert "tiny" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vae", "--data", "x", "--labels", "9"], "vae takes no labels; leave out --labels"),
        (["vae", "--data", "x", "--label_seed=1"], "vae takes no labels; leave out --label-seed"),
        (["vae", "--data", "x", "--of-class", "1"], "vae learns from images: give --data NAME-OR-PATH, and no --of-c"),
        (["sefa", "--data", "x", "--no-skip-damaged"], "and no --data, --skip-damaged"),
        (["contralord", "--data", "shapes3d", "--preset", "tiny"], "unknown preset of contralord 'tiny'; known: paper"),
    ],
)
def test_what_a_method_does_not_take_is_refused(arguments, message, capsys):
    assert message in shown(capsys, "fit", *arguments, code=2)


def test_presets_for_tests_are_for_tests(capsys, monkeypatch):
    assert FOR_TESTS & set(CATALOG.get("contralord").presets)
    monkeypatch.setenv("CONTRAFACT_TESTING", "1")
    assert "give --data" in shown(capsys, "fit", "contralord", "--preset", "tiny", code=2)


def test_a_name_that_does_not_exist_is_answered_before_torch_is_there():
    program = """
import sys
from contrafact.cli import main
codes = [main(words.split()) for words in ("fit sefaa", "fit vae --preset quik --data shapes3d", "fitt")]
print(codes, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[2, 2, 2] False"
    assert "did you mean 'quick'" in done.stderr


# -- options of every command -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae") / "run"
    small = ["--size", "16", "--width", "0.1", "--latent-dim", "3", "--batch-size", "8", "--steps", "2"]
    run("fit", "vae", "--data", "shapes3d", *small, "--device", "cpu", "--out", folder, "--quiet")
    return folder


def answered(capsys, *arguments):
    """The one JSON value on stdout; NaN would be refused."""
    run(*arguments)
    return json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(constant))


def test_answers_in_json(vae_run, capsys):
    listed = answered(capsys, "list", "--json")
    assert listed.keys() == {"methods", "generators", "data", "metrics"}
    assert {"name", "needs", "presets", "summary"} == listed["methods"][0].keys()
    assert answered(capsys, "--json", "show", "data", "shapes3d", "--size", "16")["facts"]["factors"]
    scored = answered(
        *(capsys, "evaluate", vae_run, "--metrics", "mig", "--json", "--num-train", 64, "--num-test", 32),
        *("--device", "cpu"),
    )
    assert isinstance(scored["scores"]["mig.score"], float)
    encoded = answered(capsys, "encode", vae_run, "--num-images", 5, "--json", "--device", "cpu")
    assert (encoded["images"], encoded["file"], len(encoded["codes"])) == (5, "codes.npz", 3)
    for out in ("a", "b"):
        fitted = answered(capsys, "fit", "--json", "sefa", "--generator", vae_run, "--num-directions", 2, "--out", out)
    assert (fitted["folder"], fitted["artefacts"]) == ("b", ["directions", "generator"])
    assert fitted["seconds"] >= 0
    compared = answered(capsys, "compare", "a", "b", "--samples", 1, "--frames", 3, "--json")
    assert compared["contenders"] == ["a", "b"]


def test_codes_of_ones_own_are_scored_in_json(capsys):
    np.save("codes.npy", np.random.default_rng(0).normal(size=(60, 2)))
    np.save("factors.npy", np.arange(60)[:, None] % 3)
    found = answered(
        capsys, "evaluate", "--codes", "codes.npy", "--factors", "factors.npy", "--metrics", "mig", "--json"
    )
    assert 0 <= found["scores"]["mig.score"] <= 1


def test_quiet_leaves_errors_and_what_was_asked_for(vae_run, capsys):
    run("fit", "sefa", "--generator", vae_run, "--num-directions", 2, "--quiet", "--out", "a")
    assert capsys.readouterr() == ("", "")
    run("--quiet", "evaluate", vae_run, "--metrics", "mig", "--num-train", 64, "--num-test", 32, "--device", "cpu")
    out, err = capsys.readouterr()
    assert re.search(r"mig +0", out)
    assert "next:" not in out
    assert err == ""
    assert "unknown method 'sefaa'" in shown(capsys, "fit", "--quiet", "sefaa", code=2)
    assert "--stepz" in shown(capsys, "fit", "vae", "--quiet", "--stepz", "3", code=2)
    assert "usage: contrafact fit vae" in shown(capsys, "fit", "vae", "--help", "--quiet")


def test_verbose_says_where_and_with_what(capsys):
    run("fit", "sefaa", "--verbose", code=2)
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert re.search(r"python 3\S+, contrafact \S+.*, torch .*; \d+\.\d s\n", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--quiet", "--verbose"], "--quiet and --verbose ask for opposite things; leave one out"),
        (["traverse", "x", "--json"], "traverse has no answer in JSON; leave out --json (list, show, fit,"),
        (["evaluate", "nowhere", "--metrics", "migg"], "unknown metric 'migg'; did you mean 'mig'?"),
    ],
)
def test_what_cannot_be_answered_is_refused_first(arguments, message, capsys):
    assert message in shown(capsys, *arguments, code=2)


# -- completion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("", {"fit", "list", "--version"}, {"_parse"}),
        ("eva", {"evaluate"}, {"fit"}),
        ("fit ", {"sefa", "disco"}, {"--data"}),
        ("--quiet fit se", {"sefa", "semi_supervised_vae"}, {"vae"}),
        ("fit contralord --preset ", {"paper", "quick"}, {"tiny"}),
        ("fit sefa --generator sh", {"shapes3d"}, {"dsprites"}),
        ("fit vae --data sh", {"shapes3d"}, {"stl10"}),
        ("fit vae --preset=q", {"--preset=quick"}, {"quick"}),
        ("fit vae --precision b", {"bfloat16"}, {"auto"}),
        ("fit disco --max", {"--max-shift"}, {"--min-shift"}),
        ("fit sefa --", {"--generator", "--set", "--num-directions", "--no-resume", "--json"}, {"--data", "--labels"}),
        ("fit vae --", {"--data", "--latent-dim", "--from"}, {"--generator", "--labels", "--begin-from"}),
        ("evaluate x --metrics mi", {"mig"}, {"sap"}),
        ("show d", {"data"}, {"generator"}),
        ("show data ds", {"dsprites"}, {"data"}),
        ("list m", {"methods", "metrics"}, {"data"}),
        ("encode runs/x ", {"shapes3d"}, {"fit"}),
        ("completion z", {"zsh"}, {"bash"}),
        ("fit --plugin mine.py zero", {"zerodim"}, {"vae"}),
        ("fit vae --plugin ", set(), {"--data", "shapes3d"}),
        ("--plugin m", set(), {"metrics"}),
        ("nonsense ", set(), {"fit"}),
    ],
)
def test_completes(line, some, none, capsys):
    found = set(shown(capsys, "--complete", *line.split(" ")).split())
    assert some <= found
    assert not none & found


def test_every_option_of_every_command_is_completed(capsys):
    for command in sorted({*COMMANDS} - {"fit"}):
        text = shown(capsys, command, "--help")
        options = set(re.findall(r"^│ (--[a-z-]+)", text, flags=re.MULTILINE))
        assert options <= set(shown(capsys, "--complete", command, "--").split()), command


def test_bash_completes(tmp_path):
    program = tmp_path / "contrafact"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -X importtime -m contrafact "$@" 2>{tmp_path}/imports\n')
    program.chmod(0o755)
    script = """
eval "$(contrafact completion bash)"
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _contrafact; echo "${COMPREPLY[*]}"; }
try contrafact fit zero
try contrafact fit vae --preset = q
try contrafact fit vae --data ''
complete -p contrafact
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment)
    methods, presets, data, registered = done.stdout.splitlines()
    assert (methods, presets) == ("zerodim", "quick")
    assert "shapes3d" in data.split()
    assert registered == "complete -o default -F _contrafact contrafact"
    imports = (tmp_path / "imports").read_text()
    assert "contrafact.cli._complete" in imports
    assert not re.search(r"\| +(torch|numpy|tyro|rich)\n", imports)
