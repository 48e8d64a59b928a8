"""The perceptual loss against loops over layers, places and channels, on small drawn weights."""

import math

import pytest
import torch
from safetensors.torch import save_file

import contrafact as cf
from contrafact.losses.reconstruction import perceptual_distance
from contrafact.nn.vgg import vgg16
from tests.conftest import quiet

# torchvision's vgg16().features: convolutions by channels, a ReLU behind each, and poolings, M.
LAYERS = (4, 4, "M", 5, 5, "M", 6, 6, 6, "M", 7, 7, 7, "M", 8, 8, 8, "M")


def draw(seed=0):
    """Weights under torchvision's names, a narrow network's, and a classifier's that nobody reads."""
    rng, tensors, place, before = torch.Generator().manual_seed(seed), {}, 0, 3
    for layer in LAYERS:
        if layer == "M":
            place += 1
            continue
        tensors[f"features.{place}.weight"] = torch.randn(layer, before, 3, 3, generator=rng) / (3 * before**0.5)
        tensors[f"features.{place}.bias"] = 0.1 * torch.randn(layer, generator=rng)
        place, before = place + 2, layer
    return tensors | {"classifier.0.weight": torch.zeros(2, 2)}


def images(seed, channels=3, side=32, count=2):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def features_by_hand(weights, image):
    """Feature maps of one image ``(3, H, W)`` after layers 2, 7, 12, 21 (their ReLUs included) and 30, by loops."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, place, found = ((image - mean[:, None, None]) / deviation[:, None, None]).double(), 0, {}
    for layer in LAYERS:
        if layer == "M":
            x = torch.stack(
                [
                    x[:, r : r + 2, c : c + 2].amax(dim=(1, 2))
                    for r in range(0, x.shape[1], 2)
                    for c in range(0, x.shape[2], 2)
                ],
                dim=1,
            ).view(x.shape[0], x.shape[1] // 2, x.shape[2] // 2)
            found[place] = x
            place += 1
            continue
        weight, bias = (weights[f"features.{place}.{part}"].double() for part in ("weight", "bias"))
        padded = torch.zeros(x.shape[0], x.shape[1] + 2, x.shape[2] + 2, dtype=torch.double)
        padded[:, 1:-1, 1:-1] = x
        y = bias[:, None, None].expand(-1, x.shape[1], x.shape[2]).clone()
        for i in range(3):
            for j in range(3):
                y += torch.einsum("oc,chw->ohw", weight[:, :, i, j], padded[:, i : i + x.shape[1], j : j + x.shape[2]])
        x = y.clamp_min(0)
        found[place] = x
        place += 2
    return [found[place] for place in (2, 7, 12, 21, 30)]


@pytest.fixture
def file(tmp_path):
    save_file(draw(), tmp_path / "vgg16.safetensors")
    return tmp_path / "vgg16.safetensors"


def test_the_distance_is_the_mean_difference_of_pixels_and_of_each_layers_features(file):
    weights, made, target = draw(), images(1), images(2)
    expected = []
    for one, other in zip(made, target, strict=True):
        total = float((one - other).abs().mean())
        for a, b in zip(features_by_hand(weights, one), features_by_hand(weights, other), strict=True):
            total += float((a - b).abs().mean())
        expected.append(total)
    found = float(perceptual_distance(made, target, vgg16(file)))
    assert found == pytest.approx(math.fsum(expected) / 2, rel=1e-4)


def test_gradients_reach_the_images_made_and_neither_network_nor_target(file):
    network, made, target = vgg16(file), images(1).requires_grad_(), images(2).requires_grad_()
    perceptual_distance(made, target.detach(), network).backward()
    assert made.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


def test_grey_images_are_taken_as_colour(file):
    grey, other = images(3, channels=1), images(4, channels=1)
    as_colour = perceptual_distance(grey.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1), vgg16(file))
    torch.testing.assert_close(perceptual_distance(grey, other, vgg16(file)), as_colour)


def test_torchs_own_files_are_read_too(tmp_path, file):
    torch.save(draw(), tmp_path / "vgg16.pth")
    for a, b in zip(vgg16(tmp_path / "vgg16.pth")(images(1)), vgg16(file)(images(1)), strict=True):
        torch.testing.assert_close(a, b)


def without_one(tensors):
    del tensors["features.14.bias"]


def ill_fitting(tensors):
    tensors["features.5.weight"] = torch.zeros(5, 3, 3, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_one, r"does not hold VGG-16's weights \(.*features.14.bias"),
        (ill_fitting, "does not hold VGG-16's weights .*such as that of convolution 2.weight"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, spoil, message):
    tensors = draw()
    spoil(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=message):
        vgg16(tmp_path / "other.safetensors")


SMALL = {"width": 0.1, "steps": 2, "batch_size": 4, "num_images": 16}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("contralord", {"encoder_steps": 2, "encoder_batch_size": 4}),
        ("zerodim", {"amortization_steps": 1, "tuning_steps": 1}),
        ("lord", {"encoder_steps": 2}),
        ("overlord", {"encoder_steps": 1, "synthesis_steps": 1}),
    ],
)
def test_methods_train_by_it(tmp_path, file, name, settings):
    data = cf.load_dataset("shapes3d", size=32, labels=12)
    cls = cf.methods.CATALOG.get(name)
    method = cls.preset("quick", reconstruction="vgg", vgg_weights=str(file), **SMALL, **settings)
    found = method.fit(data, quiet(tmp_path / "run"))
    assert found.generator(found.generator.sample(2, seed=0)).shape == (2, 3, 32, 32)


def test_a_loss_without_its_weights_and_images_too_small_for_it_are_refused(tmp_path, file):
    data = cf.load_dataset("shapes3d", size=32, labels=12)
    with pytest.raises(ValueError, match="reconstruction 'vgg' compares features of VGG-16; say where its weights lie"):
        cf.methods.LORD.preset("quick", reconstruction="vgg").fit(data, quiet(tmp_path / "none"))
    with pytest.raises(ValueError, match="vgg_weights are those of reconstruction 'vgg', but it is 'squared'"):
        cf.methods.LORD.preset("quick", vgg_weights=str(file)).fit(data, quiet(tmp_path / "idle"))
    small = cf.load_dataset("shapes3d", size=16, labels=12)
    with pytest.raises(ValueError, match="VGG-16 halves images five times: they need 32 pixels a side, got 16 x 16"):
        cf.methods.LORD.preset("quick", reconstruction="vgg", vgg_weights=str(file)).fit(
            small, quiet(tmp_path / "small")
        )
