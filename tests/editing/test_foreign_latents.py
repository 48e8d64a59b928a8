"""Latents as other programs' projectors and encoders leave them."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import contrafact as cf
from contrafact.editing.latents import StoredLatents, edit, load_latents
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from tests.editing import foreign_files as files
from tests.editing.foreign_files import K, L

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def stylegan():
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=L, channels=[8, 6, 4], mapping_layers=2).freeze()


def array(*shape):
    return files.rng(3).normal(size=shape).astype(np.float32)


def written(folder, values):
    """One array in every kind of file that its programs write."""
    np.save(folder / "a.npy", values)
    np.savez(folder / "w.npz", w=values)
    np.savez(folder / "a.npz", values)
    torch.save(torch.from_numpy(values).requires_grad_(), folder / "a.pt")
    torch.save({"latent_codes": torch.from_numpy(values), "step": 3}, folder / "codes.pt")
    save_file({"latents": torch.from_numpy(values)}, folder / "a.safetensors")
    if values.ndim == 2:
        np.savetxt(folder / "a.csv", values, fmt="%.9g", delimiter=",")
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((L,), (1, L)),
        ((3, L), (3, L)),
        ((3, 1, L), (3, L)),
        ((3, L, 1, 1), (3, L)),
        ((K, L), (1, K, L)),
        ((1, K, L), (1, K, L)),
        ((3, K, L), (3, K, L)),
        ((3, 1, K, L), (3, K, L)),
    ],
)
def test_arrays_are_latents_of_the_generator(stylegan, shape, expected, tmp_path):
    values = array(*shape)
    for path in written(tmp_path, values):
        stored = load_latents(path, stylegan)
        assert torch.equal(stored.latents, torch.from_numpy(values).reshape(expected)), path.name
        names = [path.stem] if expected[0] == 1 else [f"{path.stem} {n}" for n in range(3)]
        assert (stored.names, stored.space) == (names, "w")
        stored.check_fit(stylegan)
        back = load_latents(stored.save(tmp_path / "ours" / "l.safetensors"), stylegan)
        assert torch.equal(back.latents, stored.latents)
        assert (back.names, back.facts) == (stored.names, {"read_from": path.name})


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_rosinality_s_projections_by_picture(stylegan, layered, batched, tmp_path):
    latents = torch.from_numpy(array(2, K, L) if layered else array(2, L))
    content = {
        f"photos/{name}.png": {
            "img": torch.zeros(3, 16, 16),
            "latent": latents[n : n + 1] if batched else latents[n],
            "noise": [torch.zeros(1, 1, 4, 4)],
        }
        for n, name in enumerate("ab")
    }
    torch.save(content, tmp_path / "project.pt")
    with pytest.warns(UserWarning, match="its noise inputs are left out: the generator's own are used"):
        stored = cf.load_latents(tmp_path / "project.pt", stylegan)
    assert torch.equal(stored.latents, latents)
    assert stored.names == ["a.png", "b.png"]
    torch.save(content["photos/a.png"], tmp_path / "one.pt")  # a file for each picture, as some copies write
    assert torch.equal(load_latents(tmp_path / "one.pt", stylegan).latents, latents[:1])


def test_lists_and_dicts_of_latents(stylegan, tmp_path):
    latents = torch.from_numpy(array(2, K, L))
    torch.save([latents[0], latents[1]], tmp_path / "list.pt")
    torch.save([latents[:1], latents[1:]], tmp_path / "batches.pt")
    torch.save({"a.jpg": latents[0], "b.jpg": latents[1:]}, tmp_path / "dict.pt")
    steps = {name: [array(K, L), latents[n].numpy()] for n, name in enumerate(("a.jpg", "b.jpg"))}
    np.save(tmp_path / "restyle.npy", steps, allow_pickle=True)  # ReStyle: each step's
    np.savez(tmp_path / "two.npz", a=latents[0].numpy(), b=latents[1].numpy())
    for path in tmp_path.iterdir():
        assert torch.equal(load_latents(path, stylegan).latents, latents), path.name
    assert load_latents(tmp_path / "restyle.npy", stylegan).names == ["a.jpg", "b.jpg"]


def test_what_a_plain_array_leaves_open_is_said_and_can_be_decided(stylegan, tmp_path):
    np.save(tmp_path / "face.npy", array(K, L))
    with pytest.warns(UserWarning, match=r"one image with a latent for each of 6 layers; to read it as 6 images"):
        load_latents(tmp_path / "face.npy", stylegan)
    assert load_latents(tmp_path / "face.npy", stylegan, per_layer=False).latents.shape == (K, L)
    with pytest.warns(UserWarning, match="does not say which edit space"):
        assert load_latents(tmp_path / "face.npy").latents.shape == (K, L)
    stored = load_latents(tmp_path / "face.npy", per_layer=True, space="w")
    assert (stored.latents.shape, stored.space) == ((1, K, L), "w")
    stored.check_fit(stylegan)
    directions = cf.core.directions.GlobalDirections.of(torch.eye(L))
    assert edit(stylegan, directions, stored.latents, [(0, 1.0)]).shape == (1, K, L)


def test_a_space_that_does_not_fit_is_refused(stylegan, tmp_path):
    in_z = StyleGAN2(**{**stylegan.arguments(), "space": "z"})
    np.savez(tmp_path / "projected_w.npz", w=array(1, L))
    with pytest.raises(ValueError, match=r"belongs to the w space, the generator is edited in z: load it"):
        load_latents(tmp_path / "projected_w.npz", in_z)
    with pytest.raises(ValueError, match="lie in the z space, this generator is edited in w"):
        load_latents(tmp_path / "projected_w.npz", stylegan, space="z")
    with pytest.warns(UserWarning, match="taken for z, the generator's only edit space"):
        load_latents(tmp_path / "projected_w.npz", Analytic("sprite", size=16, dead_dims=4))
    stored = StoredLatents.of(stylegan, torch.zeros(1, L), ["a"]).save(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="contrafact's own and says all about itself"):
        load_latents(stored, space="w")
    with pytest.raises(ValueError, match="says how its latents lie: leave out per_layer"):
        load_latents(tmp_path / "projected_w.npz", per_layer=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array(3, 7), r"StyleGAN2 expects latents of shape \(N, 12\) or \(N, 6, 12\), got \(3, 7\)"),
        (array(1, 18, L), r"got \(1, 18, 12\)"),
        (np.full((1, L), np.inf), "12 of 12 numbers are NaN, infinite"),
        (np.ones((1, L), complex), "expected real numbers, got complex ones"),
        (array(2, 3, 4, 5), r"expected latents \(L,\), \(N, L\) or \(N, layers, L\), got \(2, 3, 4, 5\)"),
        ({"a.png": {"latent": torch.ones(L)}, "b.png": {"latent": torch.ones(5)}}, "latents of one shape, got a.png"),
        ({"a.png": {"latent": torch.ones(2, K, L)}}, r"expected one image's latent .*, got \(2, 6, 12\)"),
        ({"mlp.0.weight": torch.ones(L, L)}, r"holds no latents known here: it is a torch file of mlp.0.weight"),
        ({"state_dict": {"a": 3}}, "it is a torch file of state_dict"),
        ("latent", "it is a torch file of a str"),
        ([], "it is a torch file of a list"),
    ],
)
def test_files_that_hold_no_latents_of_this_generator(stylegan, content, message, tmp_path):
    path = tmp_path / ("a.npy" if isinstance(content, np.ndarray) else "a.pt")
    np.save(path, content) if isinstance(content, np.ndarray) else torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_latents(path, stylegan)


def test_latents_are_not_directions_nor_the_other_way_round(stylegan, tmp_path):
    latents = StoredLatents.of(stylegan, torch.zeros(1, L), ["a"]).save(tmp_path / "latents.safetensors")
    with pytest.raises(ValueError, match="is a file of latents, not of directions; it is for --latents"):
        cf.load_directions(latents)
    files.factor(tmp_path / "factor.pt")
    cf.editing.directions.convert_directions(tmp_path / "factor.pt", tmp_path / "directions.safetensors")
    with pytest.raises(ValueError, match=r"holds no latents of contrafact's but weight .*; expected a file of latents"):
        load_latents(tmp_path / "directions.safetensors")
