"""Generators in the wrappers that programs put around them: one file, the same images out of each."""

import collections

import pytest
import torch
from torch import nn

from contrafact.generators import StyleGAN2
from contrafact.generators.checkpoints import describe, load_generator
from tests.generators.recorded import TOLERANCE, Recorded

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")

ROSINALITY = Recorded("stylegan2_rosinality")
STATE = dict(ROSINALITY.state)
GENFORCE = dict(Recorded("stylegan2_genforce_plain").state)
MEAN = ROSINALITY["latent_avg"]
ENCODER = {"encoder.input_layer.0.weight": torch.ones(3, 3, 3, 3), "encoder.body.0.shortcut.weight": torch.ones(2, 2)}
CRITIC = {"convs.0.0.weight": torch.ones(4, 3, 1, 1), "final_linear.1.weight": torch.ones(1, 4)}


def _below(prefix, state=STATE):
    return {prefix + name: tensor for name, tensor in state.items()}


def _worse(state=STATE):
    """Last weights, which are not to be taken."""
    return {name: tensor if "kernel" in name else tensor + 1 for name, tensor in state.items()}


WRAPPED = {
    "psp": {"state_dict": {**ENCODER, **_below("decoder.")}, "latent_avg": MEAN, "opts": {"output_size": 16}},
    "psp, a mean per layer": {"state_dict": {**ENCODER, **_below("decoder.")}, "latent_avg": MEAN.repeat(6, 1)},
    "restyle": {
        "state_dict": {**_below("decoder."), **ENCODER},
        "latent_avg": MEAN,
        "opts": {"n_iters_per_batch": 5, "output_size": 16},
    },
    "e4e": {"state_dict": {**ENCODER, **_below("decoder.")}, "latent_avg": MEAN, "discriminator_state_dict": CRITIC},
    "lightning": {
        "epoch": 3,
        "state_dict": {**_below("discriminator.", CRITIC), **_below("generator.")},
        "callbacks": {"x": {"best": torch.ones(())}},
        "hyper_parameters": {"lr": 1e-3},
        "latent_avg": MEAN,
    },
    "lightning G": {"state_dict": {**_below("D.", CRITIC), **_below("G.")}, "latent_avg": MEAN},
    "lightning netG": {"state_dict": {**_below("netD.", CRITIC), **_below("netG.")}, "latent_avg": MEAN},
    "lightning, compiled": {"state_dict": {**_below("generator._orig_mod.")}, "latent_avg": MEAN},
    "averaged beside": {
        "state_dict": {**_below("generator.", _worse()), **_below("generator_ema.")},
        "latent_avg": MEAN,
    },
    "ema_pytorch": {"ema": {**_below("online_model.", _worse()), **_below("ema_model."), "step": torch.ones(())}},
    "compiled": {"g_ema": _below("_orig_mod."), "latent_avg": MEAN},
    "compiled inside": {"g_ema": {n.replace(".conv.", ".conv._orig_mod."): t for n, t in STATE.items()}},
    "parallel, compiled": {"g_ema": _below("module._orig_mod."), "latent_avg": MEAN},
    "compiled, parallel": {"state_dict": _below("_orig_mod.module.generator.module."), "latent_avg": MEAN},
    "G_ema": {"G_ema": STATE, "G": _worse(), "D": CRITIC},
    "ema": {"model": _worse(), "ema": STATE},
    "params_ema": {"params": _worse(), "params_ema": STATE, "latent_avg": MEAN},
    "g_ema": {"g": _worse(), "d": CRITIC, "g_ema": STATE, "g_optim": {"state": {}}, "latent_avg": MEAN},
    "state_dict": {"state_dict": STATE},
    "models": {
        "models": {"generator": _worse(), "discriminator": CRITIC, "generator_smooth": STATE},
        "latent_avg": MEAN,
    },
    "deep": {"checkpoint": {"networks": {"stage2": {"weights": _below("model.gan.generator.")}}}},
    "one prefix that nobody knows": {"weights": _below("my_own_stylegan.")},
    "ordered": {"model": collections.OrderedDict(STATE), "epoch": 3},
}


def _images(path, content):
    torch.save(content, path)
    generator = load_generator(path)
    assert isinstance(generator, StyleGAN2)
    return generator


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_generator_makes_the_originals_images(name, tmp_path):
    generator = _images(tmp_path / "model.pt", WRAPPED[name])
    expected = (ROSINALITY["image"] + 1) / 2
    assert float((generator(ROSINALITY["w"]) - expected).abs().max()) <= TOLERANCE
    if "latent_avg" in WRAPPED[name]:
        truncated = generator(generator.map(ROSINALITY["z"], truncation=0.6))
        assert float((truncated - (ROSINALITY["truncated"] + 1) / 2).abs().max()) <= TOLERANCE
        assert "w_avg" not in generator.note


@pytest.mark.parametrize(
    ("name", "place", "weights"),
    [
        ("psp", "state_dict: decoder.", None),
        ("models", "models.generator_smooth", "models.generator"),
        ("averaged beside", "state_dict: generator_ema.", "state_dict: generator."),
        ("g_ema", "g_ema", "g"),
    ],
)
def test_what_was_read_is_noted(name, place, weights, tmp_path):
    note = describe(_images(tmp_path / "model.pt", WRAPPED[name]))["note"]
    assert note["part"] == place
    said = None if weights is None else f"the running average {place!r}; the last ones are {weights!r}"
    assert note.get("weights") == said


def test_another_part_can_be_asked_for(tmp_path):
    path = tmp_path / "model.pt"
    average = _images(path, {"g": _worse(), "d": CRITIC, "g_ema": STATE})
    last = load_generator(path, {"part": "g"})
    assert torch.equal(last.const, average.const + 1)
    assert last.note["part"] == "g"
    assert "weights" not in last.note
    with pytest.raises(ValueError, match=r"has no part 'generator'; its networks are 'g_ema', 'g', 'd'"):
        load_generator(path, {"part": "generator"})
    with pytest.raises(ValueError, match="holds a StyleGAN2 discriminator, not a generator"):
        load_generator(path, {"part": "d"})


def test_genforces_training_file(tmp_path):
    recorded = Recorded("stylegan2_genforce_plain")
    models = {"generator": _worse(GENFORCE), "discriminator": CRITIC, "generator_smooth": GENFORCE}
    generator = _images(tmp_path / "checkpoint_iter000010.pth", {"models": models, "running_metadata": {"iter": 10}})
    assert float((generator(recorded["w"]) - (recorded["image"] + 1) / 2).abs().max()) <= TOLERANCE


def test_a_damaged_average_is_told_where_the_last_weights_are_read(tmp_path):
    lacking = {name: tensor for name, tensor in STATE.items() if name != "to_rgb1.bias"}
    torch.save({"g_ema": lacking, "g": STATE}, tmp_path / "model.pt")
    with pytest.warns(UserWarning, match=r"'g' is read; what comes before it was not: .* lacks 'to_rgb1\.bias'"):
        generator = load_generator(tmp_path / "model.pt")
    assert generator.note["part"] == "g"


class Trainer(nn.Module):
    """A whole training pickled: its generator is a part."""

    def __init__(self):
        super().__init__()
        self.critic = nn.Linear(2, 2)
        self.generator = nn.Module()
        for name, tensor in STATE.items():
            *path, leaf = name.split(".")
            parent = self.generator
            for part in path:
                if not hasattr(parent, part):
                    parent.add_module(part, nn.Module())
                parent = getattr(parent, part)
            parent.register_buffer(leaf, tensor)


def test_a_whole_pickled_training(tmp_path):
    generator = _images(tmp_path / "model.pt", {"trainer": Trainer(), "epoch": 1})
    assert float((generator(ROSINALITY["w"]) - (ROSINALITY["image"] + 1) / 2).abs().max()) <= TOLERANCE
    assert generator.note["part"] == "trainer: generator."


def test_names_near_to_a_known_layout_are_told_what_is_missing(tmp_path):
    state = {name.replace("style.", "mlp."): t for name, t in STATE.items() if not name.startswith(("noises", "conv1"))}
    torch.save({"net": {"weights": state}}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="holds no generator") as raised:
        load_generator(tmp_path / "model.pt")
    text = str(raised.value)
    assert "it holds net (1 entries: weights); in it net.weights holds 43 tensors: mlp.1.weight [16, 16], " in text
    assert "It is nearest to StyleGAN2 (rosinality/stylegan2-pytorch) (in net.weights): " in text
    assert "; missing: conv#.activate.bias, conv#.conv.modulation.bias" in text
    assert "; not known of it: mlp.#.weight, mlp.#.bias" in text


def test_networks_that_are_like_nothing_are_told_what_they_are(tmp_path):
    content = {
        "GAN": {"S.net.0.weight": torch.zeros(12, 12), "G.initial_block": torch.zeros(1, 16, 4, 4)},
        "version": "1",
    }
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="holds no generator") as raised:
        load_generator(tmp_path / "model.pt")
    assert "it holds GAN (2 tensors: S.net.0.weight [12, 12], G.initial_block [1, 16, 4, 4]), version (str)" in str(
        raised.value
    )
    assert "nearest" not in str(raised.value)


def test_dicts_that_hold_themselves_a_thousandfold_are_searched_once(tmp_path):
    inner = {"a": torch.zeros(1)}
    for _ in range(6):
        inner = {f"k{i}": inner for i in range(1000)}
    torch.save(inner, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt"):
        load_generator(tmp_path / "model.pt")
