"""A rectified flow of one's own images: its loss against a loop, what is kept, and that it learns."""

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.core.memory import as_dataset
from contrafact.core.run import Run
from contrafact.methods import Diffusion

SMALL = {"level_channels": (8, 16), "batch_size": 8}


def test_the_first_loss_is_that_of_a_loop(tmp_path):
    """A fresh network says zero, so that the loss is the mean square of ε − x₀, whatever the times."""
    images = as_dataset(torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(3)))
    Diffusion(**SMALL, steps=1).fit(images, tmp_path / "run", seed=4)
    run = Run(tmp_path / "other", seed=4)
    chosen = images.random_batch(8, run.numpy_rng("images"))
    rng = run.rng("noise")
    torch.randn(8, generator=rng)  # the times come first
    noise = torch.randn(8, 1, 12, 12, generator=rng)
    expected = np.mean(
        [(float(e) - (2 * float(x) - 1)) ** 2 for e, x in zip(noise.flatten(), chosen.flatten(), strict=True)]
    )
    logged = cf.load_run(tmp_path / "run").log[0]["loss"]
    assert logged == pytest.approx(expected, rel=1e-4)


def test_times_and_target_are_the_papers(tmp_path):
    """The network is asked at (1 − t) x₀ + t ε, with t the logistic of a normal draw, and learns ε − x₀."""
    run, method = Run(tmp_path / "run", seed=0), Diffusion(**SMALL)
    images = torch.rand(8, 1, 12, 12)
    time, noise = method._draw(images, run.rng("noise"))
    again = torch.Generator().manual_seed(run.rng("noise").initial_seed())
    logits = torch.randn(8, generator=again)
    assert torch.allclose(time, 1 / (1 + torch.exp(-logits)))
    assert torch.equal(noise, torch.randn(images.shape, generator=again))


def test_it_learns_a_distribution_of_two_images(tmp_path):
    """Half of the images black with a white corner, half the reverse: samples are one or the other, about as often."""
    black = torch.zeros(1, 8, 8)
    black[:, :4, :4] = 1.0
    images = as_dataset(torch.stack([black, 1 - black] * 16))
    run = Diffusion(level_channels=(16, 16), steps=150, batch_size=32, learning_rate=4e-3, ema=0.9).fit(
        images, tmp_path / "run"
    )
    made = run.generator(run.generator.sample(64, seed=0))
    distances = torch.stack([(made - each).abs().mean(dim=(1, 2, 3)) for each in (black, 1 - black)])
    assert float(distances.min(dim=0).values.median()) < 0.1
    share = float((distances[0] < distances[1]).float().mean())
    assert 0.2 < share < 0.8


def test_the_run_is_a_generator_to_find_directions_in(tmp_path):
    images = as_dataset(torch.rand(40, 1, 12, 12))
    made = Diffusion(**SMALL, steps=2, sampling_steps=3).fit(images, tmp_path / "d")
    found = cf.methods.GANSpace(num_directions=3, num_samples=64).fit(
        cf.load_generator(tmp_path / "d"), tmp_path / "dh"
    )
    again = cf.load_run(tmp_path / "dh")
    assert again.generator.space == "h"
    assert again.directions.columns == made.generator.edit_columns
    latent = again.generator.sample(2, seed=0)
    moved = again.directions(latent, 0, 2.0)
    assert torch.equal(moved[:, :144], latent[:, :144])
    assert torch.allclose(again.generator(moved), found.generator(moved), atol=1e-6)
    noise = cf.load_generator(tmp_path / "d", {"space": "noise", "steps": 4})
    assert (noise.latent_dim, noise.steps) == (144, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"level_channels": (8, 8, 8, 8, 8)},
            "5 levels on squares of 1 pixels halve images of 12 pixels to less than one place",
        ),
        ({"level_channels": (12,)}, "multiples of 8"),
    ],
)
def test_settings_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Diffusion(**settings).fit(as_dataset(torch.rand(4, 1, 12, 12)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
