"""NoiseCLR: its loss against a loop over pairs, and what it asks of a generator."""

import math

import pytest
import torch

from contrafact.core.denoiser import Denoiser
from contrafact.core.run import Run
from contrafact.generators import Analytic, RectifiedFlow, TokenDiffusion
from contrafact.methods.noiseclr import NoiseCLR, contrast_effects


def cosine(a, b):
    return float(a @ b) / (float(a @ a) ** 0.5 * float(b @ b) ** 0.5)


def loss_by_hand(effects, temperature):
    """Dalva & Yanardag 2024: one direction of interest; positives are its effects in two images, negatives its effect
    and each other direction's in one image; −log of the mean of exp(s/τ) over positives, over that over negatives."""
    interest, others = effects[0], effects[1:]
    images = range(len(interest))
    positives = [math.exp(cosine(interest[a], interest[b]) / temperature) for a in images for b in images if a < b]
    negatives = [math.exp(cosine(interest[a], other[a]) / temperature) for other in others for a in images]
    return -math.log((sum(positives) / len(positives)) / (sum(negatives) / len(negatives)))


@pytest.mark.parametrize(("directions", "images"), [(2, 2), (4, 3), (6, 5)])
@pytest.mark.parametrize("temperature", [0.5, 0.1])
def test_the_loss_is_the_papers(directions, images, temperature):
    effects = torch.randn(directions, images, 7, generator=torch.Generator().manual_seed(0))
    loss, logged = contrast_effects(effects, temperature)
    assert loss.item() == pytest.approx(loss_by_hand(effects, temperature), rel=1e-5)
    within = [cosine(effects[0, a], effects[0, b]) for a in range(images) for b in range(a)]
    assert logged["within"].item() == pytest.approx(sum(within) / len(within), abs=1e-6)


def test_an_effect_of_nothing_has_no_gradient_that_is_none():
    effects = torch.zeros(3, 4, 5, requires_grad=True)
    loss, _ = contrast_effects(effects, 0.5)
    loss.backward()
    assert torch.isfinite(effects.grad).all()


def denoiser():
    torch.manual_seed(0)
    return TokenDiffusion.tiny().freeze()


@pytest.mark.parametrize("prediction", ["image", "epsilon"])
def test_the_way_to_an_image_is_the_solvers(prediction):
    """Going on from where ``walk`` stands, by the solver's own formula, ends at the image."""
    torch.manual_seed(0)
    generator = TokenDiffusion(3, (3, 16, 16), 0.125, token_dim=4, patch=2, steps=3, prediction=prediction).freeze()
    torch.nn.init.normal_(generator.unet.end.weight, std=0.3)
    latent, schedule = generator.sample(2, seed=1), generator.schedule
    tokens, times = generator.tokens(latent), schedule.solver_times(3).tolist()
    start, edits = generator.split(latent)
    x = generator.walk(start, edits[:1])
    for place in (1, 2):
        at = torch.full((2,), times[place])
        clean, noise = schedule.both(generator.predict(x, at, tokens), x, at, prediction)
        if place == 1:
            x = schedule.noised(clean, noise, torch.full((2,), times[2]))
    torch.testing.assert_close(generator.to_images(clean), generator(latent), rtol=1e-4, atol=1e-5)
    assert torch.equal(generator.walk(start, []), generator.noise.expand(2, -1, -1, -1))
    torch.testing.assert_close(generator.to_images(generator.walk(start, edits)), generator(latent))


def test_an_effect_is_a_difference_of_noise():
    generator = denoiser()
    noise, edits = generator.split(generator.sample(2, seed=0))
    x = generator.walk(noise, edits[:1])
    assert not generator.effect(x, 1, torch.zeros(2, 3)).any()
    effect = generator.effect(x, 1, torch.tensor([[2.0, 0, 0], [0, 0, 0]]))
    assert effect[0].abs().max() > 0
    assert effect[1].abs().max() < 1e-5
    at = generator.schedule.time(1, 2, x)
    codes = (torch.tensor([[2.0, 0, 0]]).expand(2, 3), torch.zeros(2, 3))
    said = [generator.unet(x, at, generator.tokens(c)) for c in codes]
    kept, added = generator.schedule.alpha_bar[at[0]].sqrt(), (1 - generator.schedule.alpha_bar[at[0]]).sqrt()
    epsilon = [(x - kept * image) / added for image in said]
    torch.testing.assert_close(effect[0], (epsilon[0] - epsilon[1])[0], rtol=1e-3, atol=1e-4)


def test_it_takes_a_bottleneck_too(tmp_path):
    """A rectified flow is edited by shifts of its bottleneck: the same method, no line of it for either."""
    torch.manual_seed(0)
    flow = RectifiedFlow.tiny().freeze()
    settings = {"num_directions": 3, "num_compared": 2, "steps": 2, "batch_size": 2}
    run = NoiseCLR.preset("quick", **settings).fit(flow, Run(tmp_path, progress=False, precision="float32"))
    latent = flow.sample(2, seed=0)
    moved = run.directions(latent, 0, 1.0)
    assert torch.equal(moved[:, : flow.prior_dim], latent[:, : flow.prior_dim])  # the noise stays
    assert not torch.equal(flow(moved), flow(latent))


def test_directions_come_to_do_the_same_everywhere(tmp_path):
    generator = denoiser()
    settings = {"num_directions": 3, "num_compared": 2, "steps": 60, "learning_rate": 5e-2}
    run = NoiseCLR.preset("quick", **settings).fit(generator, Run(tmp_path, progress=False, precision="float32"))
    log = run.log
    assert log[-1]["loss"] < log[0]["loss"] - 0.1
    assert log[-1]["within"] - log[-1]["across"] > log[0]["within"] - log[0]["across"]


def test_it_asks_for_a_denoiser(tmp_path):
    assert isinstance(denoiser(), Denoiser)
    with pytest.raises(ValueError, match="a Analytic makes them in one pass; take a diffusion model"):
        NoiseCLR().fit(Analytic(size=16), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("settings", [{"num_directions": 1}, {"batch_size": 1}])
def test_it_needs_something_to_contrast(settings):
    with pytest.raises(ValueError, match="at least 2 directions and 2 images"):
        NoiseCLR(**settings)
