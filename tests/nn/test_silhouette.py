"""Silhouettes: what is known of simple shapes, and what must not matter."""

import math

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.core.run import Run
from contrafact.methods.interfacegan import InterFaceGAN
from contrafact.nn.attributes import load_predictor
from contrafact.nn.silhouette import NAMES, measure


def rectangle(top=6, bottom=26, left=10, right=18, light=0.6, ground=0.0, side=32):
    image = torch.full((1, 1, side, side), ground)
    image[..., top:bottom, left:right] = light
    return image


def leaning(shear, side=64):
    """A bar whose upper end is ``shear`` times its height to the right of its lower end; edges are antialiased."""
    fine = 8 * side
    rows, columns = torch.meshgrid(torch.arange(fine), torch.arange(fine), indexing="ij")
    height = (fine - 1) / 2 - rows
    is_bar = (height.abs() < fine / 4) & ((columns - (fine - 1) / 2 - shear * height).abs() < fine / 16)
    return torch.nn.functional.avg_pool2d(is_bar.float()[None, None], 8)


def test_a_rectangle_has_its_own_area_lightness_width_and_height():
    expected = [100 * 20 * 8 / 32**2, 60.0, 100 * 8 / 32, 100 * 20 / 32, 0.0]
    np.testing.assert_allclose(measure(rectangle())[0], expected, atol=1e-5)  # 0.6 in single precision
    assert list(NAMES) == ["area", "lightness", "width", "height", "slant"]


def test_moments_are_those_of_a_loop_over_pixels():
    image = torch.rand(1, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    border = [(r, c) for r in range(9) for c in range(7) if r in (0, 8) or c in (0, 6)]
    ground = [sorted(float(image[0, k, r, c]) for r, c in border)[(len(border) - 1) // 2] for k in range(2)]
    weight = {
        (r, c): sum(abs(float(image[0, k, r, c]) - ground[k]) for k in range(2)) / 2 for r in range(9) for c in range(7)
    }
    total = sum(weight.values())
    mean_x = sum(w * c for (_, c), w in weight.items()) / total
    mean_y = sum(w * -r for (r, _), w in weight.items()) / total
    xx = sum(w * (c - mean_x) ** 2 for (_, c), w in weight.items()) / total + 1 / 12
    yy = sum(w * (-r - mean_y) ** 2 for (r, _), w in weight.items()) / total + 1 / 12
    xy = sum(w * (c - mean_x) * (-r - mean_y) for (r, c), w in weight.items()) / total
    lightness = sum(w * float(image[0, :, r, c].double().mean()) for (r, c), w in weight.items()) / total
    area = total**2 / sum(w * w for w in weight.values())
    expected = [
        100 * area / 63,
        100 * lightness,
        100 * math.sqrt(12 * xx) / 7,
        100 * math.sqrt(12 * yy) / 9,
        math.degrees(math.atan2(xy, yy)),
    ]
    np.testing.assert_allclose(measure(image)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("degrees", [-25.0, -5.0, 10.0, 30.0])
def test_a_leaning_bar_leans_as_far(degrees):
    assert float(measure(leaning(math.tan(math.radians(degrees))))[0, 4]) == pytest.approx(degrees, abs=0.1)


def test_where_it_stands_what_the_ground_is_and_how_large_the_image_do_not_matter():
    at, moved = measure(rectangle())[0], measure(rectangle(top=2, bottom=22, left=20, right=28))[0]
    np.testing.assert_allclose(at, moved, atol=1e-9)
    large = measure(rectangle().repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))[0]
    np.testing.assert_allclose(at, large, atol=1e-9)
    dark_on_light = measure(rectangle(light=0.6, ground=1.0))[0]
    np.testing.assert_allclose(at, dark_on_light, atol=1e-9)
    coloured = torch.cat([rectangle(light=0.9), rectangle(light=0.3), rectangle(light=0.6)], dim=1)
    np.testing.assert_allclose(at, measure(coloured)[0], atol=1e-5)


def test_a_mirror_changes_the_sign_of_the_slant_alone():
    images = torch.rand(4, 3, 12, 10, generator=torch.Generator().manual_seed(1))
    mirrored = measure(images.flip(3)) * torch.tensor([1, 1, 1, 1, -1])
    np.testing.assert_allclose(measure(images), mirrored, atol=1e-9)


def test_nothing_there_is_not_a_number_and_leaves_other_images_alone():
    both = measure(torch.cat([torch.full((1, 1, 32, 32), 0.3), rectangle()]))
    assert both[0].isnan().all()
    np.testing.assert_allclose(both[1], measure(rectangle())[0])
    assert measure(torch.zeros(0, 1, 8, 8)).shape == (0, 5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 1, 8)])
def test_what_is_no_batch_of_images_is_refused(shape):
    with pytest.raises(ValueError, match="silhouettes are measured in images"):
        measure(torch.zeros(shape))


def test_bytes_are_refused():
    with pytest.raises(ValueError, match=r"images from 0 to 1, got torch\.uint8; divide bytes by 255"):
        measure(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


def test_it_is_a_predictor_by_name():
    predictor = load_predictor("silhouette")
    assert predictor.learn_names(rectangle()) == NAMES
    assert predictor.scores(rectangle()).shape == (1, 5)
    np.testing.assert_allclose(predictor.margins(rectangle(), ["height", "area"]), [[62.5, 15.625]], atol=1e-5)


def test_a_supervised_direction_of_it_moves_it(tmp_path):
    generator = cf.load_generator("fashion-mnist")
    settings = {"num_latents": 1_500, "chosen": 0.1, "predictor": "silhouette", "attributes": ("lightness",)}
    run = Run(tmp_path, device="cpu", precision="float32", progress=False)
    found = InterFaceGAN(**settings).train(generator, run)
    latents = generator.sample(200, torch.Generator().manual_seed(3))
    which = torch.zeros(200, dtype=torch.long)
    darker, lighter = (
        measure(generator(found.directions(latents, which, torch.full((200,), way)))).nanmean(dim=0)
        for way in (-2.0, 2.0)
    )
    assert lighter[1] - darker[1] > 5, "percent of white"
