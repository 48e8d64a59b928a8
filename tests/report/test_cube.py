import itertools

import numpy as np
import pytest
import torch

from contrafact.core.dataset import FactorDataset
from contrafact.report.charts import save_chart
from contrafact.report.cube import cube_chart, factor_cube


class Numbers(FactorDataset):
    """Images whose pixels are the factors' values, so that an encoder can be exact."""

    name = "numbers"
    source = "made here"
    factor_names = ("a", "b", "c", "d")
    factor_sizes = (5, 4, 2, 6)
    image_shape = (1, 2, 2)

    def batch(self, indices):
        return torch.from_numpy(self.factors_of(np.asarray(indices))).float().view(-1, 1, 2, 2) / 10


def exact(images):
    """Codes in another order, one of them reversed, scaled, and one of noise: d, noise, −a, b, c."""
    a, b, c, d = (images * 10).flatten(1).unbind(1)
    return torch.stack((3 * d, torch.sin(37 * (a + b + c + d)) * 0.01, -a, b, c), dim=1)


def rng():
    return np.random.default_rng(0)


def test_an_exact_encoder_gives_a_cube_with_its_corners():
    cube = factor_cube(exact, Numbers(), rng())
    assert (cube.factors, cube.codes) == (("a", "b", "d"), (2, 3, 0))
    assert cube.explained == pytest.approx([1.0, 1.0, 1.0])
    assert len(cube.positions) == 5 * 4 * 6
    for corner in itertools.product((0, 1), repeat=3):
        here = cube.positions[(cube.values == corner).all(axis=1)]
        np.testing.assert_allclose(here, [[-4.0 * corner[0], 3.0 * corner[1], 15.0 * corner[2]]], atol=1e-4)


def test_the_other_factors_stay_the_same_and_values_are_spread():
    seen = []

    def encode(images):
        seen.append(images)
        return exact(images)

    cube = factor_cube(encode, Numbers(), rng(), ["d", "a", "c"], values=3, pairs=50, batch_size=10_000)
    assert (cube.factors, cube.codes) == (("d", "a", "c"), (0, 2, 4))
    grid = (seen[-1].flatten(1) * 10).round().long()
    assert len(grid) == 3 * 3 * 2
    assert len(grid[:, 1].unique()) == 1
    assert grid[:, 0].unique().tolist() == [0, 2, 4]
    assert set(cube.values[:, 0].tolist()) == {0.0, 0.4, 1.0}


def test_share_is_the_variance_between_values():
    def mixed(images):
        a, b, _, d = (images * 10).flatten(1).unbind(1)
        return torch.stack((a + b, b, d), dim=1)

    cube = factor_cube(mixed, Numbers(), rng(), ["a", "b", "d"], values=10)
    assert cube.codes == (0, 1, 2)
    a, b = np.arange(5).var(), np.arange(4).var()  # independent, so variances add up
    assert cube.explained == pytest.approx([a / (a + b), 1.0, 1.0])


def test_a_constant_code_explains_nothing():
    cube = factor_cube(lambda images: exact(images) * torch.tensor([0.0, 0, 0, 1, 1]), Numbers(), rng())
    assert sorted(cube.explained.tolist()) == pytest.approx([0.0, 0.0, 1.0])


def test_chart_shows_the_points(tmp_path):
    cube = factor_cube(exact, Numbers(), rng())
    figure = cube_chart(cube, "numbers")
    space, *faces = figure.axes
    assert space.get_xlabel() == "code 2 (a)"
    for axes, (i, j) in zip(faces, ((0, 1), (0, 2), (1, 2)), strict=True):
        np.testing.assert_allclose(axes.collections[0].get_offsets(), cube.positions[:, [i, j]])
    assert save_chart(figure, tmp_path / "cube.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("factors", "encode", "message"),
    [
        (["a", "b", "x"], exact, "unknown factor of numbers 'x'"),
        (["a", "b"], exact, r"a cube has three different factors, got \['a', 'b'\]"),
        (["a", "b", "b"], exact, "three different factors"),
        ([], lambda images: exact(images)[:, :2], "a cube needs three codes, the encoder gives 2"),
    ],
)
def test_refusals(factors, encode, message):
    with pytest.raises(ValueError, match=message):
        factor_cube(encode, Numbers(), rng(), factors)


def test_a_dataset_with_too_few_factors():
    class Small(Numbers):
        factor_sizes = (5, 4, 2, 2)

    with pytest.raises(ValueError, match="numbers has fewer than three factors of more than two values"):
        factor_cube(exact, Small(), rng())
