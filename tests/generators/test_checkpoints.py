import hashlib
import json

import pytest
import torch

import contrafact
from contrafact.core.artefact import read_header, save_artefact
from contrafact.core.method import Artefacts
from contrafact.core.run import Run
from contrafact.generators import VAE, Analytic, checkpoints, wrap
from contrafact.generators.checkpoints import convert, describe, generator_names, load_generator, shipped_names


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return VAE.tiny().freeze()


@pytest.fixture
def shipped(tiny, tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    tiny.note = {"trained_on": "toys"}
    save_artefact(tiny, weights / "fashion-mnist.safetensors", dtype=torch.float16)
    monkeypatch.setattr(checkpoints, "WEIGHTS", weights)
    return tiny


def test_shipped_generators_load_by_name_in_any_spelling(shipped):
    assert shipped_names() == ["fashion-mnist"]
    assert generator_names()[:3] == ["fashion-mnist", "faces", "analytic"]
    for name in ("fashion-mnist", "Fashion_MNIST"):
        generator = load_generator(name)
        assert generator.name == name
        assert not generator.training
        assert not any(p.requires_grad for p in generator.parameters())
        assert generator.note == {"trained_on": "toys"}
    latent = shipped.sample(2, torch.Generator().manual_seed(0))
    assert torch.allclose(generator(latent), shipped(latent), atol=5e-3)


@pytest.mark.parametrize("name", ["analytic", "analytic:sprite", "analytic:room", "analytic:room:warped"])
def test_analytic_scenes_load_by_name(name):
    generator = contrafact.load_generator(name)
    assert isinstance(generator, Analytic)
    assert generator.name == name
    assert generator.scene in name or name == "analytic"
    assert generator.warp == name.endswith("warped")


def test_files_load_by_path(tiny, tmp_path):
    path = tmp_path / "vae.safetensors"
    save_artefact(tiny, path)
    for source in (path, str(path)):
        generator = load_generator(source)
        assert generator.name == str(path)
        latent = tiny.sample(2, torch.Generator().manual_seed(0))
        assert torch.equal(generator(latent), tiny(latent))


def _run_folder(tmp_path, artefacts):
    run = Run(tmp_path / "run", progress=False)
    source = {"kind": "data", "name": "shapes3d", "image_shape": [3, 64, 64]}
    run.start({"method": "vae", "hyperparameters": {}, "source": source})
    run.finish(artefacts, 0.0)
    return run.folder


def test_run_folders_give_their_generator(tiny, tmp_path):
    folder = _run_folder(tmp_path, Artefacts(generator=tiny))
    latent = tiny.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(load_generator(folder)(latent), tiny(latent))


def test_run_folders_without_a_generator(tmp_path):
    folder = _run_folder(tmp_path, Artefacts())
    with pytest.raises(ValueError, match="no generator"):
        load_generator(folder)


def test_unfinished_run_folders(tmp_path):
    run = Run(tmp_path / "run", progress=False)
    run.start({"method": "vae"})
    with pytest.raises(ValueError, match="has not finished"):
        load_generator(run.folder)


def test_unknown_names_get_a_suggestion_and_the_list(shipped):
    with pytest.raises(
        ValueError, match=r"unknown generator 'fashion_mnits'; did you mean 'fashion-mnist'\?"
    ) as raised:
        load_generator("fashion_mnits")
    assert "analytic:room" in str(raised.value)
    assert "or the path of a checkpoint or a run folder" in str(raised.value)
    with pytest.raises(ValueError, match="unknown generator ''"):
        load_generator("")


def test_conversion_writes_weights_and_a_header(tiny, tmp_path):
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_artefact(tiny, source)
    facts = convert(source, target)
    assert read_header(target)["class"] == "generator/vae"
    assert facts["name"] == str(target)
    latent = tiny.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(load_generator(target)(latent), tiny(latent))


def test_conversion_of_a_name(tmp_path):
    target = tmp_path / "room.safetensors"
    convert("analytic:room", target)
    generator = load_generator(target)
    assert torch.equal(generator.mix, load_generator("analytic:room").mix)


def test_conversion_refuses_to_overwrite_its_source(tiny, tmp_path):
    path = tmp_path / "a.safetensors"
    save_artefact(tiny, path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="is the source itself"):
        convert(path, path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_conversion_targets_are_safetensors(tmp_path):
    with pytest.raises(ValueError, match=r"must be called \*.safetensors, got 'x.pt'"):
        convert("analytic", tmp_path / "x.pt")


def test_description(tiny, tmp_path):
    path = tmp_path / "vae.safetensors"
    tiny.note = {"active": 3}
    save_artefact(tiny, path)
    facts = describe(path)
    assert facts["architecture"] == "VAE"
    assert facts["parameters"] == sum(p.numel() for p in tiny.parameters())
    assert (facts["latent_dim"], facts["image_shape"], facts["space"]) == (3, [3, 16, 16], "z")
    assert facts["spaces"] == ["z"]
    assert facts["layers"] == list(tiny.layer_names)
    assert facts["note"] == {"active": 3}
    json.dumps(facts)


def test_description_of_a_wrapped_module(tiny):
    facts = describe(wrap(tiny, 3, image_range=(0, 1)))
    assert facts["architecture"] == "Wrapped"
    assert facts["arguments"] is None


def test_foreign_files_of_no_known_architecture(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"alpha": torch.zeros(2), "beta": torch.zeros(3)}, path)
    with pytest.raises(
        ValueError,
        match=r"holds no generator of an architecture known here.*it holds 2 tensors: alpha \[2\], beta \[3\]\. .*wrap",
    ):
        load_generator(path)


def test_truncated_files_of_ours(tiny, tmp_path):
    path = tmp_path / "vae.safetensors"
    save_artefact(tiny, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_generator(path)


def test_changed_arguments(tiny, tmp_path):
    assert load_generator("analytic:room", {"size": 16}).image_shape == (3, 16, 16)
    facts = convert("analytic", tmp_path / "small.safetensors", {"size": 8})
    assert facts["image_shape"] == [3, 8, 8]
    with pytest.raises(ValueError, match="unknown Analytic argument 'sice'; did you mean 'size'"):
        load_generator("analytic", {"sice": 16})
    path = tmp_path / "vae.safetensors"
    save_artefact(tiny, path)
    with pytest.raises(ValueError, match=r"weights of this VAE do not fit {'latent_dim': 4}"):
        load_generator(path, {"latent_dim": 4})
