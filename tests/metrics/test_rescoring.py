import numpy as np
import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.generators.analytic import Analytic
from contrafact.metrics import rescoring


@pytest.fixture(scope="module")
def generator():
    return Analytic("sprite", size=12)


def brightness(images):
    return torch.stack([images.mean((1, 2, 3)), images[:, 0].mean((1, 2))], dim=1)


def test_effects_equal_walking_one_direction_at_a_time(generator):
    latents = generator.sample(9, torch.Generator().manual_seed(0))
    directions = GlobalDirections.random(generator.latent_dim, 3, torch.Generator().manual_seed(1))
    result = rescoring(generator, directions, brightness, latents=latents, magnitude=1.5, batch_size=4)
    with torch.no_grad():
        for d in range(3):
            up = brightness(generator(directions(latents, d, 1.5))).double().numpy()
            down = brightness(generator(directions(latents, d, -1.5))).double().numpy()
            np.testing.assert_allclose(result.matrix[d], (up.mean(0) - down.mean(0)) / 2, atol=1e-6)
            np.testing.assert_allclose(result.after_plus[:, d], [up.mean(0), up.std(0)], atol=1e-6)
        before = brightness(generator(latents)).double().numpy()
    np.testing.assert_allclose(result.before, [before.mean(0), before.std(0)], atol=1e-6)
    np.testing.assert_allclose(result.per_factor, np.abs(result.matrix).max(axis=0))
    assert result.score == pytest.approx(result.per_factor.mean())
    for a, d in enumerate(np.abs(result.matrix).argmax(axis=0)):
        with torch.no_grad():
            ends = [float(brightness(generator(directions(latents, int(d), s)))[:, a].mean()) for s in (1.5, -1.5)]
        assert (result.up[a], result.down[a]) == pytest.approx((max(ends), min(ends)), abs=1e-6)


def test_same_seed_same_latents(generator):
    directions = GlobalDirections.random(generator.latent_dim, 2, torch.Generator().manual_seed(1))
    runs = [rescoring(generator, directions, brightness, num_latents=5, seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].matrix, runs[1].matrix)
    assert not np.array_equal(runs[0].matrix, runs[2].matrix)


def test_refusals(generator):
    fitting = GlobalDirections.random(generator.latent_dim, 2, torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="the directions live in 3 latent dimensions but the generator in 8"):
        rescoring(generator, GlobalDirections.of(torch.eye(3)), brightness)
    with pytest.raises(ValueError, match="magnitude must be positive, got 0"):
        rescoring(generator, fitting, brightness, magnitude=0)
    with pytest.raises(ValueError, match=r"the predictor got 4 images and returned an array of shape \(1, 4\)"):
        rescoring(generator, fitting, lambda x: x.mean((1, 2, 3))[None], num_latents=4)
    with pytest.raises(ValueError, match="the predictor returned values that are not finite"):
        rescoring(generator, fitting, lambda x: x.mean((1, 2, 3)) / 0, num_latents=4)
    with pytest.raises(ValueError, match="latents must hold at least one row"):
        rescoring(generator, fitting, brightness, latents=torch.zeros(0, 8))


def test_named_attributes_are_scored_by_name(generator):
    latents = generator.sample(5, torch.Generator().manual_seed(0))
    directions = GlobalDirections.random(generator.latent_dim, 3, torch.Generator().manual_seed(1))
    named = rescoring(generator, directions, brightness, latents=latents, attributes=("all", "red"))
    assert named.scores() == {"score": named.score, "all": named.per_factor[0], "red": named.per_factor[1]}
    assert rescoring(generator, directions, brightness, latents=latents).scores() == {"score": named.score}
    with pytest.raises(ValueError, match=r"1 attributes named, but the predictor returns 2: \['all'\]"):
        rescoring(generator, directions, brightness, latents=latents, attributes=("all",))
