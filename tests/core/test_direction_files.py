import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import contrafact as cf
from contrafact.core.artefact import read_header, save_artefact
from contrafact.core.direction_files import (
    ChosenDirections,
    check_fit,
    choose,
    export_directions,
    load_directions,
    name_direction,
)
from contrafact.core.directions import CurvedDirections, GlobalDirections
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods.random import Random


def random_curved(num_directions=4, latent_dim=6, layers=None, num_layers=1):
    torch.manual_seed(0)
    return CurvedDirections(latent_dim, num_directions, 8, scale=0.7, layers=layers, num_layers=num_layers)


@pytest.fixture
def run(tmp_path):
    """A run of six random directions on an analytic scene."""
    Random(num_directions=6).fit(Analytic("sprite", size=16), Run(tmp_path / "run", device="cpu", progress=False))
    return cf.load_run(tmp_path / "run")


# -- choosing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("constraint", ["unit", "orthonormal", "free"])
def test_chosen_vectors_move_as_they_did(constraint):
    torch.manual_seed(1)
    every = GlobalDirections(8, 5, constraint, scale=0.3, names=list("abcde"), layers=(1, 3), num_layers=4)
    torch.nn.init.normal_(every.weight)
    few = choose(every, ["d", 0])
    assert (few.names, few.num_directions, few.layers, few.num_layers) == (["d", "a"], 2, (1, 3), 4)
    latent, magnitude = torch.randn(3, 8), torch.tensor([1.0, -2.0, 0.5])
    for new, old in ((0, 3), (1, 0)):
        torch.testing.assert_close(few(latent, new, magnitude), every(latent, old, magnitude))


def test_chosen_ones_of_any_other_kind_move_as_they_did(tmp_path):
    every = random_curved(layers=(0, 2), num_layers=3)
    every.rename(3, "turn")
    few = choose(every, [3, 1])
    assert isinstance(few, ChosenDirections)
    save_artefact(few, tmp_path / "few.safetensors")
    back = load_directions(tmp_path / "few.safetensors")
    assert back.names == ["turn", "direction 1"]
    latent, index = torch.randn(4, 6), torch.tensor([0, 1, 1, 0])
    expected = every(latent, torch.tensor([3, 1, 1, 3]), 1.7)
    torch.testing.assert_close(back(latent, index, 1.7), expected)
    again = choose(back, ["turn"])  # some of some
    torch.testing.assert_close(again(latent, 0, -1.0), every(latent, 3, -1.0))


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([], "name the directions to choose, each once; got []"),
        ([1, "direction 1"], "each once"),
        (["smile"], "unknown direction 'smile'"),
        ([4], "direction 4 does not exist; there are 4, from 0"),
    ],
)
def test_a_choice_that_is_none(which, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("]", r"\]")):
        choose(random_curved(), which)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"class": "os:system"}, "not one of contrafact's classes; it is not loaded"),
        ({}, "not one of contrafact's classes"),
        (
            {"class": "contrafact.generators.analytic:Analytic", "arguments": {}},
            "directions are chosen from directions, not from a Analytic",
        ),
    ],
)
def test_a_header_that_asks_for_something_else_is_refused(source, message, tmp_path):
    """The class inside a class: the header is a stranger's text too."""
    arguments = {"source": source, "chosen": [0], "names": ["a"]}
    header = {
        "format": "contrafact",
        "class": "contrafact.core.direction_files:ChosenDirections",
        "arguments": json.dumps(arguments),
        "note": "{}",
    }
    save_file({"x": torch.zeros(1)}, tmp_path / "hostile.safetensors", metadata=header)
    with pytest.raises(ValueError, match=message):
        load_directions(tmp_path / "hostile.safetensors")


# -- to a file and back -----------------------------------------------------------------------------------------------


def test_a_file_of_some_directions_says_where_they_are_from(run, tmp_path):
    path = tmp_path / "out" / "directions.safetensors"
    run.directions.rename(4, "spin")
    export_directions(run, path, ["spin", 2])
    back = cf.load_directions(path)
    assert back.names == ["spin", "direction 2"]
    assert back.note == {"found_on": "generator", "method": "random", "seed": 0, "space": "z"}
    assert sum(tensor.numel() for tensor in load_file(path).values()) == 2 * 8  # two vectors, nothing else
    latent = torch.randn(3, 8)
    torch.testing.assert_close(back(latent, 0, 1.5), run.directions(latent, 4, 1.5))


def test_all_directions_by_default_and_from_the_folder(run, tmp_path):
    export_directions(run, tmp_path / "all.safetensors")
    for source in (tmp_path / "all.safetensors", run.folder, run.folder / "directions.safetensors"):
        found = load_directions(source)
        torch.testing.assert_close(found(torch.zeros(1, 8), 5, 1.0), run.directions(torch.zeros(1, 8), 5, 1.0))


def test_a_file_by_another_name_or_of_something_else(run, tmp_path):
    with pytest.raises(ValueError, match=r"must be called \*.safetensors, got 'd.pt'"):
        export_directions(run, tmp_path / "d.pt")
    with pytest.raises(ValueError, match="does not exist; expected a run folder or a"):
        load_directions(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match="holds a Analytic, expected a directions"):
        load_directions(run.folder / "generator.safetensors")


def test_directions_fit_a_generator_or_say_why_not():
    stylegan = StyleGAN2.tiny()
    check_fit(random_curved(latent_dim=12, layers=(0, 2), num_layers=6), stylegan)
    with pytest.raises(ValueError, match="live in 6 latent dimensions but the generator has 12"):
        check_fit(random_curved(), stylegan)
    with pytest.raises(ValueError, match="act on layers 0 to 1 of 4, but the generator has 6"):
        check_fit(random_curved(latent_dim=12, layers=(0, 2), num_layers=4), stylegan)
    noted = random_curved(latent_dim=12)
    noted.note = {"space": "z"}
    with pytest.raises(ValueError, match="found in the z space, the generator is edited in w; load it in that space"):
        check_fit(noted, stylegan)


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_stored_in_the_run_and_used_from_then_on(run):
    before = load_file(run.folder / "directions.safetensors")
    assert name_direction(run.folder, 3, " rotate ") == 3
    assert name_direction(run.folder, "direction 1", "zoom") == 1
    assert name_direction(run.folder, "rotate", "turn") == 3
    again = cf.load_run(run.folder).directions
    assert again.names == ["direction 0", "zoom", "direction 2", "turn", "direction 4", "direction 5"]
    assert again.index("turn") == 3
    assert again.note["method"] == "random"
    after = load_file(run.folder / "directions.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_file_of_directions_can_be_named_too(run, tmp_path):
    export_directions(run, tmp_path / "d.safetensors", [5])
    assert name_direction(tmp_path / "d.safetensors", 0, "glow") == 0
    assert load_directions(tmp_path / "d.safetensors").names == ["glow"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("  ", "one line of 1 to 80 characters, got ''"),
        ("a\nb", r"one line of 1 to 80 characters, got 'a\\nb'"),
        ("x" * 81, "one line of 1 to 80 characters"),
        ("7", "called '7' could not be told from direction number 7; use a word"),
        ("-2", "use a word"),
        ("direction 1", "direction 1 is called 'direction 1' already; rename it first"),
    ],
)
def test_names_that_will_not_do(run, name, message):
    with pytest.raises(ValueError, match=message):
        name_direction(run.folder, 3, name)
    assert load_directions(run.folder).names[3] == "direction 3"


def test_a_name_may_be_given_again(run):
    assert name_direction(run.folder, 3, "direction 3") == 3


def test_a_crash_while_naming_leaves_the_old_names(run):
    """The process dies for real, the new file written, just before it takes the old one's place."""
    name_direction(run.folder, 3, "rotate")
    before = (run.folder / "directions.safetensors").read_bytes()
    program = """
import os, sys
from contrafact.core.direction_files import name_direction
os.replace = lambda *arguments: os._exit(9)
name_direction(sys.argv[1], 3, "something else")
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program, run.folder], env=environment, check=False)
    assert done.returncode == 9
    assert (run.folder / "directions.safetensors").read_bytes() == before
    assert load_directions(run.folder).names[3] == "rotate"
    assert name_direction(run.folder, "rotate", "turn") == 3  # what the crash left behind is in nobody's way


def test_the_header_holds_the_names(run):
    name_direction(run.folder, 0, "größer ☂")
    assert read_header(Path(run.folder, "directions.safetensors"))["arguments"]["names"][0] == "größer ☂"
