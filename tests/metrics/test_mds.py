import numpy as np
import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.metrics import mds
from contrafact.metrics.mds import area_under


class Pixels(Generator):
    """The latent is the image: three pixels, each an attribute that is on when positive."""

    latent_dim = prior_dim = 3
    image_shape = (1, 1, 3)

    def forward(self, latent):
        return latent[:, None, None]

    def arguments(self):
        return {}


def on(images):
    return (images[:, 0, 0] > 0).long()


def test_clean_directions_score_one_and_mixed_ones_less():
    clean = mds(
        Pixels(), GlobalDirections.of(torch.eye(3)), on, num_latents=100, magnitudes=[1, 2, 4, 8], wish="increase"
    )
    assert clean.score > 0.95
    assert clean.best.tolist() == [0, 1, 2]
    mixed = mds(
        Pixels(), GlobalDirections.of(torch.ones(1, 3)), on, num_latents=100, magnitudes=[1, 2, 4, 8], wish="increase"
    )
    assert mixed.score < 0.8


def test_curves_equal_counting_image_by_image():
    latents = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    directions = GlobalDirections.random(3, 2, torch.Generator().manual_seed(1))
    result = mds(Pixels(), directions, on, latents=latents, magnitudes=[0.5, 2.0], both_signs=False, batch_size=5)
    before = on(Pixels()(latents)).numpy()
    for d, (s, magnitude) in ((d, pair) for d in range(2) for pair in enumerate([0.5, 2.0])):
        with torch.no_grad():
            after = on(Pixels()(directions(latents, d, magnitude))).numpy()
        for a in range(3):
            changed = np.mean([x[a] != y[a] for x, y in zip(before, after, strict=True)])
            others = np.mean([np.mean(np.delete(x != y, a)) for x, y in zip(before, after, strict=True)])
            assert result.changed[d, s, a] == pytest.approx(changed)
            assert result.kept[d, s, a] == pytest.approx(1 - others)
    for d, a in np.ndindex(2, 3):
        assert result.matrix[d, a] == pytest.approx(area_under(result.changed[d, :, a], result.kept[d, :, a]))


def test_wished_changes_are_counted_among_those_that_can():
    latents = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [-3.0, 1.0, 1.0]])
    directions = GlobalDirections.of(torch.eye(3)[:1])
    up = mds(Pixels(), directions, on, latents=latents, magnitudes=[2.0], both_signs=False, wish="increase")
    assert up.changed[0, 0, 0] == pytest.approx(1 / 2)
    any_change = mds(Pixels(), directions, on, latents=latents, magnitudes=[2.0], both_signs=False)
    assert any_change.changed[0, 0, 0] == pytest.approx(1 / 3)
    down = mds(Pixels(), directions, on, latents=latents, magnitudes=[2.0], wish="decrease")
    assert down.changed[0, 0, 0] == 1.0  # the backward sweep turns the only one off


def test_area_of_simple_curves():
    assert area_under(np.array([1.0]), np.array([1.0])) == 1.0
    assert area_under(np.array([1.0]), np.array([0.0])) == 0.5
    assert area_under(np.array([0.0, 0.0]), np.array([1.0, 0.5])) == 0.0
    assert area_under(np.array([0.6, 0.3]), np.array([0.8, 1.0])) == pytest.approx(0.3 + 0.3 * 0.9)


def test_refusals():
    directions = GlobalDirections.of(torch.eye(3))
    with pytest.raises(ValueError, match="magnitudes must be positive numbers"):
        mds(Pixels(), directions, on, magnitudes=[0.0, 1.0])
    with pytest.raises(ValueError, match="wish must be 'change', 'increase' or 'decrease', got 'grow'"):
        mds(Pixels(), directions, on, wish="grow")
    with pytest.raises(ValueError, match="the predictor's labels must be whole numbers"):
        mds(Pixels(), directions, lambda x: x[:, 0, 0], num_latents=4)
    with pytest.raises(ValueError, match="the predictor must return at least two"):
        mds(Pixels(), directions, lambda x: on(x)[:, 0], num_latents=4)
