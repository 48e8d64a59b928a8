"""Settings that weights do not hold: given, found in or beside the file, or assumed and said."""

import argparse
import json
import re
import warnings

import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.core.run import Run
from contrafact.generators import BigGAN, Glow, ProgGAN, StyleGAN2
from contrafact.generators._settings import UNKNOWN, Settings
from contrafact.generators.checkpoints import changed, convert, describe, load_generator
from contrafact.methods import LatentCLR, Random
from tests.generators.recorded import TOLERANCE, Recorded


def _load(path, changes=None):
    """The generator, with any warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_generator(path, changes)


def _equal(images, expected):
    return float((images - (expected + 1) / 2).abs().max()) <= TOLERANCE


@pytest.fixture
def nvidia(tmp_path):
    """A bare state dict of a network that was trained with a clamp, 0.9, which it reaches."""
    recorded = Recorded("stylegan2_nvidia_conditional")
    torch.save(recorded.state, tmp_path / "state.pt")
    return recorded, tmp_path / "state.pt"


def test_a_bare_state_dict_says_what_was_assumed(nvidia):
    recorded, path = nvidia
    with pytest.warns(UserWarning, match="does not say all") as caught:
        generator = load_generator(path)
    (warning,) = caught
    assert re.fullmatch(
        rf"{path} does not say all about its network; assumed clamp = null, mapping_lr = 0.01, activation = \"lrelu\", "
        r'mapping_activation = "lrelu"\. Give what was otherwise: load_generator\(\.\.\., {"clamp": None}\), or the '
        r"option --set clamp=null",
        str(warning.message),
    )
    assert warning.filename == __file__
    assumed = {"clamp": None, "mapping_lr": 0.01, "activation": "lrelu", "mapping_activation": "lrelu"}
    assert generator.note["assumed"] == describe(generator)["assumed"] == assumed
    assert not _equal(generator(recorded["w"]), recorded["image"])


def test_what_the_user_gives_is_used_and_not_assumed(nvidia):
    recorded, path = nvidia
    known = {"mapping_lr": 0.01, "activation": "lrelu", "mapping_activation": "lrelu"}
    generator = _load(path, {"clamp": 0.9, **known, "label": 1})
    assert _equal(generator(recorded["w"]), recorded["image"])
    assert generator.note["given"] == {"clamp": 0.9, **known}
    assert "assumed" not in generator.note
    assert generator.label == 1
    with pytest.warns(UserWarning, match="assumed mapping_lr = 0.01, activation"):
        assert _equal(load_generator(path, {"clamp": 0.9})(recorded["w"]), recorded["image"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"z_dim": 10, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"conv_clamp": 0.9}},
        {"class_name": "training.networks_stylegan2.Generator", "mapping_kwargs": {}, "conv_clamp": 0.9},
    ],
)
def test_training_options_beside_the_file_are_read(nvidia, arguments):
    recorded, path = nvidia
    (path.parent / "training_options.json").write_text(json.dumps({"G_kwargs": arguments}))
    generator = _load(path)
    assert _equal(generator(recorded["w"]), recorded["image"])
    assert generator.note["read_beside"] == ["training_options.json"]


def test_options_that_are_not_of_this_checkpoint_say_nothing(nvidia):
    _, path = nvidia
    for content in ("{", "[1]", '{"G_kwargs": 3}', "[" * 100_000, "\xff"):
        (path.parent / "training_options.json").write_text(content, encoding="latin-1")
        with pytest.warns(UserWarning, match="assumed clamp = null"):
            assert "read_beside" not in load_generator(path).note


def test_mapping_rates_beside_and_given(tmp_path):
    """The recorded network's multiplier is 0.02; its weights alone do not say so."""
    recorded, path = Recorded("stylegan2_nvidia_plain"), tmp_path / "state.pt"
    torch.save(recorded.state, path)
    with pytest.warns(UserWarning, match="mapping_lr = 0.01"):
        wrong = load_generator(path)
    assert not torch.allclose(wrong.map(recorded["z"]), recorded["w"], atol=1e-2)
    given = load_generator(
        path, {"mapping_lr": 0.02, "clamp": None, "activation": "lrelu", "mapping_activation": "lrelu"}
    )
    assert torch.allclose(given.map(recorded["z"]), recorded["w"], atol=1e-5)
    options = {"G_kwargs": {"mapping_kwargs": {"lr_multiplier": 0.02}}}
    (tmp_path / "training_options.json").write_text(json.dumps(options))
    assert torch.allclose(_load(path).map(recorded["z"]), recorded["w"], atol=1e-5)


def _rosinality(tmp_path, lr=1.0, **more):
    """A checkpoint of rosinality's program whose mapping network has a multiplier of its own, and what it maps to."""
    recorded = Recorded("stylegan2_rosinality")
    # Weights that are stored divided by another number are the same network.
    state = {k: v * (0.01 / lr) if k.startswith("style.") else v for k, v in recorded.state.items()}
    torch.save({"g_ema": state, "latent_avg": recorded["latent_avg"], **more}, tmp_path / "model.pt")
    return recorded, tmp_path / "model.pt"


def test_a_spread_that_speaks_against_the_assumption_is_said(tmp_path):
    recorded, path = _rosinality(tmp_path)
    with pytest.warns(
        UserWarning, match=r"assumed mapping_lr = 0\.01; but the spread of its weights, .*suggests about"
    ):
        load_generator(path)
    assert torch.allclose(_load(path, {"mapping_lr": 1.0}).map(recorded["z"]), recorded["w"], atol=1e-5)


def test_a_mean_of_w_is_estimated_with_the_rate_that_is_given(tmp_path):
    recorded, path = _rosinality(tmp_path, latent_avg=None)
    mean = _load(path, {"mapping_lr": 1.0}).w_avg
    assert (mean - recorded["latent_avg"]).norm() / recorded["latent_avg"].norm() < 0.2
    with pytest.warns(UserWarning, match="mapping_lr"):
        convert(path, tmp_path / "guessed.safetensors")
    later = _load(tmp_path / "guessed.safetensors", {"mapping_lr": 1.0})
    assert torch.allclose(later.w_avg, mean)
    assert later.note["assumed"] == {}
    assert later.note["given"] == {"mapping_lr": 1.0}


@pytest.mark.parametrize("arguments", [argparse.Namespace(size=16, lr_mlp=1.0), {"lr_mlp": 1.0}])
def test_arguments_in_the_file_are_read(tmp_path, arguments):
    recorded, path = _rosinality(tmp_path, args=arguments)
    assert torch.allclose(_load(path).map(recorded["z"]), recorded["w"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("args.json", '{"size": 16, "lr_mlp": 1.0}'),
        ("opt.yaml", "network_g:\n  type: StyleGAN2  # theirs\n  lr_mlp: 1.0  # of the mapping network\n"),
        ("model.json", '{"model": {"generator": {"lr_mlp": 1.0}}}'),
    ],
)
def test_arguments_beside_the_file_are_read(tmp_path, name, text):
    recorded, path = _rosinality(tmp_path)
    (tmp_path / name).write_text(text)
    generator = _load(path)
    assert torch.allclose(generator.map(recorded["z"]), recorded["w"], atol=1e-5)
    assert generator.note["read_beside"] == [name]


def test_files_beside_that_contradict_each_other_say_nothing(tmp_path):
    _, path = _rosinality(tmp_path)
    (tmp_path / "args.json").write_text('{"lr_mlp": 1.0}')
    (tmp_path / "opt.yml").write_text("lr_mlp: 0.1\n")
    with pytest.warns(UserWarning, match="mapping_lr"):
        load_generator(path)


def test_filters_that_a_fork_leaves_out(tmp_path):
    recorded = Recorded("stylegan2_rosinality")
    state = {k: v for k, v in recorded.state.items() if not k.endswith("kernel")}
    torch.save({"g_ema": state, "latent_avg": recorded["latent_avg"]}, tmp_path / "fork.pt")
    with pytest.warns(UserWarning, match=r"mapping_lr = 0\.01, kernel = \[1\.0, 3\.0, 3\.0, 1\.0\]"):
        assert _equal(load_generator(tmp_path / "fork.pt")(recorded["w"]), recorded["image"])
    other = _load(tmp_path / "fork.pt", {"kernel": [1, 2, 2, 1], "mapping_lr": 0.01})
    assert other.arguments()["kernel"] == [1, 2, 2, 1]
    assert not _equal(other(recorded["w"]), recorded["image"])


def test_the_last_tangent_of_genforce(tmp_path):
    recorded, path = Recorded("stylegan2_genforce_plain"), tmp_path / "model.pth"
    torch.save({"generator_smooth": recorded.state}, path)
    with pytest.warns(UserWarning, match="assumed mapping_lr = 0.01, tanh = false"):
        assert _equal(load_generator(path)(recorded["w"]), recorded["image"])
    generator = _load(path, {"tanh": True, "mapping_lr": 0.01})
    assert _equal(generator(recorded["w"]), recorded["image"].tanh())
    (tmp_path / "config.json").write_text('{"final_tanh": true, "mapping_lr_mul": 0.01}')
    assert _equal(_load(path)(recorded["w"]), recorded["image"].tanh())


def test_the_last_tangent_of_genforce_s_prog_gan(tmp_path):
    recorded, path = Recorded("prog_gan_genforce_plain"), tmp_path / "model.pth"
    torch.save({"generator_smooth": recorded.state}, path)
    with pytest.warns(UserWarning, match="assumed tanh = false"):
        assert _equal(load_generator(path)(recorded["latent"]), recorded["image"])
    assert _equal(_load(path, {"tanh": True})(recorded["latent"]), recorded["image"].tanh())


def test_layers_of_prog_gan_whose_kind_the_shapes_do_not_show(tmp_path):
    torch.manual_seed(0)
    state = {f"layer{i}.weight": torch.randn(4, 4, 4 if i == 0 else 3, 4 if i == 0 else 3) for i in range(4)}
    state |= {f"layer{i}.bias": torch.randn(4) for i in range(4)} | {"output1.bias": torch.zeros(3)}
    state |= {"output0.weight": torch.randn(3, 4, 1, 1), "output1.weight": torch.randn(3, 4, 1, 1)}
    torch.save(state, tmp_path / "model.pth")
    with pytest.warns(UserWarning, match="assumed fused = false, tanh = false"):
        plain = load_generator(tmp_path / "model.pth")
    fused = _load(tmp_path / "model.pth", {"fused": True, "tanh": False})
    turned = plain.convs[2].weight.transpose(0, 1).flip(2, 3)
    assert torch.equal(fused.convs[2].weight, turned)
    with pytest.raises(ValueError, match="transposed convolutions, got 'yes'"):
        load_generator(tmp_path / "model.pth", {"fused": "yes"})


def test_the_side_of_a_glow(tmp_path):
    torch.save(Recorded("glow_affine").state, tmp_path / "model.pt")
    with pytest.warns(UserWarning, match="assumed size = 64"):
        assert load_generator(tmp_path / "model.pt").image_shape == (3, 64, 64)
    assert _load(tmp_path / "model.pt", {"size": 8}).image_shape == (3, 8, 8)
    (tmp_path / "args.json").write_text('{"img_size": 16}')
    assert isinstance(generator := _load(tmp_path / "model.pt"), Glow)
    assert generator.image_shape == (3, 16, 16)
    for wrong in ("wide", -8, None):
        with pytest.raises(ValueError, match="size must be a whole number of at least 1"):
            load_generator(tmp_path / "model.pt", {"size": wrong})


def test_brock_s_training_options_beside_the_weights(tmp_path):
    recorded = Recorded("biggan_brock")
    torch.save(recorded.state, tmp_path / "G_ema_best0.pth")
    with pytest.warns(UserWarning, match=r'assumed eps = 1e-05, activation = "relu"'):
        assumed = load_generator(tmp_path / "G_ema_best0.pth")
    latent = torch.cat((recorded["latent"], assumed.embed(recorded["label"])), dim=1)
    assert _equal(assumed(latent), recorded["image"])
    torch.save({"itr": 1, "config": {"G_nl": "inplace_relu", "BN_eps": 1e-3}}, tmp_path / "state_dict_best0.pth")
    generator = _load(tmp_path / "G_ema_best0.pth")
    assert (generator.eps, generator.activation, generator.last_eps) == (1e-3, "relu", 1e-5)
    assert not _equal(generator(latent), recorded["image"])
    swish = _load(tmp_path / "G_ema_best0.pth", {"activation": "swish", "eps": 1e-5})
    assert (swish(latent) - assumed(latent)).abs().max() > 0.01


def _as_brock(generator):
    """A BigGAN-deep under Brock's names, without spectral norms."""
    z, ours = generator.z_dim, generator.state_dict()
    turn = lambda w: torch.cat((w[:, z:], w[:, :z]), dim=1)  # noqa: E731  # he puts the embedding before the noise
    state = {"shared.weight": ours["embed.weight"], "linear.bias": ours["first.bias"]}
    state |= {"linear.weight": turn(ours["first.weight"]), "output_layer.0.gain": ours["norm.weight"]}
    state |= {"output_layer.0.bias": ours["norm.bias"]}
    for theirs, mine in (("stored_mean", "means"), ("stored_var", "variances")):
        state[f"output_layer.0.{theirs}"] = ours[f"norm.{mine}"][0]
    state |= {f"output_layer.2.{p}": ours[f"to_image.{p}"] for p in ("weight", "bias")}
    for i in range(len(generator.plan)):
        for j in range(4):
            block, norm = f"blocks.{i}.0", f"blocks.{i}.norms.{j}"
            state |= {f"{block}.conv{j + 1}.{p}": ours[f"blocks.{i}.convs.{j}.{p}"] for p in ("weight", "bias")}
            state[f"{block}.bn{j + 1}.gain.weight"] = turn(ours[f"{norm}.gain.weight"])
            state[f"{block}.bn{j + 1}.bias.weight"] = turn(ours[f"{norm}.offset.weight"])
            state[f"{block}.bn{j + 1}.stored_mean"] = ours[f"{norm}.means"][0]
            state[f"{block}.bn{j + 1}.stored_var"] = ours[f"{norm}.variances"][0]
    return state


@pytest.mark.parametrize("depth", [1, 2])
def test_the_depth_of_a_deep_biggan_whose_channels_stay(tmp_path, depth):
    torch.manual_seed(0)
    plan = [(i % depth == depth - 1, 8, 8) for i in range(4)]
    original = BigGAN(plan, z_dim=3, embed_dim=2, classes=4, deep=True, conditioning="all").freeze()
    torch.save(_as_brock(original), tmp_path / "G_ema.pth")
    with pytest.warns(UserWarning, match=r"assumed depth = 2, eps"):
        guessed = load_generator(tmp_path / "G_ema.pth")
    assert guessed.image_shape == (3, 16, 16)
    known = {"depth": depth, "eps": 1e-5, "activation": "relu"}
    generator = _load(tmp_path / "G_ema.pth", known)
    latent = original.sample(2, torch.Generator().manual_seed(0), torch.tensor([0, 1]))
    assert torch.allclose(generator(latent), original(latent), atol=1e-6)
    torch.save({"config": {"G_depth": depth, "BN_eps": 1e-5, "G_nl": "relu"}}, tmp_path / "state_dict.pth")
    assert _load(tmp_path / "G_ema.pth").arguments() == generator.arguments()
    with pytest.raises(ValueError, match="depth must divide the 4 blocks of this BigGAN-deep, got 3"):
        load_generator(tmp_path / "G_ema.pth", {"depth": 3})


def test_settings_survive_conversion(nvidia, tmp_path):
    recorded, path = nvidia
    changes = {"clamp": 0.9, "activation": "swish", "mapping_activation": "relu", "tanh": True, "truncation": 0.5}
    with pytest.warns(UserWarning, match="assumed mapping_lr = 0.01. Give"):
        facts = convert(path, tmp_path / "own.safetensors", {**changes, "space": "z", "label": 2})
    assert facts["assumed"] == {"mapping_lr": 0.01}
    assert {name: facts["arguments"][name] for name in changes} == changes
    with pytest.warns(UserWarning, match="mapping_lr"):
        before = load_generator(path, {**changes, "space": "z", "label": 2})
    after = _load(tmp_path / "own.safetensors")
    assert torch.equal(before(recorded["z"]), after(recorded["z"]))
    again = _load(tmp_path / "own.safetensors", {"clamp": 0.5})
    assert again.clamp == 0.5
    assert again.note["assumed"] == {"mapping_lr": 0.01}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clamp": "much"}, "clamp must be a positive number, got 'much'"),
        ({"clamp": -1}, "clamp must be a positive number, got -1"),
        ({"mapping_lr": None}, "mapping_lr must be a positive number, got None"),
        ({"mapping_lr": float("nan")}, "mapping_lr must be a positive number, got nan"),
        ({"activation": "rellu"}, "unknown activation 'rellu'; did you mean 're?lu'"),
        ({"activation": 3}, "unknown activation '3'"),
        ({"kernel": "sharp"}, "must have 4 taps, got 'sharp'"),
        ({"kernel": ["a"] * 4}, "taps of the resampling filter must be numbers of a positive sum"),
        ({"tanh": 1}, "tanh is true or false, got 1"),
        ({"channels": 5}, "StyleGAN2 cannot be built with {'channels': 5}"),
        ({"clmp": 256}, "unknown StyleGAN2 argument 'clmp'; did you mean 'clamp'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*does not say all")
def test_settings_that_are_none(nvidia, changes, message):
    with pytest.raises(ValueError, match=message):
        load_generator(nvidia[1], changes)


def test_whole_files_give_no_warning(tmp_path):
    recorded = Recorded("biggan_hugging_face")
    (tmp_path / "config.json").write_text(json.dumps(recorded.meta["config"]))
    torch.save(recorded.state, tmp_path / "pytorch_model.bin")
    _load(tmp_path)
    torch.save(Recorded("prog_gan_features").state, tmp_path / "features.pth")
    assert isinstance(_load(tmp_path / "features.pth"), ProgGAN)
    _load("fashion-mnist")


def test_a_folder_that_cannot_be_read_says_nothing(tmp_path):
    settings = Settings(tmp_path / "gone" / "model.pt", {})
    assert settings.beside("lr_mlp") is UNKNOWN
    assert settings.part_beside("state_dict.pth", "config") == {}
    (tmp_path / "state_dict.pth").write_bytes(b"no weights")
    assert Settings(tmp_path / "model.pt", {}).part_beside("state_dict.pth", "config") == {}


def test_changes_to_a_generator_in_memory():
    generator = StyleGAN2.tiny().freeze()
    assert changed(generator, {}) is generator
    other = changed(generator, {"clamp": 0.1})
    latent = torch.randn(2, 12)
    assert other(latent).abs().max() < generator(latent).abs().max()
    assert other.name == generator.name


def test_a_run_is_resumed_on_the_same_settings(tmp_path):
    """Weights are equal, images are not: another clamp is another generator."""
    generator = changed(StyleGAN2.tiny(), {"label": 1}).freeze()
    Random(num_directions=2).fit(generator, Run(tmp_path / "run", progress=False))
    Random(num_directions=2).fit(generator, Run(tmp_path / "run", progress=False, resume=True))
    with pytest.raises(ValueError, match=r"source\.arguments\.clamp: null before, 0\.5 now"):
        Random(num_directions=2).fit(
            changed(generator, {"clamp": 0.5}), Run(tmp_path / "run", progress=False, resume=True)
        )


def test_latentclr_sees_the_statistics_of_its_truncation():
    torch.manual_seed(0)
    generator = BigGAN.tiny()
    generator.fix_label(1)
    directions = GlobalDirections.of(torch.eye(4)[:3], 1.0)
    method = LatentCLR(num_directions=3, batch_size=3, truncation=0.5).resolved()

    def loss() -> torch.Tensor:
        return method.step_loss(generator, directions, "blocks.1", torch.Generator().manual_seed(0))[0]

    before = loss()
    generator.blocks[0].norms[1].means[2] += 1  # the row for 1
    assert torch.equal(loss(), before)
    generator.blocks[0].norms[1].means[1] += 1  # the row for 0.5
    assert not torch.equal(loss(), before)
    assert generator.truncation == 1.0
