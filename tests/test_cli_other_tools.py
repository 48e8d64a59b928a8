"""Other programs' directions and latents on the command line."""

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.app.session import Session
from contrafact.app.state import Photo, State
from contrafact.cli import main
from contrafact.core.artefact import save_artefact
from contrafact.editing.latents import load_latents
from contrafact.generators.stylegan2 import StyleGAN2
from tests.editing import foreign_files as files
from tests.editing.foreign_files import K, L
from tests.generators.kinds.stylegan3 import write as write_stylegan3
from tests.generators.recorded import Recorded

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def stylegan(tmp_path_factory):
    """A file of a generator with 6 layers and 12 dimensions of w."""
    torch.manual_seed(0)
    generator = StyleGAN2(16, latent_dim=L, channels=[8, 6, 4], mapping_layers=2).freeze()
    path = tmp_path_factory.mktemp("generator") / "face.safetensors"
    save_artefact(generator, path)
    return path


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        found = stopped.code
    assert found == code, f"exit code {found}"


def test_ganspace_s_components_edit_at_once(stylegan, tmp_path, capsys):
    files.ganspace(tmp_path / "components.npz")
    run(*("edit", "--generator", stylegan, "--use", "components.npz"), *("--latent", 1, "--direction", 0, "--by", 2))
    stored, generator = np.load("components.npz"), cf.load_generator(stylegan)
    start = generator.sample(1, seed=1)
    expected = start.numpy() + 2 * stored["lat_stdev"][0] * stored["lat_comp"][0]
    np.testing.assert_allclose(load_latents("edited/edited.safetensors").latents, expected, rtol=1e-5, atol=1e-6)
    run("convert", "components.npz", "mine.safetensors", "--generator", stylegan)
    said = capsys.readouterr().out
    assert "program      GANSpace" in said
    assert "magnitude 1  a standard deviation along the component" in said
    run("name", "mine.safetensors", 0, "smile")
    assert cf.load_directions("mine.safetensors").names[0] == "smile"
    run("name", "components.npz", 0, "smile", code=2)
    assert "has no place for names: contrafact convert components.npz directions.safetensors" in capsys.readouterr().err


def test_a_vector_per_layer_edits_from_w_and_w_plus(stylegan):
    np.save("smile.npy", files.rng().normal(size=(K, L)).astype(np.float32))
    with pytest.warns(UserWarning, match="one direction with a vector for each of 6 layers"):
        run(*("edit", "--generator", stylegan, "--use", "smile.npy", "--latent", 1, "--direction", 0, "--by", 0.5))
    start = cf.load_generator(stylegan).sample(1, seed=1)
    once = start[:, None] + 0.5 * torch.from_numpy(np.load("smile.npy"))
    torch.testing.assert_close(load_latents("edited/edited.safetensors").latents, once)
    again = [
        "--latents",
        "edited/edited.safetensors",
        "--direction",
        0,
        "--by",
        -0.5,
        "--layers",
        0,
        2,
        "--out",
        "back",
    ]
    run("edit", "--generator", stylegan, "--use", "smile.npy", *again)
    back = load_latents("back/edited.safetensors").latents
    torch.testing.assert_close(back[:, :2], start[:, None].expand(-1, 2, -1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(back[:, 2:], once[:, 2:])
    run("convert", "smile.npy", "rows.safetensors", "--rows", "directions", "--space", "w")
    assert len(cf.load_directions("rows.safetensors")) == K


def test_torch_files_of_directions_are_told_from_generators(stylegan, tmp_path, capsys):
    files.factor(tmp_path / "factor.pt")
    run("convert", "factor.pt", "factor.safetensors")
    assert "rosinality" in capsys.readouterr().out
    torch.save({"mlp.0.weight": torch.ones(3, 3)}, tmp_path / "other.pt")
    run("convert", "other.pt", "other.safetensors", code=2)
    said = capsys.readouterr().err
    assert "it holds 1 tensors: mlp.0.weight" in said
    assert "Nor does it hold directions or latents that are known here" in said
    run("convert", stylegan, "again.safetensors", "--space", "w", code=2)
    assert "--space is for directions and latents; a generator's arguments" in capsys.readouterr().err
    run("convert", "factor.pt", "f.safetensors", "--kind", "directions", "--set", "space=z", code=2)
    assert "--set is of the generator that --generator names" in capsys.readouterr().err


def test_latents_of_projectors_are_edited_drawn_and_converted(stylegan, tmp_path, capsys):
    generator = cf.load_generator(stylegan)
    latents = generator.sample(2, seed=4)[:, None].repeat(1, K, 1)
    np.savez("projected_w.npz", w=latents[:1].numpy())
    torch.save(latents, tmp_path / "latents.pt")
    np.save("row.npy", files.rows(1))
    named = ["--generator", stylegan, "--use", "row.npy"]
    run("edit", *named, "--latents", "projected_w.npz", "--direction", 0, "--by", 2)
    moved = load_latents("edited/edited.safetensors")
    torch.testing.assert_close(moved.latents, latents[:1] + 2 * torch.from_numpy(files.rows(1)))
    assert moved.names == ["projected_w"]
    run("traverse", *named, "--latents", "latents.pt", "--frames", 3, "--out", "strips")  # of both, beside each other
    assert (tmp_path / "strips" / "samples.png").exists()
    capsys.readouterr()
    run("convert", "projected_w.npz", "mine.safetensors", "--generator", stylegan)
    assert "latents    1 of 12 dimensions, a latent for each of 6 layers" in capsys.readouterr().out
    run("convert", "latents.pt", "both.safetensors", "--kind", "latents")
    for name, expected in (("mine", latents[:1]), ("both", latents)):
        assert torch.equal(cf.load_latents(f"{name}.safetensors", generator).latents, expected)
    run("convert", "latents.pt", "both.npy", "--kind", "latents", code=2)
    assert "must be called *.safetensors" in capsys.readouterr().err


def test_another_program_s_latents_in_a_session_stay_as_they_are(stylegan, tmp_path):
    latents = cf.load_generator(stylegan).sample(1, seed=4)
    torch.save(latents, tmp_path / "face.pt")
    files.ganspace(tmp_path / "components.npz")
    session = Session.open(None, str(stylegan), tmp_path / "components.npz", latents=tmp_path / "face.pt")
    assert session.latents.names == ["face"]
    assert (session.home, session.named_in) == (None, None)
    expected = (
        latents.numpy() + 1.5 * np.load("components.npz")["lat_stdev"][1] * np.load("components.npz")["lat_comp"][1]
    )
    moved = session.moved(State(Photo("face"), ((1, 1.5),)))
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)


def test_directions_that_a_generator_has_by_itself(tmp_path, capsys):
    """StyleGAN3 moves and turns its images; what the command says comes next draws that."""
    write_stylegan3(Recorded("stylegan3_t"), tmp_path)
    run("convert", "network.pkl", "pose.safetensors", "--kind", "directions")
    said = capsys.readouterr().out
    assert "0.1 of the image's side; 10 degrees, clockwise" in said
    assert "traverse --generator network.pkl --use pose.safetensors --out pictures" in said
    pose = ("--generator", "network.pkl", "--use", "pose.safetensors", "--direction", "rotate", "translate_x")
    run("edit", *pose, "--latent", 1, "--by", 2.0, "--out", "edited")
    generator = cf.load_generator("network.pkl")
    directions = generator.own_directions()
    start = generator.sample(1, seed=1)
    edited = load_latents("edited/edited.safetensors").latents
    torch.testing.assert_close(edited, directions(directions(start, "rotate", 2.0), "translate_x", 2.0))
    run("convert", "dsprites", "none.safetensors", "--kind", "directions", code=2)
    assert "VAE has no directions of its own; let a method find some" in capsys.readouterr().err
    run("convert", "analytic:room", "pose.safetensors", "--kind", "directions", "--set", "warp=true", code=2)
    assert "a warped scene has no global directions" in capsys.readouterr().err


def test_directions_and_latents_are_exported_for_other_programs(stylegan, tmp_path, capsys):
    run("fit", "sefa", "--generator", stylegan, "--num-directions", 3, "--out", "found")
    directions, generator = cf.load_run("found").directions, cf.load_generator(stylegan)
    run("export", "found", "--as", "ganspace", "--out", "components.npz")
    run("export", "found", "--as", "interfacegan", "--directions", 1, "--out", "boundary.npy")
    assert "note: a boundary has length 1: distance" in capsys.readouterr().out
    run("export", "found", "--out", "found.pt")
    run("export", "found.pt", "--as", "rosinality", "--out", "factor.pt")  # a file of anybody's is a source too
    latent, steps = generator.sample(1, seed=3), 1.5 * directions.scale * directions.vectors()
    for file in ("components.npz", "found.pt", "factor.pt"):
        found = cf.load_directions(file, generator)
        torch.testing.assert_close(torch.cat([found(latent, d, 1.5) for d in range(3)]), latent + steps)
    run("edit", "found", "--latent", 1, 2, "--direction", 0, "--by", 1)
    run("export", "edited/edited.safetensors", "--as", "nvidia", "--generator", stylegan, "--out", "projected_w.npz")
    run("export", "edited/edited.safetensors", "--out", "latents.npy")
    moved = load_latents("edited/edited.safetensors").latents
    assert np.array_equal(np.load("projected_w.npz")["w"], moved[:, None].expand(-1, K, -1))
    assert np.array_equal(np.load("latents.npy"), moved)
    run("export", "latents.npy", "--kind", "latents", "--out", "ours.safetensors")
    assert torch.equal(load_latents("ours.safetensors").latents, moved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["row.npy", "--as", "nvidia", "--out", "w.npz"], "--as nvidia is for latents; of directions: ganspace"),
        (
            ["w.npz", "--as", "sefa", "--out", "d.npy"],
            "--as sefa is for directions; of latents: nvidia, e4e",
        ),
        (["w.npz", "--directions", "0", "--out", "d.npy"], "w.npz holds latents, which have no --directions"),
        (["row.npy", "--set", "space=z", "--out", "d.npy"], "--set is of the generator that --generator names"),
        (
            ["row.npy", "--as", "ganspace", "--out", "d.npz"],
            "needs the mean of the generator's latents: name it",
        ),
        (["w.npz", "--as", "e4e", "--out", "d.pt"], "name the generator that says how many (--generator)"),
        (["nothing.npy", "--out", "d.npy"], "nothing.npy does not exist; expected a run folder"),
    ],
)
def test_exports_that_cannot_be(arguments, message, capsys):
    np.save("row.npy", files.rows(1))
    np.savez("w.npz", w=files.rows(2))
    run("export", *arguments, code=2)
    assert message in capsys.readouterr().err
