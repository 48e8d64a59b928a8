"""Chains of (transposed) convolutions: what is told of files by shapes, and what has to be said."""

import dataclasses
import re
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from contrafact.core.artefact import load_artefact
from contrafact.core.generator import Generator
from contrafact.generators import TutorialDCGAN
from contrafact.generators._dcgan_stages import Stage
from contrafact.generators.checkpoints import convert, load_generator
from tests.generators.kinds import dcgan


def saved(make, tmp_path, rename=None):
    network = dcgan.trained(make)
    state = {name if rename is None else rename(name): tensor for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "netG.pth")
    return tmp_path / "netG.pth", network


def difference(generator, network):
    latent = torch.randn(4, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    ours, theirs = latent.clone().requires_grad_(), latent.clone().requires_grad_()
    images, original = generator(ours), (network(dcgan.noise_for(network, theirs)) + 1) / 2
    weight = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    (images * weight).sum().backward()
    (original * weight).sum().backward()
    gradient = float((ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max())
    return max(float((images - original).detach().abs().max()), gradient)


@pytest.mark.parametrize(
    "make", [dcgan.tutorial, dcgan.wasserstein, dcgan.pytorch_gan, dcgan.unflattened, dcgan.course]
)
def test_images_and_gradients_are_the_modules(make, tmp_path):
    path, network = saved(make, tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not say all about its network")
        assert difference(load_generator(path), network) < 1e-5  # sums in another order


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
def test_it_reads_the_tutorials_network_of_every_size(side, tmp_path):
    generator = TutorialDCGAN.of_size(side, latent_dim=7, width=2, channels=1)
    assert generator.image_shape == (1, side, side)
    assert [block.stage.stride for block in generator.stages] == [1] + [2] * (len(generator.stages) - 1)
    with pytest.raises(ValueError, match=r"side must be 8, 16, 32, 64, …, got 48"):
        TutorialDCGAN.of_size(48)


def test_the_tutorials_names_leave_nothing_open(tmp_path, recwarn):
    generator = load_generator(saved(dcgan.tutorial, tmp_path)[0])
    assert "assumed" not in generator.note
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(("activation", "name"), [(nn.ReLU(), "relu"), (nn.LeakyReLU(0.2), "lrelu")])
def test_the_activation_is_told_by_what_batch_normalisation_kept(activation, name, tmp_path):
    """Whoever changes the tutorial's activation leaves its names."""
    path, network = saved(partial(dcgan.tutorial, activation=activation), tmp_path)
    generator = load_generator(path)
    assert generator.activation == name
    assert difference(generator, network) < 1e-5


def test_statistics_of_nothing_decide_nothing(tmp_path):
    torch.manual_seed(0)
    torch.save(dcgan.nested("net").state_dict(), tmp_path / "gen.pth")  # untrained: means 0, variances 1
    with pytest.warns(UserWarning, match='assumed final = "tanh", activation = "relu"'):
        generator = load_generator(tmp_path / "gen.pth")
    assert generator.note["assumed"] == {"final": "tanh", "activation": "relu"}


@pytest.mark.parametrize("active", [False, True])
def test_whether_something_follows_the_linear_layer_is_told_too(active, tmp_path):
    def make():
        network = dcgan.linear_and_blocks()
        if active:
            network.between["linear"] = nn.Sequential(network.between["linear"], nn.ReLU())
        return network

    path, network = saved(make, tmp_path)
    with pytest.warns(UserWarning, match='assumed final = "tanh"'):
        generator = load_generator(path)
    assert generator.stages[0].stage.active is active
    assert difference(generator, network) < 1e-5


DIVIDED = {
    "spectral": nn.utils.spectral_norm,
    "spectral, over rows": lambda module: nn.utils.spectral_norm(module, dim=0),
    "spectral, parametrized": nn.utils.parametrizations.spectral_norm,
    "weight norm": lambda module: nn.utils.weight_norm(module, dim=1),
    "weight norm, of the whole": lambda module: nn.utils.weight_norm(module, dim=None),
    "weight norm, parametrized": nn.utils.parametrizations.weight_norm,
    "pruned": lambda module: prune.l1_unstructured(module, "weight", 0.3),
}


@pytest.mark.parametrize("name", DIVIDED)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weights_computed_of_others_are_those_the_network_uses(name, tmp_path, recwarn):
    path, network = saved(partial(dcgan.divided, DIVIDED[name]), tmp_path)
    assert difference(load_generator(path), network) < 1e-5
    assert not [w for w in recwarn if "assumed" in str(w.message)]


def test_parts_of_a_weight_must_fit(tmp_path):
    path, network = saved(partial(dcgan.divided, nn.utils.spectral_norm), tmp_path)
    state = network.state_dict()
    torch.save({**state, "main.3.weight_u": torch.ones(5)}, path)
    with pytest.raises(ValueError, match=r"what main.3.weight is computed of does not fit together: .*weight_u \[5\]"):
        load_generator(path)
    torch.save({n: t for n, t in state.items() if not n.endswith("_v")}, path)  # torch 0.4 keeps the left vectors alone
    assert load_generator(path).image_shape == (3, 32, 32)
    torch.save({**state, "main.3.weight": network.main[3].weight}, path)
    assert difference(load_generator(path), network) < 1e-5


def _stretched():
    layers = [nn.ConvTranspose2d(6, 16, (3, 5), 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.ConvTranspose2d(16, 8, (4, 3), (2, 1), 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    layers += [nn.ConvTranspose2d(8, 3, (4, 4), (2, 2), 1), nn.Tanh()]
    return dcgan.Whole({"main": nn.Sequential(*layers)})


def _dense():
    begin = [nn.Linear(6, 16 * 4 * 2), nn.ReLU(), nn.Unflatten(1, (16, 4, 2))]
    return nn.Sequential(*begin, *dcgan.normed(dcgan.up(16, 8), 8), dcgan.up(8, 3), nn.Tanh())


def test_images_that_are_no_square(tmp_path):
    path, network = saved(dcgan.rectangular, tmp_path)
    generator = load_generator(path)
    assert generator.image_shape == (3, 16, 8)
    assert difference(generator, network) < 1e-5
    path, network = saved(_stretched, tmp_path)
    with pytest.warns(UserWarning, match="assumed strides"):
        generator = load_generator(path)
    assert generator.image_shape == (3, 12, 10)
    assert difference(generator, network) < 1e-5
    convert(path, tmp_path / "ours.safetensors", {"strides": [1, [2, 1], [2, 2]], "paddings": [0, 1, 1]})
    assert difference(load_artefact(tmp_path / "ours.safetensors", Generator), network) < 1e-5
    path, network = saved(_dense, tmp_path)
    with pytest.raises(ValueError, match=r'16 channels of 8 pixels, which are no square: .*{"map_sides": \[4, 2\]}'):
        load_generator(path)
    assert difference(load_generator(path, {"map_sides": [4, 2], "final": "tanh"}), network) < 1e-5


def test_what_is_open_can_be_said(tmp_path):
    path, _ = saved(dcgan.tutorial, tmp_path)
    said = {"final": "sigmoid", "activation": "lrelu", "slope": 0.05, "strides": [1, 2, 2, 2], "paddings": [0, 1, 1, 3]}
    generator = load_generator(path, said)
    assert generator.image_shape == (3, 28, 28)
    assert (generator.final, generator.activation, generator.slope) == ("sigmoid", "lrelu", 0.05)
    images = generator(generator.sample(2, seed=0))
    assert images.min() > 0
    assert generator.note["given"] == said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": [1, 2]}, r"strides must be 4 whole numbers, one for every .* height and width\), such as \[1, 2"),
        ({"strides": [1, 2, 2, [2, 1, 1]]}, r"strides must be 4 whole numbers"),
        ({"enlarge": [1, 1, 1, [2, 1]]}, r"enlarge must be 4 whole numbers, one for every convolution, such as"),
        ({"strides": [1, 2, 2, 999]}, r"its layers would make images of 14987×14987 pixels, expected 8 to 2048"),
        ({"paddings": [9, 1, 1, 1]}, "leaves nothing of a map"),
        ({"final": "relu"}, "unknown final 'relu'"),
        ({"activation": "gelu"}, "unknown activation 'gelu'; did you mean 'elu'"),
    ],
)
def test_what_is_said_must_fit(changes, message, tmp_path):
    path, _ = saved(dcgan.tutorial, tmp_path)
    with pytest.raises(ValueError, match=message):
        load_generator(path, changes)


def test_a_converted_file_holds_all_settings(tmp_path, recwarn):
    path, network = saved(dcgan.pytorch_gan, tmp_path)
    convert(path, tmp_path / "ours.safetensors")
    again = load_artefact(tmp_path / "ours.safetensors", Generator)
    assert difference(again, network) < 1e-5
    assert {block.stage.eps for block in again.stages} == {1e-5, 0.8}


def test_other_names_for_the_same_layers_change_nothing_but_a_warning(tmp_path):
    path, network = saved(dcgan.tutorial, tmp_path, lambda name: name.replace("main", "my_layers"))
    with pytest.warns(UserWarning, match='assumed final = "tanh"'):
        assert difference(load_generator(path), network) < 1e-5


@pytest.mark.parametrize("save", [torch.save, lambda whole, path: torch.jit.save(torch.jit.script(whole), path)])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_whole_networks_are_read_too(save, tmp_path):
    network = dcgan.trained(dcgan.tutorial)
    save(network.main, tmp_path / "whole.pt")
    with pytest.warns(UserWarning, match='assumed final = "tanh"\\. '):  # and nothing else
        assert difference(load_generator(tmp_path / "whole.pt"), network) < 1e-5


def _critic():
    layers = [nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Conv2d(16, 1, 4))


def _activated_first():
    first = [dcgan.up(6, 8, 4, 1, 0), nn.ReLU(), nn.BatchNorm2d(8)]
    return nn.Sequential(*first, dcgan.up(8, 3), nn.Tanh())


OTHERS = {
    "a critic": _critic,
    "a network of linear layers": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 192)),
    "one that normalises what is activated": _activated_first,
    "classes": lambda: dcgan.Whole({"label_emb": nn.Embedding(10, 6), "main": dcgan.tutorial().main}),
    "five channels": partial(dcgan.tutorial, image=5),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_not_taken_for_one(name, tmp_path):
    torch.save(OTHERS[name]().state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="holds no generator of an architecture known here"):
        load_generator(tmp_path / "model.pt")


def test_stages_are_checked():
    with pytest.raises(ValueError, match=r"no stage of a DCGAN is described by .*'kernels'"):
        TutorialDCGAN(4, [{"kind": "dense", "out": 3, "kernels": 4}])
    with pytest.raises(ValueError, match=r"must end in images \(C, H, W\), they end in \(8,\)"):
        TutorialDCGAN(4, [Stage("dense", 8, norm="none")])


def test_arguments_are_plain_and_build_it_again():
    made = TutorialDCGAN.tiny()
    arguments = made.arguments()
    assert [set(stage) for stage in arguments["stages"]] == [{f.name for f in dataclasses.fields(Stage)}] * 3
    assert re.fullmatch(r"stages\.\d", made.layer_names[-1])
    assert TutorialDCGAN(**arguments).arguments() == arguments


def test_training_uses_the_batch_and_reaches_every_weight():
    torch.manual_seed(0)
    generator = TutorialDCGAN.tiny().train()
    generator(torch.randn(4, 5)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in generator.parameters())
