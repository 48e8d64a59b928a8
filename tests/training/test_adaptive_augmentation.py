"""ADA's transformations against recorded numbers of NVIDIA's program, exact moves, and derivatives."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erfinv

from contrafact.training import adaptive_augmentation
from contrafact.training.adaptive_augmentation import AdaptiveAugmentation, augment, color_matrices, recolor, resample


def _shift(x, y):
    return torch.tensor([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _turn(angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_all_transformations_together_equal_the_original(channels, share):
    """Recorded with every transformation at the same quantile of its distribution (the program's debug setting)."""
    with np.load(Path(__file__).parent / "reference" / "adaptive_augmentation.npz") as file:
        images, expected = (torch.from_numpy(file[k]) for k in (f"images{channels}", f"augmented{channels}_{share}"))
    height, width = 12, 16
    normal, uniform = float(erfinv(2 * share - 1)), 2 * share - 1
    scale, stretch = 2 ** (0.2 * normal), 2 ** (0.2 * normal)
    place = torch.diag(torch.tensor([1.0 - 2 * math.floor(2 * share), 1, 1]))
    place = place @ _turn(math.pi / 2 * math.floor(4 * share))
    place = place @ _shift(-round(uniform * width / 8), -round(uniform * height / 8))
    place = place @ torch.diag(torch.tensor([1 / scale, 1 / scale, 1]))
    place = place @ _turn(math.pi * uniform) @ torch.diag(torch.tensor([1 / stretch, stretch, 1]))
    place = place @ _shift(-normal * width / 8, -normal * height / 8)
    moved = resample(images, place.repeat(2, 1, 1))
    values = (0.2 * normal, 2 ** (0.5 * normal), math.floor(2 * share), math.pi * uniform, 2**normal)
    colored = recolor(moved, color_matrices(*(torch.full((2,), float(v)) for v in values)))
    torch.testing.assert_close(colored, expected, rtol=0, atol=1e-4)


def test_at_probability_zero_nothing_happens():
    images = torch.rand(3, 3, 16, 16)
    assert torch.equal(augment(images, 0.0, torch.Generator()), images)


def test_whole_shifts_and_quarter_turns_are_exact():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    shifted = resample(images, _shift(-3.0, 2.0).repeat(2, 1, 1))
    expected = torch.nn.functional.pad(images, (3, 0, 0, 2), mode="reflect")[:, :, 2:, :16]
    torch.testing.assert_close(shifted, expected, rtol=0, atol=1e-5)
    half = resample(images, _turn(math.pi).repeat(2, 1, 1))
    # The filter is not quite symmetric, so a turned image is filtered a little.
    assert float((half - images.flip(2, 3)).square().mean()) < 0.05


def test_it_is_differentiable_twice():
    torch.manual_seed(0)
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    place = (_turn(0.4) @ _shift(0.7, -0.3)).repeat(2, 1, 1)
    weight = torch.randn(2, 1, 8, 8, dtype=torch.float64)

    def cubed(x):
        return (resample(x, place) * weight).pow(3).sum()

    assert torch.autograd.gradcheck(lambda x: resample(x, place), images, fast_mode=True)
    assert torch.autograd.gradgradcheck(cubed, images, fast_mode=True)


def test_draws_are_the_identity_where_chance_says_so():
    n, rng = 4000, torch.Generator().manual_seed(0)
    place = adaptive_augmentation.draw_geometry(n, 16, 16, 0.1, rng)
    same = (place - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-6
    # flip (half of its draws), quarter turn (¾), shift (a zero shift is rare), scale, two rotations, stretch, shift
    expected = (1 - 0.05) * (1 - 0.075) * 0.9**3 * 0.9 * 0.9
    assert float(same.float().mean()) == pytest.approx(expected, abs=0.03)
    assert torch.isfinite(place).all()
    colors = adaptive_augmentation.draw_colors(n, 0.1, rng)
    same = (colors - torch.eye(4)).abs().amax(dim=(1, 2)) < 1e-5
    assert float(same.float().mean()) == pytest.approx(0.9**4 * 0.95, abs=0.03)


def test_the_same_seed_gives_the_same_images():
    images = torch.rand(4, 3, 16, 16)
    one, two = (augment(images, 0.8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.allclose(one, augment(images, 0.8, torch.Generator().manual_seed(4)))
    assert not torch.allclose(one, images)


def test_grey_images_stay_grey_whatever_the_hue():
    images = torch.rand(2, 1, 4, 4)
    matrices = color_matrices(
        torch.zeros(2), torch.ones(2), torch.zeros(2), torch.tensor([0.5, 2.0]), torch.ones(2) * 3
    )
    torch.testing.assert_close(recolor(images, matrices), images)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="grey images and colour ones of 3 channels, got 2 channels"):
        augment(torch.rand(1, 2, 8, 8), 0.5, torch.Generator())


def test_the_probability_follows_the_signs():
    adaptive = AdaptiveAugmentation(target=0.5, images=1000, every=2)
    for _ in range(4):
        adaptive.adapt(torch.tensor(0.9), batch_size=50)
    assert float(adaptive.probability) == pytest.approx(2 * 50 * 2 / 1000)
    for _ in range(2):
        adaptive.adapt(torch.tensor(0.1), batch_size=50)
    assert float(adaptive.probability) == pytest.approx(0.1)
    for _ in range(6):
        adaptive.adapt(torch.tensor(-1.0), batch_size=50)
    assert float(adaptive.probability) == 0.0
    assert set(adaptive.state_dict()) == {"probability", "signs", "seen"}


@pytest.mark.parametrize("arguments", [{"target": 1.5}, {"images": 0}, {"probability": -0.1}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=r"expected a target in \[-1, 1\], a probability in \[0, 1\]"):
        AdaptiveAugmentation(**arguments)
