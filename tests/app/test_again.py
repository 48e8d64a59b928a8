"""The command and the lines of Python that a page gives make its picture again, to the byte."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.app.again import command_again, python_again
from contrafact.app.session import Session
from contrafact.app.state import Between, Drawn, Photo, State, encode_values, parse_state
from contrafact.cli import main
from contrafact.core.artefact import save_artefact
from contrafact.core.directions import GlobalDirections
from contrafact.core.pictures import to_bytes
from contrafact.editing.latents import StoredLatents
from contrafact.generators.stylegan2 import StyleGAN2
from tests.app.talking import served, talking


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_command(text):
    words = shlex.split(text)
    assert words[0] == "contrafact"
    assert main(words[1:]) == 0
    return np.asarray(Image.open(next(Path("edited").glob("*_edited.png"))))


def run_python(text):
    names = {}
    exec(text, names)
    return to_bytes(names["image"])[0]


STATES = [
    {"latent": {"seed": 7}},
    {"latent": {"seed": 7}, "magnitudes": {"0": 1.5, "2": -1.25}},
    {"latent": {"seed": 3}, "magnitudes": {"1": 0.00001}, "truncation": 0.5},
    {"latent": {"photo": "ann <1>"}, "magnitudes": {"1": -2}},
    {"latent": {"between": [{"seed": 1}, {"photo": "bob"}, 0.3]}, "magnitudes": {"3": 1}},
]


@pytest.mark.parametrize("state", STATES)
def test_a_page_of_a_run_says_how_its_picture_is_made(disco_folder, state):
    session = Session.open(disco_folder)
    latents = session.generator.sample(2, seed=5)
    session.latents = StoredLatents.of(session.generator, latents, ["ann <1>", "bob"])
    with served(session, Path("kept here")) as (_, address), talking(address) as talk:
        said = talk.ask("again", state=state)
        _, pixels = talk.picture(state)
    assert np.array_equal(run_command(said["edit"]), pixels)
    assert np.array_equal(run_python(said["python"]), pixels)


@pytest.mark.parametrize("layers", [None, (1, 4)])
def test_a_generator_with_directions_of_a_file_on_some_layers(layers, tmp_path):
    save_artefact(StyleGAN2.tiny(), tmp_path / "tiny.safetensors")
    rng = torch.Generator().manual_seed(0)
    directions = GlobalDirections.of(torch.randn(3, 12, generator=rng), 0.5, layers=(0, 2), num_layers=6)
    save_artefact(directions, tmp_path / "few.safetensors")
    session = Session.open(
        generator="tiny.safetensors", use=Path("few.safetensors"), changes={"label": 1}, truncation=0.8
    )
    state = State(Drawn(5), ((0, -1.5), (2, 2.0)), layers)
    pixels = to_bytes(session.render([state]))[0]
    assert np.array_equal(run_command(command_again(session.source, state)), pixels)
    assert np.array_equal(run_python(python_again(session.source, state)), pixels)


def test_a_generators_own_axes():
    session = Session.open(generator="analytic")
    state = State(Drawn(5), ((1, -1.5),))
    pixels = to_bytes(session.render([state]))[0]
    assert np.array_equal(run_command(command_again(session.source, state)), pixels)
    assert np.array_equal(run_python(python_again(session.source, state, kind="code")), pixels)


@pytest.mark.parametrize("latent", [Photo("ann"), Between(Drawn(1), Drawn(2), 0.5)])
def test_what_no_seed_draws_needs_a_file(latent):
    with pytest.raises(ValueError, match="save it first"):
        command_again({"run": "runs/first"}, State(latent))


def test_values_are_saved_and_named(disco_folder):
    session = Session.open(disco_folder)
    latent = session.latent_of(Drawn(9))
    with served(session) as (_, address), talking(address) as talk:
        said = talk.ask("again", state={"latent": {"values": encode_values(latent)}})
    assert said["latents"] == str(disco_folder / "explored" / "latent-1.safetensors")
    pixels = to_bytes(session.render([parse_state({"latent": {"seed": 9}})]))[0]
    assert np.array_equal(run_command(said["edit"]), pixels)
