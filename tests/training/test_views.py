"""Views against kornia's and against loops over pixels; and that they leave labelled factors alone."""

import math
import warnings

import kornia.color
import kornia.enhance
import kornia.filters
import numpy as np
import pytest
import torch

from contrafact.core.few_labels import choose_labels
from contrafact.data.load import load_dataset
from contrafact.training.views import (
    KINDS,
    MOCO,
    SIMCLR,
    Views,
    ViewSettings,
    choose_kinds,
    destroyed_factors,
    gaussian_blur,
    hue_matrix,
    is_colourless,
)

from .toy_images import GreyImages, ToyImages


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=6, channels=3, side=20):
    return torch.rand(n, channels, side, side, generator=rng(9)) * 0.5 + 0.25


def test_a_crop_is_the_bilinear_sample_of_the_square_it_names():
    """One pixel at a time, from the crop's corners."""
    images = pictures(4)
    view = Views(["crop", "flip"], ViewSettings(crop_scale=(0.3, 0.6)))(images, rng(1))
    draws = rng(1)
    area = 0.3 + 0.3 * torch.rand(4, generator=draws)
    ratio = (math.log(3 / 4) + math.log(16 / 9) * torch.rand(4, generator=draws)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x, y = (2 * torch.rand(4, generator=draws) - 1 for _ in range(2))
    flipped = torch.rand(4, generator=draws) < 0.5
    assert flipped.any()
    assert not flipped.all()
    for n in range(4):
        left, top = (1 - width[n]) * (1 + x[n]) / 2 * 20, (1 - height[n]) * (1 + y[n]) / 2 * 20
        for row in (0, 7, 19):
            for column in (0, 11, 19):
                across = 19 - column if flipped[n] else column
                at = (float(left + (across + 0.5) * width[n] - 0.5), float(top + (row + 0.5) * height[n] - 0.5))
                torch.testing.assert_close(view[n, :, row, column], bilinear(images[n], *at), atol=1e-4, rtol=0)


def bilinear(image, x, y):
    x, y = min(max(x, 0), image.shape[2] - 1), min(max(y, 0), image.shape[1] - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, image.shape[2] - 1), min(top + 1, image.shape[1] - 1)
    u, v = x - left, y - top
    upper = (1 - u) * image[:, top, left] + u * image[:, top, right]
    lower = (1 - u) * image[:, bottom, left] + u * image[:, bottom, right]
    return (1 - v) * upper + v * lower


def only(**changes):
    still = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grayscale_probability": 0.0}
    return ViewSettings(**{**still, **changes})


def test_contrast_is_kornias():
    images = pictures()
    view = Views(["light"], only(contrast=0.4))(images, rng(2))
    draws = rng(2)
    torch.rand(6, generator=draws)
    torch.rand(6, generator=draws)
    factor = 0.6 + 0.8 * torch.rand(6, generator=draws)
    torch.testing.assert_close(
        view, kornia.enhance.adjust_contrast_with_mean_subtraction(images, factor), atol=1e-4, rtol=0
    )


def test_brightness_multiplies():
    images = pictures()
    view = Views(["light"], only(brightness=0.4))(images, rng(2))
    draws = rng(2)
    torch.rand(6, generator=draws)
    factor = 0.6 + 0.8 * torch.rand(6, generator=draws)
    torch.testing.assert_close(view, (images * factor[:, None, None, None]).clamp(0, 1))


def test_saturation_is_kornias():
    images = pictures()
    view = Views(["color"], only(saturation=0.4))(images, rng(2))
    draws = rng(2)
    torch.rand(6, generator=draws)
    factor = 0.6 + 0.8 * torch.rand(6, generator=draws)
    expected = kornia.enhance.adjust_saturation_with_gray_subtraction(images, factor)
    torch.testing.assert_close(view, expected, atol=1e-3, rtol=0)


def test_hue_turns_in_yiq_and_keeps_the_luma():
    turn = torch.tensor([0.0, 0.25, 1.0])
    matrix = hue_matrix(turn)
    torch.testing.assert_close(matrix[0], torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(matrix[2], torch.eye(3), atol=1e-5, rtol=0)
    gray = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(gray @ matrix[1], gray, atol=1e-3, rtol=0)
    torch.testing.assert_close(hue_matrix(torch.tensor([0.125]))[0] @ hue_matrix(torch.tensor([0.125]))[0], matrix[1])


def test_grayscale_is_kornias_luma_for_the_chosen_images():
    images = pictures(8)
    view = Views(["grayscale"], ViewSettings(jitter_probability=0.0, grayscale_probability=0.5))(images, rng(3))
    gray = (view == view[:, :1]).all(dim=(1, 2, 3))
    colourless = (view - view[:, :1]).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert gray.sum() <= colourless.sum()
    assert 0 < colourless.sum() < 8
    expected = kornia.color.rgb_to_grayscale(images[colourless]).expand(-1, 3, -1, -1)
    torch.testing.assert_close(view[colourless], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(view[~colourless], images[~colourless])


def test_blur_smooths_some_images_and_leaves_the_rest():
    images = pictures(16)
    view = Views(["blur"], ViewSettings(blur_sigma=(20.0, 20.0)))(images, rng(4))
    same = (view == images).all(dim=(1, 2, 3))
    assert 0 < same.sum() < 16
    assert (view[~same].std(dim=(2, 3)) < 0.8 * images[~same].std(dim=(2, 3))).all()


def test_a_gaussian_blur_is_kornias_and_each_image_has_its_own():
    images, sigma = pictures(3), torch.tensor([0.001, 0.8, 3.0])
    blurred = gaussian_blur(images, sigma, 7)
    expected = kornia.filters.gaussian_blur2d(images, (7, 7), sigma[:, None].expand(3, 2))
    torch.testing.assert_close(blurred, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(blurred[0], images[0])


def test_no_kind_changes_nothing_and_a_stream_repeats_all_draws():
    images = pictures()
    assert Views([])(images, rng()) is images
    first, again = (Views(KINDS, SIMCLR)(images, rng(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, Views(KINDS, SIMCLR)(images, rng(6)))
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 1


def test_grey_images_take_light_but_no_colour():
    view = Views(["crop", "flip", "light", "blur"])(pictures(channels=1), rng())
    assert view.shape == (6, 1, 20, 20)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("shapes3d", ("light",)), ("dsprites", ("light",)), ("fashion-mnist", ("crop", "flip", "light"))],
)
def test_automatic_views_leave_labelled_factors_alone(name, kinds):
    if name == "fashion-mnist":
        dataset = ToyImages((1, 28, 28))
    else:
        dataset = load_dataset(name, size=16 if name == "shapes3d" else 32)
    assert choose_kinds(dataset) == kinds
    for kind in KINDS:
        assert (
            (kind in kinds) or bool(destroyed_factors(dataset, kind)) or dataset.image_shape[0] == 1 or kind == "blur"
        )


def test_colour_is_looked_for_in_an_even_sample():
    class OneInColour(GreyImages):
        def batch(self, indices):
            images = super().batch(indices).clone()
            images[np.asarray(indices) == 59, 0] += 5 / 255
            return images

    assert is_colourless(ToyImages((1, 16, 16)))
    assert is_colourless(GreyImages())
    assert not is_colourless(ToyImages())
    assert not is_colourless(OneInColour())


def test_colour_views_of_grey_images_are_warned_about():
    with pytest.warns(UserWarning, match="the images of toy are grey, so its color and grayscale views change nothing"):
        assert choose_kinds(GreyImages(), usual=("crop", "color", "grayscale")) == ("crop", "color", "grayscale")
    with pytest.warns(UserWarning, match="grey, so its grayscale views change nothing"):
        choose_kinds(GreyImages(), "crop,grayscale")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose_kinds(GreyImages(), "crop,light")
        choose_kinds(ToyImages(), "auto")


def test_opacity_is_moved_but_not_coloured():
    images = pictures(channels=4)
    recolored = Views(["light", "color", "grayscale"])(images, rng())
    torch.testing.assert_close(recolored[:, :3], Views(["light", "color", "grayscale"])(images[:, :3], rng()))
    assert torch.equal(recolored[:, 3], images[:, 3])
    assert Views(["crop", "blur"])(images, rng()).shape == images.shape


def test_only_annotated_factors_count_where_few_are_annotated():
    dataset = load_dataset("shapes3d", size=16)
    dataset.few_labels = choose_labels(dataset, 20, factors=["scale"])
    assert choose_kinds(dataset) == ("flip", "light", "color", "grayscale")


def test_a_destroying_view_is_warned_about_by_name():
    dataset = load_dataset("shapes3d", size=16)
    with pytest.warns(
        UserWarning, match="color views of shapes3d destroy a labelled factor: floor hue, wall hue, object"
    ):
        assert choose_kinds(dataset, "color,light") == ("color", "light")
    assert choose_kinds(dataset, "none") == ()


def test_bad_kinds_and_settings_are_refused():
    dataset = ToyImages((1, 28, 28))
    with pytest.raises(ValueError, match="unknown augmentation 'crops'; did you mean 'crop'"):
        choose_kinds(dataset, "crops")
    with pytest.raises(ValueError, match="unknown augmentation 'colour'; did you mean 'color'"):
        Views(["colour"])
    with pytest.raises(ValueError, match="has grey images, so color views change nothing; leave color out"):
        choose_kinds(dataset, "color")
    with pytest.raises(ValueError, match=r"crop_scale must satisfy 0 < smallest ≤ largest ≤ 1, got \(0.5, 0.2\)"):
        Views(["crop"], ViewSettings(crop_scale=(0.5, 0.2)))


def test_settings_are_the_papers():
    assert (MOCO.crop_scale, MOCO.hue, MOCO.grayscale_probability) == ((0.2, 1.0), 0.4, 0.2)
    assert (SIMCLR.crop_scale, SIMCLR.saturation, SIMCLR.jitter_probability) == ((0.08, 1.0), 0.8, 0.8)


def test_draws_are_uniform():
    images = torch.full((4000, 1, 2, 2), 0.5)
    bright = Views(["light"], only(brightness=0.4))(images, rng())[:, 0, 0, 0].numpy() / 0.5
    np.testing.assert_allclose([bright.min(), bright.mean(), bright.max()], [0.6, 1.0, 1.4], atol=0.01)
