"""NVIDIA's TensorFlow pickles of ProgGAN, StyleGAN and StyleGAN2, read without TensorFlow.

That images equal the originals' is in test_kinds.py; what is recorded was made by the original programs, see each
recording's ``meta``.
"""

import collections

import numpy as np
import pytest
import torch

from contrafact.core.inert_records import Record
from contrafact.generators import ProgGAN, StyleGAN, StyleGAN2
from contrafact.generators._stored import TensorFlowNetwork, read_stored
from contrafact.generators.checkpoints import convert, load_generator
from tests.generators.kinds.tensorflow import CRITIC, WEIGHTS, networks, write
from tests.generators.recorded import Recorded, assert_equal_to_original
from tests.generators.writing import tensorflow_network, write_tensorflow

STYLES = [
    "stylegan_tensorflow",
    "stylegan_tensorflow_conditional",
    "stylegan2_tensorflow",
    "stylegan2_tensorflow_conditional",
    "stylegan2_tensorflow_ada",
]
PROG_GANS = ["prog_gan_tensorflow", "prog_gan_tensorflow_separate", "prog_gan_tensorflow_later"]


@pytest.mark.parametrize("name", STYLES)
def test_w_and_gradients_to_it_equal_the_originals(name, tmp_path, recwarn):
    recorded = Recorded(name)
    generator = load_generator(write(recorded, tmp_path))
    assert type(generator) is (StyleGAN2 if "stylegan2" in name else StyleGAN)
    assert not recwarn.list, "such a file says all about its network"
    label = recorded["label"] if generator.num_classes else None
    assert torch.allclose(generator.map(recorded["z"], label), recorded["w"], atol=1e-5)
    w = recorded["w"].clone().requires_grad_()
    (2 * generator(w) * recorded["loss_weight"]).sum().backward()
    gradient = recorded["gradient"]
    assert torch.allclose(w.grad, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


@pytest.mark.parametrize("name", PROG_GANS)
def test_prog_gan_and_its_gradients_equal_the_originals(name, tmp_path):
    generator = load_generator(write(Recorded(name), tmp_path))
    assert type(generator) is ProgGAN
    assert_equal_to_original(generator, Recorded(name))


@pytest.mark.parametrize("name", ["stylegan_tensorflow", "prog_gan_tensorflow"])
def test_conversion_keeps_everything(name, tmp_path):
    source, target = write(Recorded(name), tmp_path), tmp_path / "converted.safetensors"
    assert convert(source, target)["assumed"] == {}
    latent = load_generator(source).sample(2, seed=0)
    assert torch.equal(load_generator(source)(latent), load_generator(target)(latent))


def test_the_average_is_taken_wherever_it_lies(tmp_path):
    recorded = Recorded("stylegan_tensorflow")
    first, critic, averaged = networks(recorded)
    expected = load_generator(write_tensorflow(tmp_path / "a.pkl", (first, critic, averaged)))(recorded["w"])
    for content in (averaged, [averaged, first, critic], {"Gs": averaged, "G": first, "D": critic}):
        assert torch.equal(load_generator(write_tensorflow(tmp_path / "b.pkl", content))(recorded["w"]), expected)
    alone = load_generator(write_tensorflow(tmp_path / "c.pkl", (first, critic)))
    assert not torch.allclose(alone(recorded["w"]), expected)


def test_program_text_is_not_run_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(Recorded("stylegan_tensorflow"), tmp_path)
    assert b"os.system('touch PWNED')" in path.read_bytes()
    load_generator(path)
    held = read_stored(path)
    assert [type(network) for network in held] == [TensorFlowNetwork] * 3
    assert (held[2].name, held[2].function, held[2].program) == ("Gs", "G_style", "dnnlib.tflib.network.Network")
    assert not any("PWNED" in str(value) for value in vars(held[2]).values())
    assert [file.name for file in tmp_path.iterdir()] == ["network.pkl"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("stylegan_tensorflow", "mapping/Dense1/bias"),
        ("stylegan_tensorflow", "synthesis/4x4/Const/const"),
        ("stylegan_tensorflow", "synthesis/16x16/Conv0_up/Noise/weight"),
        ("stylegan_tensorflow", "synthesis/ToRGB_lod0/bias"),
        ("stylegan2_tensorflow", "synthesis/8x8/Conv1/mod_bias"),
        ("stylegan2_tensorflow", "synthesis/16x16/ToRGB/weight"),
        ("stylegan2_tensorflow_ada", "mapping/LabelEmbed/bias"),
        ("prog_gan_tensorflow", "4x4/Dense/bias"),
        ("prog_gan_tensorflow", "8x8/Conv0_up/bias"),
        ("prog_gan_tensorflow_separate", "16x16/Conv0/weight"),
        ("prog_gan_tensorflow", "ToRGB_lod0/weight"),
        ("stylegan2_tensorflow_ada", "synthesis/16x16/Conv1/noise_strength"),
    ],
)
def test_missing_variables_are_named(name, key, tmp_path):
    recorded = Recorded(name)
    path = write(recorded, tmp_path, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match=f"checkpoint lacks '{key}'"):
        load_generator(path)


def test_what_can_be_made_is_made(tmp_path):
    recorded = Recorded("stylegan_tensorflow")
    left = {k: v for k, v in recorded.state.items() if k != "dlatent_avg" and "/noise" not in k}
    note = load_generator(write(recorded, tmp_path, left)).note
    assert {"w_avg", "noise"} <= note.keys()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("stylegan_tensorflow", {"use_wscale": False}, "built with use_wscale = False; only True is supported"),
        ("stylegan_tensorflow", {"use_pixel_norm": [1]}, r"built with use_pixel_norm = \[1\]; only False"),
        ("stylegan_tensorflow", {"fused_scale": "never"}, "fused says whether .* got 'never'"),
        ("stylegan_tensorflow", {"nonlinearity": "swish"}, "unknown activation 'swish'"),
        ("stylegan_tensorflow", {"blur_filter": [1, 3, 3, 1]}, "must have 3 taps"),
        ("stylegan_tensorflow", {"mapping_lrmul": "x"}, "mapping_lr must be a positive number"),
        ("stylegan2_tensorflow", {"resample_kernel": None}, "must have 4 taps, got None"),
        ("stylegan2_tensorflow", {"normalize_latents": False}, "built with normalize_latents = False"),
        ("prog_gan_tensorflow", {"label_size": 3}, "the ProgGAN was built with label_size = 3; only 0 is supported"),
        ("prog_gan_tensorflow", {"use_leakyrelu": False}, "built with use_leakyrelu = False"),
    ],
)  # fmt: skip
def test_options_that_are_not_supported(name, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_generator(write(Recorded(name), tmp_path, **arguments))


def test_no_filter_is_one_that_does_nothing(tmp_path):
    assert load_generator(write(Recorded("stylegan_tensorflow"), tmp_path, blur_filter=None)).taps == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (
            "stylegan_tensorflow",
            {"lod": torch.tensor(2.0)},
            r"StyleGAN is not fully grown: its level of detail is 2\.0",
        ),
        ("prog_gan_tensorflow", {"lod": torch.tensor(0.5)}, r"ProgGAN is not fully grown: its level of detail is 0\.5"),
        (
            "stylegan_tensorflow",
            {"synthesis/8x8/Conv1/weight": torch.zeros(3)},
            r"must be of 4 sides, got shape \(3,\)",
        ),
        ("stylegan_tensorflow", {"synthesis/8x8/Conv1/bias": torch.zeros(3)}, "shapes do not fit together"),
        ("prog_gan_tensorflow", {"8x8/Conv1/bias": torch.zeros(3)}, "shapes do not fit together"),
    ],
)
def test_networks_that_are_not_whole(name, changed, message, tmp_path):
    recorded = Recorded(name)
    with pytest.raises(ValueError, match=message):
        load_generator(write(recorded, tmp_path, recorded.state | changed))


def test_configurations_before_e_are_refused(tmp_path):
    recorded = Recorded("stylegan2_tensorflow")
    skeleton, state = recorded.meta["network"], recorded.state
    older = {k.replace("16x16/ToRGB", "ToRGB_lod0"): v for k, v in state.items() if "ToRGB" not in k or "16x16" in k}
    skeleton["components"]["synthesis"]["names"] = [k.removeprefix("synthesis/") for k in older]
    path = write_tensorflow(tmp_path / "network.pkl", tensorflow_network(skeleton, older))
    with pytest.raises(ValueError, match=r"not of the skip architecture \(configurations E and F\)"):
        load_generator(path)


def test_a_network_of_another_architecture_is_described(tmp_path):
    skeleton = {**CRITIC, "name": "mine", "build_func_name": "G_mine", "names": ["ToRGB/weight"]}
    network = tensorflow_network(skeleton, {"ToRGB/weight": torch.zeros(2, 3)})
    path = write_tensorflow(tmp_path / "network.pkl", (network,))
    with pytest.raises(ValueError, match=r"a TensorFlow network mine \(G_mine\) of 1 variables: ToRGB/weight \[2, 3\]"):
        load_generator(path)


def test_arguments_in_a_class_of_the_program_s_own(tmp_path):
    """Networks were built with an EasyDict, a dict with another name, which some files still hold."""
    network = networks(Recorded("stylegan_tensorflow"))[2]
    easy = type("EasyDict", (dict,), {"__module__": __name__})
    globals()["EasyDict"] = easy
    network.state["components"] = easy(network.state["components"])
    network.state["static_kwargs"] = easy({**network.state["static_kwargs"], "use_noise": False})
    path = write_tensorflow(tmp_path / "network.pkl", network)
    del globals()["EasyDict"]
    assert read_stored(path).arguments["mapping_layers"] == 3
    with pytest.raises(ValueError, match="built with use_noise = False"):
        load_generator(path)


# -- files that want more than to be read ------------------------------------------------------------------------------


def test_an_array_that_is_named_often_is_not_copied_as_often(tmp_path):
    one = np.zeros((1024, 1024), np.float64)
    network = tensorflow_network(CRITIC, WEIGHTS)
    network.state["variables"] = [(f"mapping/Dense{i}/weight", one) for i in range(1000)]
    path = write_tensorflow(tmp_path / "network.pkl", network)
    with pytest.raises(ValueError, match="its networks would unfold to many times its size"):
        read_stored(path)


def test_parts_of_parts_do_not_unfold(tmp_path):
    network = tensorflow_network(CRITIC, WEIGHTS)
    for _ in range(60):  # each twice a part of the next: 2**60 names, of 2,000 letters a level
        outer = tensorflow_network(CRITIC, WEIGHTS)
        outer.state["components"] = {letter * 2000: network for letter in "ab"}
        network = outer
    path = write_tensorflow(tmp_path / "network.pkl", network)
    with pytest.raises(ValueError, match="its networks would unfold to many times its size"):
        read_stored(path)


@pytest.mark.parametrize(
    "variables",
    [
        None,
        {},
        [("a",), ("b", "text"), ("c", object), (1, np.zeros(2)), [], 7],
        [("a", np.zeros(2, ">f4")), ("b", np.zeros(2, "c8")), ("c", np.array(["x"])), ("d", [1.0, 2.0])],
    ],
)
def test_variables_that_are_none_are_passed_by(variables, tmp_path):
    network = tensorflow_network(CRITIC, WEIGHTS)
    network.state["variables"] = variables
    held = read_stored(write_tensorflow(tmp_path / "network.pkl", network))
    assert isinstance(held, Record) or not held.variables


def test_a_network_that_is_a_part_of_itself(tmp_path):
    network = tensorflow_network(CRITIC, WEIGHTS)
    network.state["components"] = {"a": network}
    held = read_stored(write_tensorflow(tmp_path / "network.pkl", (network,)))
    assert list(held[0].variables) == CRITIC["names"]


def test_layers_without_end_are_no_layers(tmp_path):
    skeleton = {**CRITIC, "names": ["mapping/Dense0/weight", "ToRGB", "synthesis/4x4/StyleMod/weight"]}
    skeleton["names"] += [f"synthesis/{4 << i}x{4 << i}/Const" for i in range(300)]
    state = collections.defaultdict(lambda: torch.zeros(1, 1), {name: torch.zeros(1, 1) for name in skeleton["names"]})
    path = write_tensorflow(tmp_path / "network.pkl", tensorflow_network(skeleton, state))
    with pytest.raises(ValueError, match="lacks 'mapping/Dense0/bias'"):
        load_generator(path)
