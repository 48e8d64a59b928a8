import json
import re
import sys
from pathlib import Path

import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.files import write_json
from contrafact.core.method import Artefacts, FinishedRun, load_run
from contrafact.core.run import CONFIG, LOG, RESULT
from contrafact.data.load import load_dataset
from contrafact.generators.wrap import wrap
from tests.core.toy import Toy, toy_generator, toy_run


@pytest.fixture
def finished(tmp_path):
    Toy().fit(toy_generator(), toy_run(tmp_path / "run"))
    return tmp_path / "run"


def test_a_run_read_back_gives_what_was_learned(tmp_path):
    generator = toy_generator()
    learned = Toy().fit(generator, toy_run(tmp_path / "run"))
    run = load_run(tmp_path / "run")
    latent = generator.sample(4, torch.Generator().manual_seed(0))
    assert torch.equal(run.directions(latent, 1, 0.5), learned.directions(latent, 1, 0.5))
    torch.testing.assert_close(run.generator(latent), generator(latent))
    assert fingerprint(run.generator) == run.config["source"]["weights"]
    assert not any(p.requires_grad for p in run.directions.parameters())
    assert not run.directions.training
    assert run.log[-1]["step"] == 60
    assert set(vars(run.artefacts())) == {"encoder", "directions", "generator"}


def test_a_folder_is_enough_of_a_run(tmp_path):
    Toy().fit(toy_generator(), tmp_path / "run")
    assert FinishedRun(tmp_path / "run").has("directions")


def test_presets_set_fields(tmp_path):
    assert Toy.preset("quick") == Toy(steps=30)
    with pytest.raises(ValueError, match=re.escape("unknown preset of toy 'quik'; did you mean 'quick'? known: quick")):
        Toy.preset("quik")


@pytest.mark.parametrize("source", ["runs/x", None])
def test_the_wrong_kind_of_source_is_refused(tmp_path, source):
    with pytest.raises(ValueError, match=r"Toy learns from a generator \(load_generator, .*\), got (str|NoneType)"):
        Toy().fit(source, tmp_path)


def test_images_for_a_method_of_generators(tmp_path):
    with pytest.raises(ValueError, match=r"Toy learns from a generator \(load_generator, .*\), got Shapes3D"):
        Toy().fit(load_dataset("shapes3d", size=16), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_artefact_is_named(finished):
    with pytest.raises(ValueError, match=r"the toy run in .* yields directions, generator, but no encoder"):
        _ = load_run(finished).encoder


def test_a_module_of_ones_own_must_be_passed_again(tmp_path):
    own = wrap(torch.nn.Sequential(torch.nn.Linear(5, 192), torch.nn.Unflatten(1, (3, 8, 8))), latent_dim=5)
    Toy().fit(own, toy_run(tmp_path / "run"))
    with pytest.raises(ValueError, match=r"--generator FILE.py:FUNCTION, a .*load_run\(folder, generator=...\)$"):
        _ = load_run(tmp_path / "run").generator
    assert load_run(tmp_path / "run", own).generator is own


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "is no folder; expected a run folder written by `contrafact fit`"),
        ({}, "holds no config.json, so it is no run"),
        ({CONFIG: {"method": "toy"}}, "has not finished; go on with `contrafact fit toy ... --out .* --resume`"),
        (
            {CONFIG: {"method": "toy", "command": ["/bin/contrafact", "fit", "toy", "--out", "x", "--resume"]}},
            "has not finished; go on with `contrafact fit toy --out .*run --resume`, then come back",
        ),
    ],
)
def test_what_is_no_finished_run(tmp_path, files, message):
    folder = tmp_path / "run"
    for name, content in (files or {}).items():
        write_json(folder / name, content)
    if files == {}:
        folder.mkdir()
    with pytest.raises(ValueError, match=message):
        load_run(folder)


def test_a_half_written_artefact_is_named(finished):
    path = finished / "directions.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"directions.safetensors is not a whole safetensors file"):
        _ = load_run(finished).directions


def test_a_damaged_result_is_named(finished):
    (finished / RESULT).write_text("{")
    with pytest.raises(ValueError, match=r"result.json is not valid JSON"):
        load_run(finished)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (CONFIG, [], r"config.json: expected an object with method"),
        (CONFIG, None, r"config.json: expected an object"),
        (CONFIG, {"method": 3}, r"config.json: 'method' must be a text, got 3; it was damaged or changed by hand"),
        (CONFIG, {"command": "fit"}, r"config.json: 'command' must be a list or null"),
        (CONFIG, {"source": None}, r"config.json: 'source' must be an object, got None"),
        (CONFIG, {"source": {"kind": "generator"}}, r"config.json: 'source': 'name' must be a text"),
        (
            CONFIG,
            {"source": {"kind": "generator", "name": "x", "image_shape": [3, "8", 8]}},
            "'image_shape' must be three whole numbers",
        ),
        (CONFIG, {"seed": "0"}, r"config.json: 'seed' must be a whole number"),
        (RESULT, [], r"result.json: expected an object with artefacts"),
        (RESULT, {"artefacts": "encoder"}, r"result.json: 'artefacts' must be a list"),
        (RESULT, {"artefacts": ["encoder", 1]}, r"result.json: 'artefacts' must be among encoder, directions"),
        (RESULT, {"artefacts": ["../../x"]}, r"result.json: 'artefacts' must be among encoder, directions"),
        (RESULT, {"seconds": None}, r"result.json: 'seconds' must be a number"),
        (LOG, {"step": "1"}, r"log.jsonl, line 1: 'step' must be a number, got '1'; the log is damaged"),
        (LOG, {"loss": [1]}, r"log.jsonl, line 1: 'loss' must be a number"),
        (LOG, [1], r"log.jsonl, line 1: expected an object with step"),
    ],
)
def test_files_of_another_shape_are_named(finished, name, change, message):
    path = finished / name
    content = {"step": 1} if name == LOG else json.loads(path.read_text())
    path.write_text(json.dumps({**content, **change} if isinstance(change, dict) else change) + "\n")
    with pytest.raises(ValueError, match=message):
        _ = load_run(finished).log


def test_a_generator_trained_on_images_remembers_them(tmp_path):
    from contrafact.methods.vae import VAE

    dataset = load_dataset("shapes3d", size=16)
    VAE(latent_dim=2, width=0.1, steps=2, batch_size=4).fit(dataset, toy_run(tmp_path / "run", seed=3))
    note = load_run(tmp_path / "run").generator.note
    assert (note["trained_on"], note["from"], note["method"], note["seed"]) == (
        "shapes3d",
        "procedural stand-in",
        "vae",
        3,
    )


def test_artefacts_that_are_not_there_are_not_written(tmp_path):
    assert Artefacts().save(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_kept(finished):
    assert load_run(finished).config["command"][0] == Path(sys.argv[0]).name
    assert len(load_run(finished).config["command"]) == len(sys.argv)
