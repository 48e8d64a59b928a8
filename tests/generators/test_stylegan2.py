"""StyleGAN2 against numbers recorded from the original programs (tiny, randomly initialised), per layout."""

import pytest
import torch

from contrafact.core.artefact import load_artefact
from contrafact.core.generator import Generator
from contrafact.generators import StyleGAN2
from contrafact.generators.checkpoints import convert, describe, load_generator
from contrafact.generators.stylegan2 import channels_of
from tests.generators.kinds.stylegan2 import write as write_one
from tests.generators.recorded import TOLERANCE, Recorded
from tests.generators.writing import nvidia_network, write_nvidia

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")

LAYOUTS = [
    "rosinality",
    "nvidia_plain",
    "nvidia_conditional",
    "genforce_plain",
    "genforce_conditional",
]


class Stored(Recorded):
    def __init__(self, layout: str) -> None:
        super().__init__(f"stylegan2_{layout}")
        self.layout = layout

    def image(self, key: str) -> torch.Tensor:
        return (self[key] + 1) / 2

    def label(self, generator: StyleGAN2) -> torch.Tensor | None:
        return self["label"] if generator.num_classes else None


@pytest.fixture
def write(tmp_path):
    """Writes a recorded checkpoint in its own layout."""
    return lambda recorded, state=None: write_one(recorded, tmp_path, state)


@pytest.fixture(params=LAYOUTS)
def recorded(request):
    return Stored(request.param)


def test_outputs_equal_the_originals(recorded, write):
    generator = load_generator(write(recorded))
    assert isinstance(generator, StyleGAN2)
    label = recorded.label(generator)
    w = generator.map(recorded["z"], label)
    assert torch.allclose(w, recorded["w"], atol=1e-5)

    def close(images, key):
        return float((images - recorded.image(key)).abs().max()) <= TOLERANCE

    assert close(generator(recorded["w"]), "image")
    assert close(generator(generator.map(recorded["z"], label, 0.6)), "truncated")
    assert close(generator(recorded["mixed_w"]), "mixed")
    assert close(generator(recorded["w"], noise="none"), "without_noise")
    # The recordings differ from each other by far more than the tolerance, so each of these was needed.
    assert not close(generator(recorded["w"]), "truncated")
    assert not close(generator(recorded["w"]), "mixed")
    assert not close(generator(recorded["w"]), "without_noise")


def test_gradients_to_the_latent_equal_the_originals(recorded, write):
    generator = load_generator(write(recorded))
    w = recorded["w"].clone().requires_grad_()
    (2 * generator(w) * recorded["loss_weight"]).sum().backward()
    assert torch.allclose(w.grad, recorded["gradient"], rtol=1e-3, atol=1e-4 * float(recorded["gradient"].abs().max()))


def test_style_mixing_is_the_recorded_one(recorded, write):
    generator = load_generator(write(recorded))
    mixed = generator.mix(recorded["w"], recorded["w"].roll(1, 0), 3)
    assert torch.equal(mixed, recorded["mixed_w"])


def test_conversion_keeps_everything(recorded, write, tmp_path):
    source, target = write(recorded), tmp_path / "converted.safetensors"
    facts = convert(source, target)
    assert facts["architecture"] == "StyleGAN2"
    assert facts["note"]["read_from"] == source.name
    assert len(facts["note"]["sha256"]) == 64
    before, after = load_generator(source), load_generator(target)
    assert torch.equal(before(recorded["w"]), after(recorded["w"]))
    label = recorded.label(before)
    assert torch.equal(before.map(recorded["z"], label, 0.3), after.map(recorded["z"], label, 0.3))


def test_bare_state_dicts_are_read(write, tmp_path):
    recorded = Stored("rosinality")
    for prefix in ("", "module."):
        path = tmp_path / "bare.pt"
        torch.save({prefix + k: v for k, v in recorded.state.items()}, path)
        generator = load_generator(path)
        assert torch.allclose(generator(recorded["w"]), recorded.image("image"), atol=TOLERANCE)
        # The mean of W is not in such a file; it is estimated.
        deviation = (generator.w_avg - recorded["latent_avg"]).norm() / recorded["latent_avg"].norm()
        assert deviation < 0.2


def test_noise_images_that_a_fork_leaves_out_are_drawn_once(write):
    recorded = Stored("rosinality")
    path = write(recorded, {k: v for k, v in recorded.state.items() if not k.startswith("noises.")})
    one, two = load_generator(path), load_generator(path)
    assert torch.equal(one(recorded["w"]), two(recorded["w"]))
    assert torch.allclose(one(recorded["w"], noise="none"), recorded.image("without_noise"), atol=TOLERANCE)


def test_description(recorded, write):
    facts = describe(write(recorded))
    assert facts["num_layers"] == 6
    assert facts["space"] == "w"
    assert facts["spaces"] == ["z", "z+", "w", "w+"]
    assert facts["image_shape"] == [
        3 if "conditional" not in recorded.layout or "gen" in recorded.layout else 1,
        16,
        16,
    ]
    assert facts["num_classes"] == (3 if "conditional" in recorded.layout else 0)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rosinality", "convs.1.conv.modulation.bias"),
        ("nvidia_plain", "synthesis.b8.conv0.affine.weight"),
        ("genforce_plain", "synthesis.layer3.style.bias"),
        ("genforce_plain", "synthesis.output1.weight"),
    ],
)
def test_missing_keys_are_named(write, name, key):
    recorded = Stored(name)
    path = write(recorded, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match="lacks"):
        load_generator(path)


@pytest.mark.parametrize("key", ["convs.1.conv.weight", "noises.noise_2", "to_rgbs.0.bias", "style.2.weight"])
def test_shapes_of_another_size_are_refused(write, key):
    recorded = Stored("rosinality")
    wrong = torch.zeros([n + 1 for n in recorded.state[key].shape])
    with pytest.raises(ValueError, match="the StyleGAN2 checkpoint's shapes do not fit together"):
        load_generator(write(recorded, {**recorded.state, key: wrong}))


def _save(tmp_path, content):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"d": {"final_linear.1.weight": torch.zeros(1)}, "d_optim": {}}, "holds d, d_optim but no generator"),
        ({"final_linear.1.weight": torch.zeros(1)}, "holds a StyleGAN2 discriminator"),
        (
            {"generator": {"mapping.dense0.weight": torch.zeros(1)}},
            "mapping network but no synthesis of StyleGAN or StyleGAN2",
        ),
        ({"g_ema": {"other": torch.zeros(1)}}, "holds no generator of an architecture known here"),
    ],
)
def test_other_contents(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_generator(_save(tmp_path, content))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"synthesis.L0_36_512.weight": torch.zeros(1)}, "the StyleGAN3 checkpoint lacks layers: it has L0_36_512"),
        ({"b4.out.weight": torch.zeros(1)}, "holds a StyleGAN2 discriminator"),
        (
            {"synthesis.b4.const": torch.zeros(1), "synthesis.b8.skip.weight": torch.zeros(1)},
            "not of the skip architecture",
        ),
    ],
)
def test_other_nvidia_networks(tmp_path, state, message):
    path = write_nvidia(tmp_path / "network.pkl", {"G_ema": nvidia_network(state)})
    with pytest.raises(ValueError, match=message):
        load_generator(path)


def _plain(**changes):
    torch.manual_seed(0)
    arguments = {"size": 16, "latent_dim": 6, "channels": [5, 4, 3], "mapping_layers": 2}
    generator = StyleGAN2(**{**arguments, **changes})
    with torch.no_grad():
        for conv in generator.convs:
            conv.noise_strength.fill_(0.3)
    return generator.freeze()


def test_modulated_convolution_equals_modulating_the_weights():
    """Karras et al., equations 1 and 3, one sample and one output pixel's kernel at a time."""
    generator = _plain()
    conv = generator.convs[0]
    x, w = torch.randn(3, 5, 4, 4), torch.randn(3, 6)
    for n in range(3):
        styles = conv.affine(w[n : n + 1])[0]
        weight = conv.weight / (5 * 9) ** 0.5 * styles[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        out = torch.nn.functional.conv2d(x[n : n + 1], weight, padding=1) + 0.3 * conv.noise + conv.bias[:, None, None]
        expected = torch.where(out > 0, out, 0.2 * out) * 2**0.5
        assert torch.allclose(conv(x, w, generator.kernel, conv.noise)[n : n + 1], expected, atol=1e-5)


def test_random_noise_differs_per_image_and_follows_its_generator():
    generator = _plain()
    latent = torch.randn(1, 6).expand(2, -1)
    one = generator(latent, noise="random", rng=torch.Generator().manual_seed(0))
    two = generator(latent, noise="random", rng=torch.Generator().manual_seed(0))
    assert torch.equal(one, two)
    assert not torch.allclose(one[0], one[1])
    with pytest.raises(ValueError, match=r"unknown noise 'fresh'; .*known: const, none, random"):
        generator(latent, noise="fresh")


def test_the_z_space_maps_inside():
    in_w, in_z = _plain(prior_dim=4), _plain(prior_dim=4, space="z")
    z = torch.randn(3, 4)
    assert (in_z.latent_dim, in_z.space) == (4, "z")
    assert torch.equal(in_z.map(z), z)
    assert torch.allclose(in_z(z), in_w(in_w.map(z)), atol=1e-6)
    layered = torch.randn(2, 6, 4)
    expected = in_w(torch.stack([in_w.map(layered[:, i]) for i in range(6)], dim=1))
    assert torch.allclose(in_z(layered), expected, atol=1e-5)


def test_truncation_may_act_on_a_range_of_layers():
    generator = _plain()
    generator.w_avg.copy_(torch.randn(6))
    w = torch.randn(2, 6)
    layered = generator.truncate(w, 0.5, (1, 3))
    half = generator.w_avg + 0.5 * (w - generator.w_avg)
    for layer in range(6):
        assert torch.allclose(layered[:, layer], half if layer in (1, 2) else w)
    assert torch.equal(generator.truncate(w, 1.0), w)


@pytest.mark.parametrize("layers", [(-1, 3), (2, 7), (4, 2)])
def test_layers_that_are_not_there_are_not_truncated(layers):
    with pytest.raises(ValueError, match=r"layers must be \(first, last\) within 0 to 6, got"):
        _plain().truncate(torch.randn(2, 6), 0.5, layers)


@pytest.mark.parametrize("truncation", [-0.1, 1.5, float("nan")])
def test_truncation_outside_its_range(truncation):
    with pytest.raises(ValueError, match=r"truncation must lie in \[0, 1\], got"):
        _plain().truncate(torch.randn(2, 6), truncation)


def test_conditional_generators_can_be_fixed_to_a_class():
    generator = _plain(classes=3)
    z = torch.randn(2, 6)
    expected = generator.map(z, torch.tensor([2, 2]))
    assert not torch.allclose(expected, generator.map(z, torch.tensor([1, 1])))
    generator.fix_label(2)
    assert torch.equal(generator.map(z), expected)
    assert generator.num_classes == 0
    again = StyleGAN2(**generator.arguments())
    assert (again.label, again.num_classes, again.classes) == (2, 0, 3)
    with pytest.raises(ValueError, match="unconditional"):
        generator.map(z, torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="needs class labels from 0 to 2"):
        _plain(classes=3).to_w(z)


def test_settings_have_the_published_channels():
    assert channels_of("config-f", 1024) == [512, 512, 512, 512, 512, 256, 128, 64, 32]
    assert channels_of("config-e", 256) == [512, 512, 512, 512, 256, 128, 64]
    assert channels_of("small", 64) == [256] * 5
    parameters = sum(p.numel() for p in StyleGAN2(256).to("meta").parameters())
    assert parameters == 30_034_338  # as the original at config-f, 256 pixels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": "config-g"}, "unknown StyleGAN2 setting 'config-g'; did you mean 'config-"),
        ({"channels": "small", "size": 48}, "8, 16, 32, … pixels, got size 48"),
        ({"channels": [4, 4]}, "channels must list a count for each side from 4 to 16"),
        ({"space": "w+"}, "unknown edit space 'w\\+'"),
        ({"conditioning": "none"}, "unknown conditioning"),
        ({"kernel": [1.0, 2.0, 1.0]}, r"must have 4 taps, got \[1\.0, 2\.0, 1\.0\]"),
        ({"classes": 3, "space": "z"}, "needs its class fixed: give a label"),
        ({"classes": 3, "label": 3}, "label must be a class from 0 to 2, got 3"),
        ({"label": 0}, "has no classes to choose from"),
        ({"mapping_layers": 0}, "mapping_layers"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        _plain(**changes)


def test_mixing_outside_the_layers():
    generator = _plain()
    with pytest.raises(ValueError, match=r"layer must lie in \[0, 6\], got 7"):
        generator.mix(torch.zeros(1, 6), torch.zeros(1, 6), 7)


def test_training_reaches_every_weight():
    generator = _plain().train().requires_grad_(True)
    generator(generator.map(torch.randn(4, 6)), noise="random").square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()


def test_files_written_in_half_precision_load(tmp_path):
    from contrafact.core.artefact import save_artefact

    generator, path = _plain(), tmp_path / "half.safetensors"
    save_artefact(generator, path, dtype=torch.float16)
    latent = torch.randn(2, 6)
    assert torch.allclose(load_artefact(path, Generator)(latent), generator(latent), atol=2e-2)


def test_the_first_layer_of_many_samples_is_that_of_each():
    """Samples share the first layer's input, so they are computed as one product; one alone is convolved."""
    torch.manual_seed(0)
    generator = StyleGAN2(16, latent_dim=8, channels=[12, 8, 8], mapping_layers=2)
    latent, weights = torch.randn(5, 8), torch.randn(5, 12, 4, 4)
    gradients = []
    for parts in (latent[None], latent[:, None]):
        start = [part.clone().requires_grad_(True) for part in parts]
        features = torch.cat([generator.features(part, "b4.conv1") for part in start])
        gradients.append((features, *torch.autograd.grad((features * weights).sum(), [*start, generator.const])))
    (together, latent_gradient, const_gradient), (apart, *rows, const_apart) = gradients
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(latent_gradient, torch.cat(rows), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(const_gradient, const_apart, atol=1e-4, rtol=1e-4)


_BY_HAND = {  # function and gain, as NVIDIA's bias_act lists them
    "lrelu": (lambda x: torch.where(x > 0, x, 0.2 * x), 2**0.5),
    "relu": (lambda x: torch.where(x > 0, x, 0 * x), 2**0.5),
    "linear": (lambda x: x, 1),
    "tanh": (lambda x: 2 / (1 + torch.exp(-2 * x)) - 1, 1),
    "sigmoid": (lambda x: 1 / (1 + torch.exp(-x)), 1),
    "elu": (lambda x: torch.where(x > 0, x, torch.exp(x) - 1), 1),
    "selu": (lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (torch.exp(x) - 1)), 1),
    "softplus": (lambda x: torch.log(1 + torch.exp(x)), 1),
    "swish": (lambda x: x / (1 + torch.exp(-x)), 2**0.5),
}


@pytest.mark.parametrize("name", _BY_HAND)
def test_activations_follow_bias_and_noise_then_the_gain_then_the_clamp(name):
    function, gain = _BY_HAND[name]
    generator = _plain(activation=name, mapping_activation=name, clamp=0.5)
    conv, x, w = generator.convs[1], torch.randn(2, 5, 4, 4), torch.randn(2, 6)
    assert conv.up
    for n in range(2):
        weight = conv.weight / (5 * 9) ** 0.5 * conv.affine(w[n : n + 1])[0][None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        grown = torch.nn.functional.conv_transpose2d(x[n : n + 1], weight.transpose(0, 1), stride=2)
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        blur = (4 * torch.outer(taps, taps)).expand(4, 1, 4, 4)
        grown = torch.nn.functional.conv2d(grown, blur, padding=1, groups=4)
        expected = gain * function(grown + 0.3 * conv.noise + conv.bias[:, None, None])
        made = conv(x, w, generator.kernel, conv.noise)[n : n + 1]
        assert torch.allclose(made, expected.clamp(-0.5, 0.5), atol=1e-5)
    z = torch.randn(3, 6)
    expected = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping:
        pre = expected @ (layer.weight * 0.01 / 6**0.5).T + 0.01 * layer.bias
        expected = gain * function(pre)
    assert torch.allclose(generator.to_w(z), expected, atol=1e-5)
    assert torch.isfinite(generator(generator.to_w(z))).all()


def test_the_last_tangent_bounds_images():
    latent = 5 * torch.randn(2, 6)
    free, bounded = _plain()(latent), _plain(tanh=True)(latent)
    assert torch.allclose(2 * bounded - 1, torch.tanh(2 * free - 1), atol=1e-6)


def test_a_preview_is_the_image_of_the_first_layers_alone():
    generator = StyleGAN2.tiny()
    latent = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    small = StyleGAN2(8, latent_dim=12, prior_dim=8, channels=[8, 6], mapping_layers=2, classes=3)
    weights = generator.state_dict()
    small.load_state_dict({name: weights[name] for name in small.state_dict()})
    assert torch.equal(generator.preview(latent, 8), small(latent))
    assert generator.preview(latent, 3).shape[-1] == 4
    assert generator.preview(latent, 9) is None, "no smaller image has as many pixels"
