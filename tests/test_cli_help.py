"""What the command line says of itself: help, lists, names that do not exist, machine-readable answers, completion."""

import subprocess
import sys

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
    headings = [line for line in text.splitlines() if line in ("make:", "score:", "edit:", "share:", "else:")]
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
    assert "(presets: released, paper, quick)" in text
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
