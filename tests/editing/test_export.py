"""Directions and latents in files that other programs read: there and back, the same numbers."""

import numpy as np
import pytest
import torch

from contrafact.core.directions import CurvedDirections, GlobalDirections, LayeredDirections
from contrafact.editing.directions import load_directions
from contrafact.editing.export import write_directions, write_latents
from contrafact.editing.latents import StoredLatents, load_latents
from contrafact.generators.stylegan2 import StyleGAN2
from tests.editing import foreign_files as files
from tests.editing.foreign_files import K, L

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def stylegan():
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=L, channels=[8, 6, 4], mapping_layers=2).freeze()


def plain(path):
    """What a file holds to who has no contrafact: no pickle is trusted."""
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True)
    found = np.load(path, allow_pickle=False)
    return dict(found) if path.suffix == ".npz" else found


def some(layers=None):
    vectors = torch.from_numpy(files.rng(2).normal(size=(3, L))).float()
    return GlobalDirections.of(vectors, 0.4, ["age", "smile", "pose"], layers, K)


def layered():
    vectors = torch.from_numpy(files.rng(2).normal(size=(3, K, L))).float()
    return LayeredDirections.of(vectors, 0.4, ["age", "smile", "pose"], (1, 4))


def steps(directions, magnitude=1.5):
    """Moved latents, every direction, in every layer."""
    latent = torch.randn(1, K, L, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return torch.stack([directions(latent, index, magnitude) for index in range(len(directions))])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize("make", [some, lambda: some((1, 4)), layered], ids=["global", "layer range", "per layer"])
def test_arrays_move_latents_as_the_directions_do(stylegan, make, suffix, tmp_path):
    directions, path = make(), tmp_path / f"d{suffix}"
    remarks = write_directions(directions, path)
    assert remarks == (["the names are left out: age, smile, pose"] if suffix == ".npy" else [])
    content = plain(path)
    array = torch.as_tensor(content if suffix == ".npy" else content["directions"])
    latent = torch.randn(1, K, L, generator=torch.Generator().manual_seed(9))
    by_hand = torch.stack([latent + 1.5 * vector for vector in array])  # as anybody would take a step
    torch.testing.assert_close(by_hand, steps(directions))
    back = load_directions(path, stylegan)
    torch.testing.assert_close(steps(back), steps(directions))
    assert back.names == (["direction 0", "direction 1", "direction 2"] if suffix == ".npy" else directions.names)
    again = tmp_path / f"again{suffix}"
    write_directions(back, again)
    assert again.read_bytes() == path.read_bytes() or suffix == ".pt"  # torch's files name their archive
    rewritten = plain(again)
    for name in () if suffix == ".npy" else rewritten:
        assert np.array_equal(rewritten[name], content[name]), name


@pytest.mark.parametrize(
    ("form", "name"),
    [("ganspace", "d.npz"), ("sefa", "d.npy"), ("sefa", "d.npz"), ("rosinality", "d.pt")],
)
def test_forms_of_other_programs_come_back(stylegan, form, name, tmp_path):
    directions = some()
    write_directions(directions, tmp_path / name, form, stylegan)
    back = load_directions(tmp_path / name, stylegan)
    torch.testing.assert_close(steps(back), steps(directions))


def test_what_was_read_is_written_with_the_numbers_it_had(stylegan, tmp_path):
    files.ganspace(tmp_path / "ganspace.npz")
    write_directions(load_directions(tmp_path / "ganspace.npz"), tmp_path / "again.npz", "ganspace", stylegan)
    before, after = plain(tmp_path / "ganspace.npz"), plain(tmp_path / "again.npz")
    assert set(before) == set(after)
    for name in ("lat_comp", "lat_stdev", "act_comp", "act_stdev"):
        assert before[name].shape == after[name].shape
        # A component and its length are one product in between, which rounds.
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-7)
    mean = stylegan.sample(4096, torch.Generator().manual_seed(0)).mean(dim=0)
    np.testing.assert_allclose(after["lat_mean"][0], mean, atol=1e-5)
    assert np.isnan(after["var_ratio"]).all()

    files.factor(tmp_path / "factor.pt")
    write_directions(load_directions(tmp_path / "factor.pt"), tmp_path / "again.pt", "rosinality")
    assert torch.equal(plain(tmp_path / "again.pt")["eigvec"], plain(tmp_path / "factor.pt")["eigvec"])

    np.save(tmp_path / "smile_boundary.npy", files.rows(1))
    for name in ("again.npy", "boundary.pt"):
        assert write_directions(load_directions(tmp_path / "smile_boundary.npy"), tmp_path / name, "interfacegan") == [
            "the names are left out: smile_boundary"
        ]
        assert np.array_equal(plain(tmp_path / name), files.rows(1))
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "smile_boundary.npy").read_bytes()

    np.save(tmp_path / "sefa.npy", files.rows())
    write_directions(load_directions(tmp_path / "sefa.npy"), tmp_path / "again.npy", "sefa")
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "sefa.npy").read_bytes()
    np.save(tmp_path / "face.npy", files.rng().normal(size=(K, L)).astype(np.float32)[None])
    write_directions(load_directions(tmp_path / "face.npy", stylegan), tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "face.npy").read_bytes()


def test_sefa_s_layers_come_back(stylegan, tmp_path):
    write_directions(some((1, 4)), tmp_path / "d.npz", "sefa")
    assert plain(tmp_path / "d.npz")["layers"].tolist() == [1, 2, 3]
    assert load_directions(tmp_path / "d.npz", stylegan).layers == (1, 4)
    assert write_directions(some((1, 4)), tmp_path / "d.npy", "sefa")[0] == (
        "they act on style layers 1 to 3 (of 6): say so there"
    )


def test_a_boundary_has_length_one(tmp_path):
    one = GlobalDirections.of(torch.ones(1, L), 0.5)
    remarks = write_directions(one, tmp_path / "b.npy", "interfacegan")
    assert remarks == ["a boundary has length 1: distance 0.5 there is magnitude 1 here"]
    np.testing.assert_allclose(np.linalg.norm(np.load(tmp_path / "b.npy")), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("directions", "name", "form", "message"),
    [
        (some(), "d.txt", None, r"must be called \*.safetensors or \*.npy or \*.npz or \*.pt, got 'd.txt'"),
        (some(), "d.npy", "ganspace", r"a file in ganspace's form must be called \*.npz, got 'd.npy'"),
        (some(), "d.npz", "ganspace", r"needs the mean of the generator's latents: name it \(--generator\)"),
        (some(), "d.npy", "sefaa", "unknown form 'sefaa'; did you mean 'sefa'"),
        (some(), "d.npy", "interfacegan", "reads one boundary from a file, got 3 directions; choose one"),
        (layered(), "d.pt", "rosinality", "a vector for each of 6 layers, which rosinality's form cannot hold"),
        (
            CurvedDirections(L, 2, 4),
            "d.npy",
            None,
            "CurvedDirections are no vectors: .* to \\*.safetensors",
        ),
    ],
)
def test_directions_that_a_file_cannot_hold(directions, name, form, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_directions(directions, tmp_path / name, form)
    assert not (tmp_path / name).exists()


# -- latents ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".npy", ".npz", ".pt"])
@pytest.mark.parametrize("shape", [(2, L), (2, K, L), (1, K, L), (K, L)])
def test_latents_come_back_as_they_were(stylegan, shape, suffix, tmp_path):
    latents = torch.from_numpy(files.rng(1).normal(size=shape)).float()
    stored = StoredLatents.of(stylegan, latents, [f"{n}.png" for n in range(len(latents))])
    path = tmp_path / f"l{suffix}"
    remarks = write_latents(stored, path)
    per_layer = False if (shape, suffix) == ((K, L), ".npy") else None  # the one that leaves open what its rows are
    back = load_latents(path, stylegan, per_layer=per_layer)
    assert torch.equal(back.latents, latents)
    assert (back.names == stored.names) == (not remarks)
    if suffix != ".safetensors":
        content = plain(path)
        assert np.array_equal(content if suffix == ".npy" else content["latents"], latents)


@pytest.mark.parametrize(("form", "name"), [("nvidia", "l.npz"), ("e4e", "l.pt"), ("rosinality", "l.pt")])
@pytest.mark.parametrize("shape", [(2, L), (2, K, L)])
def test_latents_as_other_programs_read_them(stylegan, form, name, shape, tmp_path):
    latents = torch.from_numpy(files.rng(1).normal(size=shape)).float()
    stored = StoredLatents.of(stylegan, latents, ["a.png", "b.png"])
    write_latents(stored, tmp_path / name, form, K)
    content = plain(tmp_path / name)
    layers = latents if latents.ndim == 3 else latents[:, None].expand(-1, K, -1)
    if form == "nvidia":
        assert np.array_equal(content["w"], layers)  # what generate.py --projected-w asserts: (N, num_ws, w_dim)
    elif form == "e4e":
        assert torch.equal(content, layers)
    else:
        assert torch.equal(content["b.png"]["latent"], latents[1])
    back = load_latents(tmp_path / name, stylegan)
    assert torch.equal(back.latents, latents if form == "rosinality" else layers)
    write_latents(back, tmp_path / f"again{tmp_path.joinpath(name).suffix}", form)
    again = plain(tmp_path / f"again{tmp_path.joinpath(name).suffix}")
    assert str(again) == str(content)


def test_latents_that_a_form_cannot_hold(stylegan, tmp_path):
    stored = StoredLatents.of(stylegan, torch.zeros(1, L), ["a"])
    with pytest.raises(ValueError, match=r"a latent for every style layer: name the generator .* \(--generator\)"):
        write_latents(stored, tmp_path / "w.npz", "nvidia")
    with pytest.raises(ValueError, match=r"a file in e4e's form must be called \*.pt, got 'w.npy'"):
        write_latents(stored, tmp_path / "w.npy", "e4e", K)
