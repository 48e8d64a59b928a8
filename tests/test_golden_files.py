"""Files that earlier versions wrote load for ever: one of each kind, with what it answered when it was written.

``golden/format_0`` was written by version 0.1.0 before headers carried stable names and a format version,
``golden/format_1`` by the first version that wrote both. What is in these folders is never written anew. A class that
came later has its file in ``format_1``, with an ``.npz`` of its answer beside it.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import contrafact as cf
from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.run import Run
from contrafact.editing.latents import load_latents

GOLDEN = Path(__file__).parent / "golden"
FOLDER, NAMED = GOLDEN / "format_0", GOLDEN / "format_1"
ANSWERS = np.load(FOLDER / "answers.npz")
NAMES = sorted({key.rpartition(".")[0] for key in ANSWERS.files})
FILES = [FOLDER / f"{name}.safetensors" for name in NAMES] + sorted(
    path for path in NAMED.glob("*.safetensors") if path.stem in NAMES
)


LATER = sorted(NAMED.glob("*.npz"))


def kind_of(name):
    if name.endswith("directions"):
        return Directions
    return Encoder if name.endswith(("encoder", "classifier")) else Generator


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_old_artefact_answers_as_it_did(path):
    name = path.stem
    kind = kind_of(name)
    module = load_artefact(path, kind)
    given, answer = (torch.from_numpy(ANSWERS[f"{name}.{part}"]) for part in "xy")
    if kind is Directions:
        found = module(given, torch.tensor([0, 1, 1]), torch.tensor([1.0, -2.0, 0.5]))
    else:
        found = module(given)
    # The descent of an inversion amplifies the last digit; everything else is one forward pass.
    tolerance = 1e-2 if name.startswith("inversion") else 1e-4
    torch.testing.assert_close(found.detach(), answer, rtol=tolerance, atol=tolerance * float(answer.abs().max()))
    assert module.note == {"name": name}


@pytest.mark.parametrize("path", FILES[len(NAMES) :], ids=lambda path: path.stem)
def test_a_file_written_today_has_the_bytes_it_had(path, tmp_path):
    """What version 0 wrote, read and written again, is version 1's file to the last byte."""
    save_artefact(load_artefact(FOLDER / path.name, kind_of(path.stem)), tmp_path / "today.safetensors")
    assert (tmp_path / "today.safetensors").read_bytes() == path.read_bytes()
    save_artefact(load_artefact(path, kind_of(path.stem)), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("answers", LATER, ids=lambda path: path.stem)
def test_a_class_that_came_later_answers_as_it_did(answers, tmp_path):
    path = answers.with_suffix(".safetensors")
    module = load_artefact(path, kind_of(path.stem))
    given, answer = (torch.from_numpy(np.load(answers)[part]) for part in "xy")
    indexed = (torch.tensor([0, 1, 1]), torch.tensor([1.0, -2.0, 0.5])) if kind_of(path.stem) is Directions else ()
    tolerance = 1e-4 * float(answer.abs().max())  # one forward pass, on any processor
    torch.testing.assert_close(module(given, *indexed).detach(), answer, rtol=1e-4, atol=tolerance)
    save_artefact(module, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_names_in_files_are_short_and_of_a_version():
    assert len(FILES) > len(NAMES)
    for path in FILES[len(NAMES) :]:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
        assert header["format"] == "contrafact"
        assert header["version"] == "1"
        assert header["class"].partition("/")[0] in ("directions", "encoder", "generator")
        assert "contrafact." not in header["arguments"]


def test_latents_written_today_have_the_bytes_they_had(tmp_path):
    written = load_latents(FOLDER / "latents.safetensors").save(tmp_path / "latents.safetensors")
    assert written.read_bytes() == (NAMED / "latents.safetensors").read_bytes()


def test_a_file_of_a_newer_version_says_so(tmp_path):
    newer = tmp_path / "latents.safetensors"
    newer.write_bytes((NAMED / "latents.safetensors").read_bytes().replace(b'"version":"1"', b'"version":"9"'))
    with pytest.raises(ValueError, match=r"newer contrafact \(files of version 9; this one reads up to 1\)"):
        load_latents(newer)
    folder = shutil.copytree(NAMED / "run", tmp_path / "run")
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace('"format": 1', '"format": 2'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"config.json was written by a newer contrafact"):
        cf.load_run(folder)
    with pytest.raises(ValueError, match=r"config.json was written by a newer contrafact"):
        cf.methods.SeFa.preset("quick").fit(cf.load_generator("shapes3d"), Run(folder, resume=True))


def test_a_run_of_version_1_loads():
    run = cf.load_run(NAMED / "run")
    assert run.config["format"] == 1
    assert run.directions(torch.zeros(1, run.generator.latent_dim), 0, 1.0).norm() > 0


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
    # Not check_fit: analytic's rotation is computed where it is asked for, so another processor gives it other weights.
    assert (latents.space, latents.generator, latents.weights) == ("z", "analytic", "470aca6ba8f12ccb")
    cf.load_generator("analytic").check_latent(latents.latents)
