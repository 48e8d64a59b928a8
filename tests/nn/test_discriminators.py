"""StyleGAN2's discriminator against recorded numbers of NVIDIA's program, SNGAN's against its definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contrafact.losses.adversarial import r1_penalty
from contrafact.nn.discriminators import SNGANDiscriminator, StyleGAN2Discriminator

NAMES = {
    "b4.conv": "conv", "b4.fc": "dense", "b4.out": "out", "b16.fromrgb": "from_image", "mapping.embed": "embed",
    "mapping.fc": "mapping.", "b16.": "blocks.0.", "b8.": "blocks.1.",
}  # fmt: skip


def _ours(name: str) -> str:
    theirs = next(prefix for prefix in NAMES if name.startswith(prefix))
    return NAMES[theirs] + name.removeprefix(theirs)


@pytest.fixture(params=["plain", "conditional"])
def recorded(request):
    with np.load(Path(__file__).parent / "reference" / f"stylegan2_discriminator_{request.param}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    discriminator = StyleGAN2Discriminator(
        (3, 16, 16), [6, 6, 4], classes=3 if request.param == "conditional" else 0, mapping_layers=2
    )
    weights = {_ours(k.removeprefix("state/")): v for k, v in arrays.items() if k.startswith("state/")}
    discriminator.load_state_dict(weights)
    label = arrays["label"] if request.param == "conditional" else None
    return discriminator, arrays, label


def test_scores_and_their_gradients_equal_the_original(recorded):
    discriminator, arrays, label = recorded
    images = arrays["images"].clone().requires_grad_()
    scores = discriminator(images, label)
    torch.testing.assert_close(scores, arrays["scores"], rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(scores.sum(), images, retain_graph=True)
    torch.testing.assert_close(gradient, arrays["gradient"], rtol=1e-3, atol=1e-6)
    penalty = r1_penalty(scores, images)
    torch.testing.assert_close(penalty, arrays["penalty"], rtol=1e-4, atol=0)
    (twice,) = torch.autograd.grad(penalty, discriminator.blocks[0].conv1.weight)
    torch.testing.assert_close(twice, arrays["penalty_gradient"], rtol=1e-3, atol=1e-6)


def test_the_standard_deviation_sees_a_group_of_equal_images():
    torch.manual_seed(0)
    discriminator = StyleGAN2Discriminator((1, 8, 8), [4, 4], group_size=2)
    x = torch.randn(4, 4, 4, 4)
    x[2] = x[0]  # images 0 and 2 are a group, 1 and 3 the other
    channel = discriminator._deviation(x)
    expected = ((x[1] - x[3]).square() / 4 + 1e-8).sqrt().mean()
    assert channel.shape == (4, 1, 4, 4)
    torch.testing.assert_close(channel[0], torch.full((1, 4, 4), 1e-4))
    torch.testing.assert_close(channel[1], expected.expand(1, 4, 4))
    torch.testing.assert_close(channel[3], channel[1])


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="a batch of 6 images does not divide into groups of 4; change batch_size"):
        StyleGAN2Discriminator((1, 8, 8), [4, 4])(torch.rand(6, 1, 8, 8))


@pytest.mark.parametrize(
    ("shape", "counts"), [((1, 28, 28), [4] * 3), ((1, 16, 32), [4] * 3), ((1, 32, 32), [4] * 3), ((1, 4, 4), [4])]
)
def test_sizes_that_do_not_fit(shape, counts):
    with pytest.raises(ValueError, match="channels must list a count for each side from 4 to the image's"):
        StyleGAN2Discriminator(shape, counts)


def test_a_conditional_one_needs_labels():
    with pytest.raises(ValueError, match="pass class labels from 0 to 2"):
        StyleGAN2Discriminator((1, 8, 8), [4, 4], classes=3)(torch.rand(4, 1, 8, 8))


def test_the_number_of_weights_is_the_originals():
    # NVIDIA's discriminator of config-f at 256 pixels.
    counts = [min(32768 // side, 512) for side in (4, 8, 16, 32, 64, 128, 256)]
    with torch.device("meta"):
        discriminator = StyleGAN2Discriminator((3, 256, 256), counts)
    assert sum(p.numel() for p in discriminator.parameters()) == 28_864_129


@pytest.fixture
def sngan():
    torch.manual_seed(0)
    discriminator = SNGANDiscriminator((3, 16, 16), [8, 8, 6, 6], halvings=2)
    for _ in range(100):
        discriminator(torch.rand(2, 3, 16, 16))
    return discriminator.eval()


def _weights(layer):
    return layer.weight, layer.bias


def test_every_weight_has_spectral_norm_one(sngan):
    layers = [m for m in sngan.modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 4 * 2 + 3 + 1
    for layer in layers:
        singular = torch.linalg.svdvals(layer.weight.flatten(1))
        assert singular[0].item() == pytest.approx(1, abs=0.02)


def test_sngan_follows_its_definition(sngan):
    """The paper's Appendix B, block by block, on the normalised weights."""
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    x = images
    for number, block in enumerate(sngan.blocks):
        halves = number < 2
        hidden = x if number == 0 else F.relu(x)
        hidden = F.conv2d(hidden, *_weights(block.conv1), padding=1)
        hidden = F.conv2d(F.relu(hidden), *_weights(block.conv2), padding=1)
        bypass = x if block.bypass is None else F.conv2d(x, *_weights(block.bypass))
        x = hidden + bypass
        x = F.avg_pool2d(x, 2) if halves else x
    features = F.relu(x).sum(dim=(2, 3))
    torch.testing.assert_close(sngan.features(images), features)
    torch.testing.assert_close(sngan(images), F.linear(features, *_weights(sngan.head))[:, 0])


def test_published_settings():
    assert SNGANDiscriminator((3, 32, 32)).feature_dim == 128
    large = SNGANDiscriminator((3, 64, 64), "sn_resnet64")
    assert large.feature_dim == 1024
    with torch.no_grad():
        assert large(torch.rand(1, 3, 64, 64)).shape == (1,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": "sn_resnet23"}, "unknown SNGAN setting 'sn_resnet23'; did you mean 'sn_resnet32'"),
        ({"channels": [4, 4, 4], "halvings": 5}, "3 blocks cannot halve 12×12 images 5 times"),
        ({"channels": [4, 4, 4]}, "3 blocks cannot halve 12×12 images 3 times"),
        ({"channels": [4, 0]}, "channels must be a whole number of at least 1"),
    ],
)
def test_bad_sngan_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SNGANDiscriminator((3, 12, 12), **arguments)
