"""Augmentation: what each change does to a picture, by looking at pixels."""

import pytest
import torch

from contrafact.training.augment import Augmentation


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_no_change_returns_the_images_themselves():
    images = torch.rand(3, 1, 8, 8)
    assert Augmentation.named("none")(images, rng()) is images


def test_flip_mirrors_some_and_leaves_the_others():
    images = torch.rand(64, 1, 8, 8)
    changed = Augmentation(flip=True)(images, rng())
    mirrored = [torch.allclose(c, i.flip(-1), atol=1e-5) for c, i in zip(changed, images, strict=True)]
    kept = [torch.allclose(c, i, atol=1e-5) for c, i in zip(changed, images, strict=True)]
    assert all(m or k for m, k in zip(mirrored, kept, strict=True))
    assert 16 < sum(mirrored) < 48


def test_a_shift_moves_the_mass_no_further_than_it_says():
    image = torch.zeros(1, 1, 21, 21)
    image[..., 10, 10] = 1
    changed = Augmentation(shift=0.2)(image.expand(200, -1, -1, -1), rng())
    down, across = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    mass = changed[:, 0].sum(dim=(1, 2))
    moved = torch.stack([(changed[:, 0] * axis).sum(dim=(1, 2)) / mass - 10 for axis in (down, across)])
    assert moved.abs().max() <= 0.2 * 21 + 1e-3
    assert moved.abs().max() > 0.15 * 21


def test_erasing_blackens_a_square_no_larger_than_it_says():
    changed = Augmentation(erase=0.5)(torch.ones(50, 1, 8, 8), rng())
    black = (changed == 0).flatten(1).sum(dim=1)
    assert 0 < black.max() <= 16


def test_the_seed_decides_and_values_stay_in_range():
    images, strong = torch.rand(8, 3, 16, 16), Augmentation.named("strong")
    assert torch.equal(strong(images, rng(1)), strong(images, rng(1)))
    assert not torch.equal(strong(images, rng(1)), strong(images, rng(2)))
    assert 0 <= float(strong(images, rng()).min()) <= float(strong(images, rng()).max()) <= 1


def test_no_flip_keeps_everything_else():
    strong, shy = Augmentation.named("strong"), Augmentation.named("strong_no_flip")
    assert strong.flip
    assert not shy.flip
    assert (strong.shift, strong.erase) == (shy.shift, shy.erase)


def test_no_images_stay_no_images():
    assert Augmentation.named("strong")(torch.zeros(0, 1, 8, 8), rng()).shape == (0, 1, 8, 8)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown augmentation 'stong'; did you mean 'strong'"):
        Augmentation.named("stong")
