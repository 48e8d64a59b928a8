"""StyleGAN2 in files as strangers have them: with other things beside it, inside a larger model, or damaged."""

import argparse
import collections
import contextlib
import functools
import os
import pathlib
import pickle

import numpy as np
import pytest
import torch

from contrafact.generators import StyleGAN2
from contrafact.generators.checkpoints import load_generator
from tests.generators.recorded import Recorded

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")


@pytest.fixture
def state():
    return dict(Recorded("stylegan2_rosinality").state)


@pytest.fixture
def images(state, tmp_path):
    def of(content, **options):
        path = tmp_path / "model.pt"
        torch.save(content, path, **options)
        generator = load_generator(path)
        assert isinstance(generator, StyleGAN2)
        return generator(generator.map(torch.randn(2, generator.prior_dim, generator=torch.Generator().manual_seed(0))))

    return of


class Callback:
    def __init__(self):
        self.best, self.where = np.float32(1), pathlib.PurePosixPath("/x")


class Discriminator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
        self.preprocess = functools.partial(torch.nn.functional.interpolate, size=4)


COMPANY = {
    "optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(),
    "whole optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]),
    "arguments": argparse.Namespace(path=pathlib.PurePosixPath("/data/x.lmdb"), size=16, lr=np.float64(0.1)),
    "windows": pathlib.PureWindowsPath("D:\\x"),
    "number": np.float64(0.1),
    "integer": np.int64(3),
    "array": np.arange(3),
    "objects": np.array([None, "a"], dtype=object),
    "history": collections.defaultdict(list, a=[1.0]),
    "callbacks": {Callback: Callback(), "x": [Callback()]},
    "network": Discriminator(),
    "function": os.getcwd,
    "class": Callback,
    "random": np.random.default_rng(0),
    "sparse": torch.eye(2).to_sparse(),
}


@pytest.mark.parametrize("name", COMPANY)
def test_company_changes_nothing(name, images, state):
    alone = images({"g_ema": state})
    for zipped in (True, False):
        assert torch.equal(images({"g_ema": state, name: COMPANY[name]}, _use_new_zipfile_serialization=zipped), alone)


@pytest.mark.parametrize("prefix", ["generator.", "decoder.", "g_ema.", "module.", "netG_ema."])
def test_a_generator_inside_a_larger_model(prefix, images, state):
    alone = images({"g_ema": state})
    inside = {prefix + name: tensor for name, tensor in state.items()}
    assert torch.equal(images({"state_dict": {**inside, "encoder.weight": torch.ones(1)}, "epoch": 1}), alone)


def test_numpy_arrays_in_a_plain_pickle_are_not_taken_for_tensors(tmp_path, state):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"g_ema": {name: tensor.numpy() for name, tensor in state.items()}}))
    with pytest.raises(ValueError, match=r"holds no generator .* it holds g_ema \(\d+ entries: "):
        load_generator(path)


HALVES = [
    *(("stylegan2_rosinality", name) for name in ("convs.3.conv.weight", "to_rgbs.1.conv.weight", "style.3.weight")),
    *(("stylegan2_nvidia_conditional", f"synthesis.b16.{n}") for n in ("torgb.weight", "conv1.noise_strength")),
    *(("stylegan2_nvidia_conditional", f"mapping.{n}.weight") for n in ("fc1", "embed")),
    *(("stylegan2_genforce_conditional", n) for n in ("mapping.dense1.weight", "synthesis.output2.weight")),
    *(("stylegan3_r_conditional", f"mapping.{n}") for n in ("fc2.weight", "embed.weight")),
    ("stylegan3_xl", "synthesis.L8_32_1.weight"),
    ("stylegan_genforce_plain", "mapping.dense1.weight"),
    ("stylegan_rosinality", "style.5.linear.weight_orig"),
    ("biggan_brock", "blocks.0.1.theta.weight"),
]


@pytest.mark.parametrize(("recorded", "key"), HALVES, ids=lambda value: value)
def test_no_smaller_network_is_made_of_one_that_lacks_half_of_a_layer(recorded, key, tmp_path):
    state = Recorded(recorded).state
    path = tmp_path / "cut.pt"
    torch.save({name: tensor for name, tensor in state.items() if name != key}, path)
    with pytest.raises(ValueError, match=rf"cut.pt: the \w+ checkpoint lacks '{key}'"):
        load_generator(path, {"bands": Recorded(recorded).meta.get("bands")} if recorded == "stylegan3_xl" else {})


def test_weights_that_are_no_numbers_are_refused(tmp_path, state):
    path, bad = tmp_path / "astray.pt", {name: tensor.clone() for name, tensor in state.items()}
    bad["convs.1.conv.weight"].view(-1)[:3] = torch.tensor([float("nan"), float("inf"), 1.0])
    torch.save({"g_ema": bad}, path)
    with pytest.raises(
        ValueError, match=r"astray.pt: 2 of the weights of g_ema are NaN or infinite, the first in convs"
    ):
        load_generator(path)
    torch.save({"g": state, "g_ema": bad}, path)
    with pytest.warns(UserWarning, match=r"'g' is read; what comes before it was not: 2 of the weights of g_ema"):
        assert load_generator(path).note["part"] == "g"


def test_shapes_that_describe_a_network_far_larger_than_the_file(tmp_path, state):
    """A layer's weights are as many as the product of what two tensors claim, and one number can be any tensor."""
    state["style.1.weight"] = torch.zeros(1, 1).expand(1 << 18, state["style.1.weight"].shape[1])
    state["style.2.weight"] = torch.zeros(1, 1).expand(64, 1 << 18)
    for name in [name for name in state if name.startswith("style.") and name[6] not in "12"]:
        del state[name]
    path = tmp_path / "wide.pt"
    torch.save({"g_ema": state}, path)
    with pytest.raises(ValueError, match=r"wide\.pt: its tensors' shapes describe a network far larger than the file"):
        load_generator(path)


@pytest.mark.parametrize("count", [40, 5000])
def test_names_that_describe_images_without_end(count, tmp_path, state):
    parts = [name.removeprefix("to_rgbs.0.") for name in state if name.startswith("to_rgbs.0.")]
    convs = [name.removeprefix("convs.0.") for name in state if name.startswith("convs.0.")]
    for i in range(count):
        state |= {f"to_rgbs.{i}.{part}": state[f"to_rgbs.0.{part}"] for part in parts}
        state |= {f"convs.{2 * i + k}.{part}": state[f"convs.0.{part}"] for k in (0, 1) for part in convs}
    path = tmp_path / "deep.pt"
    torch.save({"g_ema": state}, path)
    with pytest.raises(ValueError, match=r"deep\.pt: "):
        load_generator(path)


CHANGES = {
    "number": lambda tensor: tensor.sum(),
    "more sides": lambda tensor: tensor[None, None],
    "empty": lambda tensor: tensor[:0],
    "truth values": lambda tensor: tensor.bool(),
    "complex": lambda tensor: tensor.to(torch.complex64),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["input.input", "convs.0.conv.weight", "to_rgb1.conv.weight", "style.1.weight"])
def test_tensors_of_any_other_shape_end_in_words(name, change, tmp_path, state):
    path = tmp_path / "odd.pt"
    torch.save({"g_ema": {**state, name: CHANGES[change](state[name])}}, path)
    if change in ("truth values", "complex"):  # weights of another kind may fit; they are then read as real numbers
        with contextlib.suppress(ValueError):
            load_generator(path)
        return
    with pytest.raises(ValueError, match=r"odd\.pt"):
        load_generator(path)
