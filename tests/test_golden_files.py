"""Files that earlier versions wrote load for ever: one of each kind, with what it answered when it was written.

``golden/format_0`` was written by version 0.1.0 before headers carried stable names and a format version.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.core.artefact import load_artefact
from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.editing.latents import load_latents

FOLDER = Path(__file__).parent / "golden" / "format_0"
ANSWERS = np.load(FOLDER / "answers.npz")
NAMES = sorted({key.rpartition(".")[0] for key in ANSWERS.files})


def kind_of(name):
    if name.endswith("directions"):
        return Directions
    return Encoder if name.endswith(("encoder", "classifier")) else Generator


@pytest.mark.parametrize("name", NAMES)
def test_an_old_artefact_answers_as_it_did(name):
    kind = kind_of(name)
    module = load_artefact(FOLDER / f"{name}.safetensors", kind)
    given, answer = (torch.from_numpy(ANSWERS[f"{name}.{part}"]) for part in "xy")
    if kind is Directions:
        found = module(given, torch.tensor([0, 1, 1]), torch.tensor([1.0, -2.0, 0.5]))
    else:
        found = module(given)
    # The descent of an inversion amplifies the last digit; everything else is one forward pass.
    tolerance = 1e-2 if name.startswith("inversion") else 1e-4
    torch.testing.assert_close(found.detach(), answer, rtol=tolerance, atol=tolerance * float(answer.abs().max()))
    assert module.note == {"name": name}


def test_an_old_run_loads_and_is_edited(tmp_path):
    folder = shutil.copytree(FOLDER / "run", tmp_path / "run")
    run = cf.load_run(folder)
    assert run.directions.names[0] == "hue"
    assert run.log[-1]["step"] == 2
    latent = run.generator.sample(2, torch.Generator().manual_seed(0))
    edited = run.generator(run.directions(latent, run.directions.index("hue"), 2.0))
    assert run.encoder(edited).shape == (2, 32)
    assert not torch.equal(edited, run.generator(latent))


def test_old_exported_directions_and_latents_load():
    directions = cf.load_directions(FOLDER / "exported.safetensors")
    assert directions.names == ["hue", "direction 2"]
    latents = load_latents(FOLDER / "latents.safetensors")
    assert latents.names == ["one", "two"]
    latents.check_fit(cf.load_generator("analytic"))
