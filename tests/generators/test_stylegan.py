"""StyleGAN against numbers recorded from the original programs (tiny, randomly initialised), per layout."""

import pytest
import torch
import torch.nn.functional as F

from contrafact.generators import StyleGAN
from contrafact.generators.checkpoints import convert, describe, load_generator
from contrafact.generators.stylegan import channels_of
from tests.generators.kinds.stylegan import as_recorded
from tests.generators.kinds.stylegan import write as write_one
from tests.generators.recorded import TOLERANCE, Recorded

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")

CHANGES = {"genforce_plain": {}, "genforce_conditional": {"fused": True}, "higan": {}, "rosinality": {}}


@pytest.fixture(params=list(CHANGES))
def recorded(request):
    return Recorded(f"stylegan_{request.param}")


def load(recorded, folder, state=None, **changes):
    given = CHANGES[recorded.name.removeprefix("stylegan_")]
    return load_generator(write_one(recorded, folder, state), given | changes)


def without(recorded, key):
    return {name: tensor for name, tensor in recorded.state.items() if name != key}


# That images equal the originals' is tests/generators/test_kinds.py.


def test_w_and_gradients_to_it_equal_the_originals(recorded, tmp_path):
    generator = as_recorded(load(recorded, tmp_path), recorded)
    assert torch.allclose(
        generator.map(recorded["z"], recorded["label"] if generator.num_classes else None), recorded["w"], atol=1e-5
    )
    w = recorded["w"].clone().requires_grad_()
    (2 * generator(w) * recorded["loss_weight"]).sum().backward()
    assert torch.allclose(w.grad, recorded["gradient"], rtol=1e-3, atol=1e-4 * float(recorded["gradient"].abs().max()))


def test_the_recordings_differ_by_more_than_the_tolerance(recorded):
    for key in ("truncated", "mixed", "without_noise"):
        assert float((recorded[key] - recorded["image"]).abs().max()) > 100 * TOLERANCE


def test_conversion_keeps_everything(recorded, tmp_path):
    source, target = write_one(recorded, tmp_path), tmp_path / "converted.safetensors"
    given = CHANGES[recorded.name.removeprefix("stylegan_")]
    facts = convert(source, target, given)
    assert (facts["architecture"], facts["note"]["read_from"]) == ("StyleGAN", source.name)
    before, after = load_generator(source, given), load_generator(target)
    assert torch.equal(before(recorded["mixed_w"]), after(recorded["mixed_w"]))
    assert torch.equal(before.truncate(recorded["w"], 0.3), after.truncate(recorded["w"], 0.3))


def test_description(tmp_path):
    facts = describe(write_one(Recorded("stylegan_genforce_conditional"), tmp_path))
    assert (facts["num_layers"], facts["space"], facts["spaces"]) == (6, "w", ["z", "z+", "w", "w+"])
    assert (facts["image_shape"], facts["num_classes"], facts["prior_dim"]) == ([1, 16, 16], 3, 8)
    assert facts["assumed"] == {"fused": "auto", "mapping_lr": 0.01, "tanh": False}


def test_earlier_programs_of_genforce_leave_nothing_to_assume(tmp_path):
    facts = describe(load(Recorded("stylegan_higan"), tmp_path))
    assert facts["assumed"] == {}


def test_interfacegan_has_other_names_for_the_same(tmp_path):
    recorded = Recorded("stylegan_higan")
    renamed = {
        name.replace(".fc.", ".linear.").replace("layer0.const", "layer0.first_layer"): tensor
        for name, tensor in recorded.state.items()
    }
    assert renamed.keys() - recorded.state.keys()
    generator = load(recorded, tmp_path, renamed)
    assert torch.allclose(generator(recorded["w"]), (recorded["image"] + 1) / 2, atol=TOLERANCE)


def test_a_kernel_read_the_other_way_round_makes_another_image(tmp_path):
    recorded = Recorded("stylegan_genforce_conditional")
    images = load(recorded, tmp_path, fused=False)(recorded["w"])
    assert float((images - (recorded["image"] + 1) / 2).abs().max()) > 100 * TOLERANCE
    with pytest.raises(ValueError, match=r"fused says whether .* true, false, or auto, .* got 'never'"):
        load(recorded, tmp_path, fused="never")


def test_rosinality_s_file_is_as_large_as_it_was_trained(tmp_path):
    recorded = Recorded("stylegan_rosinality")  # of a file with a fourth side, 32 pixels, that was not
    assert any("progression.3." in name for name in recorded.state)
    assert load(recorded, tmp_path).image_shape == (3, 16, 16)
    small = load(recorded, tmp_path, size=8)
    for index, layer in enumerate(small.convs):
        layer.noise.copy_(recorded[f"noise{index // 2}"])
    assert torch.allclose(small(recorded["w"]), (recorded["image8"] + 1) / 2, atol=TOLERANCE)
    with pytest.raises(ValueError, match="holds layers for 8, 16, … 32 pixels, got size 64"):
        load(recorded, tmp_path, size=64)
    fresh = {n: torch.zeros_like(t) if "to_rgb" in n and "bias" in n else t for n, t in recorded.state.items()}
    assert load(recorded, tmp_path, fresh).note["assumed"] == {"size": 32}


def test_rosinality_s_noise_is_one_image_for_both_layers_of_a_side(tmp_path):
    generator = load(Recorded("stylegan_rosinality"), tmp_path)
    assert generator.note["noise"] == "drawn: the file holds none"
    images = [layer.noise for layer in generator.convs]
    assert all(torch.equal(*pair) for pair in zip(images[::2], images[1::2], strict=True))
    again = load(Recorded("stylegan_rosinality"), tmp_path)
    assert all(torch.equal(a.noise, b.noise) for a, b in zip(generator.convs, again.convs, strict=True))


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ("genforce_plain", "mapping.dense0.weight"),
        ("genforce_plain", "synthesis.layer0.const"),
        ("genforce_plain", "synthesis.layer3.style.bias"),
        ("genforce_plain", "synthesis.output2.weight"),
        ("rosinality", "style.3.linear.bias"),
        ("rosinality", "generator.progression.1.adain2.style.linear.weight_orig"),
        ("rosinality", "generator.progression.2.conv1.0.bias"),
        ("rosinality", "generator.to_rgb.2.conv.weight_orig"),
    ],
)
def test_missing_keys_are_named(layout, key, tmp_path):
    recorded = Recorded(f"stylegan_{layout}")
    with pytest.raises(ValueError, match=f"the StyleGAN checkpoint lacks '{key}'"):
        load(recorded, tmp_path, without(recorded, key))


def test_synthesis_without_mapping_is_told(tmp_path):
    state = Recorded("stylegan_rosinality").state
    parts = {"g_ema": {k.removeprefix("generator."): v for k, v in state.items() if k.startswith("generator.")}}
    torch.save(parts, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="the synthesis of a StyleGAN of rosinality's program, without its mapping"):
        load_generator(tmp_path / "model.pt")


@pytest.mark.parametrize("names", [["from_rgb.0.conv.weight_orig"], ["input0.weight", "layer0.weight"]])
def test_discriminators_are_told(names, tmp_path):
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="holds a discriminator of StyleGAN or ProgGAN, not a generator"):
        load_generator(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"synthesis.lod": torch.tensor(1.5)}, r"the StyleGAN is not fully grown: its level of detail is 1\.5"),
        ({"synthesis.layer0.weight": torch.zeros(8, 12, 4, 4)}, "begins with a layer on the latent"),
        ({"synthesis.layer1.apply_noise.noise": torch.zeros(1, 8, 1, 1)}, "a number per channel"),
        ({"truncation.w_avg": torch.zeros(72)}, "makes a W for each layer"),
        ({"synthesis.layer3.bias": torch.zeros(9)}, "the StyleGAN checkpoint's shapes do not fit together"),
    ],
)
def test_variants_that_are_not_read(changed, message, tmp_path):
    recorded = Recorded("stylegan_genforce_plain")
    with pytest.raises(ValueError, match=message):
        load(recorded, tmp_path, recorded.state | changed)


def plain(**changes):
    torch.manual_seed(0)
    arguments = {"size": 16, "latent_dim": 6, "channels": [5, 4, 3], "mapping_layers": 2}
    generator = StyleGAN(**{**arguments, **changes})
    with torch.no_grad():
        for layer in generator.convs:
            layer.noise_strength.normal_()
            layer.bias.normal_()
            layer.affine.bias.normal_()
    return generator.freeze()


@pytest.mark.parametrize("activation", ["lrelu", "relu"])
@pytest.mark.parametrize("blurred_bias", [False, True])
def test_an_upsampling_layer_is_what_the_paper_says_step_by_step(activation, blurred_bias):
    """Copied pixels, a convolution, the filter 1 2 1, noise, bias, activation, instance normalisation, a style."""
    generator = plain(activation=activation, blurred_bias=blurred_bias)
    layer, x, w = generator.convs[2], torch.randn(2, 5, 4, 4), torch.randn(2, 6)
    out = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight.flip(2, 3) * (2 / 45) ** 0.5, padding=1)
    bias = layer.bias[:, None, None]
    out = out + bias if blurred_bias else out
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    out = F.conv2d(out, torch.outer(taps, taps).expand(4, 1, 3, 3), padding=1, groups=4)
    out = out + layer.noise_strength[:, None, None] * layer.noise + (0 if blurred_bias else bias)
    out = torch.where(out > 0, out, (0.2 if activation == "lrelu" else 0.0) * out)
    for n in range(2):
        style = layer.affine.weight @ w[n] / 6**0.5 + layer.affine.bias
        for c in range(4):
            plane = out[n, c] - out[n, c].mean()
            plane = plane / (plane.square().mean() + 1e-8).sqrt() * (style[c] + 1) + style[4 + c]
            assert torch.allclose(layer(x, w, generator.kernel, layer.noise)[n, c], plane, atol=1e-5)


def test_a_channel_that_does_not_vary_becomes_its_style_s_shift():
    generator = plain()
    layer = generator.convs[0]
    out = layer(torch.full((1, 5, 4, 4), 3.7), torch.randn(2, 6), generator.kernel, None)
    assert torch.allclose(out, out[:, :, :1, :1].expand_as(out))


def test_random_noise_differs_per_image_and_follows_its_generator():
    generator, latent = plain(), torch.randn(1, 6).expand(2, -1)
    one = generator(latent, noise="random", rng=torch.Generator().manual_seed(0))
    assert torch.equal(one, generator(latent, noise="random", rng=torch.Generator().manual_seed(0)))
    assert not torch.allclose(one[0], one[1])
    with pytest.raises(ValueError, match=r"unknown noise 'fresh'; .*known: const, none, random"):
        generator(latent, noise="fresh")


def test_the_z_space_maps_inside():
    in_w, in_z = plain(prior_dim=4), plain(prior_dim=4, space="z")
    z = torch.randn(3, 4)
    assert torch.equal(in_z.map(z), z)
    assert torch.allclose(in_z(z), in_w(in_w.map(z)), atol=1e-5)
    half = in_z.truncated(0.5)
    assert torch.allclose(half(z), in_w(in_w.map(z, truncation=0.5)), atol=1e-5)


def test_channels_are_the_published_ones():
    assert channels_of(1024) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    with torch.device("meta"):
        largest = StyleGAN(1024)
    assert largest.channels == channels_of(1024)
    parameters = sum(p.numel() for p in largest.parameters())
    images = sum((c + 1) * 3 for c in channels_of(1024)[:-1])  # of the smaller images it has grown past
    assert parameters + images == 26_219_627  # as the original


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": None, "size": 48}, "8, 16, 32, … pixels, got size 48"),
        ({"channels": [4, 4]}, "channels must list a count for each side from 4 to 16"),
        ({"space": "w+"}, "unknown edit space 'w\\+'"),
        ({"kernel": [1.0, 1.0]}, r"must have 3 taps, got \[1\.0, 1\.0\]"),
        ({"kernel": [1.0, -2.0, 1.0]}, "numbers of a positive sum"),
        ({"epsilon": 0.0}, r"epsilon must be a positive number, got 0\.0"),
        ({"activation": "swish"}, "unknown activation 'swish'; .*known: lrelu, relu"),
        ({"mapping_activation": "linear"}, "unknown activation 'linear'"),
        ({"blurred_bias": 1}, "blurred_bias is true or false, got 1"),
        ({"classes": 3, "space": "z"}, "the Z space of a conditional StyleGAN needs its class fixed"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        plain(**changes)
