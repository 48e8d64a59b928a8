import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.core.directions import GlobalDirections
from contrafact.core.metric import MetricWarning
from contrafact.generators.analytic import Analytic
from contrafact.metrics import matched_rescoring


@pytest.fixture(scope="module")
def generator():
    return Analytic("sprite", size=12)


@pytest.fixture(scope="module")
def directions(generator):
    return GlobalDirections.random(generator.latent_dim, 3, torch.Generator().manual_seed(1))


def colours(images):
    """Red and green of images; of those darker than they should be, nothing."""
    answers = images.mean((2, 3))[:, :2].clone()
    answers[images.mean((1, 2, 3)) < 0.5285] = torch.nan
    return answers


@torch.no_grad()
def one_at_a_time(generator, directions, latents, steps):
    """Effects ``[d][a]`` with loops over latents, as the page's text says."""
    effects = []
    for d, step in enumerate(steps):
        changes = []
        for latent in latents:
            up, down = (colours(generator(directions(latent[None], d, sign * float(step))))[0] for sign in (1, -1))
            if torch.isfinite(up).all() and torch.isfinite(down).all():
                changes.append(((up - down) / 2).double().numpy())
        effects.append(np.mean(changes, axis=0))
    return np.stack(effects)


def test_the_best_is_chosen_on_a_third_and_measured_on_the_rest(generator, directions):
    latents = generator.sample(30, torch.Generator().manual_seed(0))
    result = matched_rescoring(generator, directions, colours, latents=latents, change=0.4, batch_size=7)
    chooses = torch.arange(30) % 3 == 0
    chosen = one_at_a_time(generator, directions, latents[chooses], result.steps)
    held = one_at_a_time(generator, directions, latents[~chooses], result.steps)
    np.testing.assert_allclose(result.matrix, chosen, atol=1e-5)
    before = colours(generator(latents)).double().numpy()
    deviation = np.nanstd(before, axis=0)
    np.testing.assert_allclose(result.deviation, deviation, rtol=1e-5)
    for a in range(2):
        best = int(np.abs(chosen[:, a]).argmax())
        assert result.best[a] == best
        assert result.per_factor[a] == pytest.approx(np.sign(chosen[best, a]) * held[best, a], abs=1e-5)
        assert result.side[a] == pytest.approx(abs(held[best, 1 - a]) / deviation[1 - a], abs=1e-4)
    assert result.score == pytest.approx((result.per_factor / deviation).mean(), rel=1e-4)
    assert 0 < result.lost_before < 1
    assert result.lost_before == pytest.approx(np.isnan(before).any(axis=1).mean())


@torch.no_grad()
def test_every_step_changes_the_image_by_the_same_part_of_what_unrelated_images_differ_by(generator, directions):
    latents = generator.sample(24, torch.Generator().manual_seed(0))
    result = matched_rescoring(generator, directions, lambda x: x.mean((2, 3)), latents=latents, change=0.3)
    images = generator(latents[::3])  # the paces are found where the best is chosen

    def apart(first, second):
        return float(np.mean([float(((a - b) ** 2).mean()) ** 0.5 for a, b in zip(first, second, strict=True)]))

    unrelated = apart(images, images.roll(1, 0))
    for d, step in enumerate(result.steps):
        both = [apart(generator(directions(latents[::3], d, sign * float(step))), images) for sign in (1, -1)]
        assert np.mean(both) / unrelated == pytest.approx(0.3, rel=0.1)
    assert len(set(result.steps.round(3))) == 3, "steps differ in length"
    assert result.notes == ()


def test_a_direction_does_not_win_by_length():
    """Of two that change one pixel each, one ten times as much: equal changes have equal effects."""
    weigh = torch.nn.Linear(2, 2, bias=False)
    weigh.weight = torch.nn.Parameter(torch.diag(torch.tensor([1.0, 0.1])))
    layers = torch.nn.Sequential(weigh, torch.nn.Unflatten(1, (1, 1, 2)))
    pixels = cf.wrap(layers, latent_dim=2, image_range=(-8.0, 8.0))
    axes = GlobalDirections.of(torch.eye(2))
    result = matched_rescoring(pixels, axes, lambda x: x.flatten(1), change=0.1, furthest=20)
    assert result.steps[1] == pytest.approx(10 * result.steps[0], rel=0.02)
    np.testing.assert_allclose(result.per_factor, result.per_factor[0], rtol=0.02)
    with pytest.warns(MetricWarning, match=r"directions \[1\] change less than was asked even 1 deviations away"):
        matched_rescoring(pixels, axes, lambda x: x.flatten(1), change=0.4, furthest=1)


def test_the_best_of_many_that_do_nothing_is_not_credited(generator):
    """Answers at random: what was chosen has an effect where it was chosen, and none elsewhere."""
    directions = GlobalDirections.random(generator.latent_dim, 8, torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(0)
    latents = generator.sample(300, torch.Generator().manual_seed(2))
    result = matched_rescoring(
        generator, directions, lambda x: torch.randn(len(x), 40, generator=noise), latents=latents
    )
    chosen = np.abs(result.matrix).max(axis=0).mean()
    assert chosen > 0.08  # the largest of eight means of a hundred halved differences of noise
    assert abs(result.per_factor.mean()) < 0.03  # forty means of two hundred: 0.05 each


def test_refusals(generator, directions):
    def ask(judge=colours, **settings):
        return matched_rescoring(generator, directions, judge, **{"num_latents": 9, **settings})

    with pytest.raises(ValueError, match="change must be positive and finite, got 0"):
        ask(change=0)
    with pytest.raises(ValueError, match="furthest must be positive and finite, got inf"):
        ask(furthest=float("inf"))
    with pytest.raises(ValueError, match="matched rescoring needs at least 4 latents, got 3"):
        ask(num_latents=3)
    with pytest.raises(ValueError, match="the predictor judged 0 of 9 images before any step; need 2"):
        ask(lambda x: x.mean((2, 3)) * torch.nan)
    with pytest.raises(ValueError, match="an attribute is the same in all images before any step"):
        ask(lambda x: 0 * x.mean((2, 3)))
    with pytest.raises(ValueError, match="the predictor returned values that are not finite"):
        ask(lambda x: x.mean((2, 3)) / 0)
    asked = []

    def once(images):
        asked.append(len(images))
        return images.mean((2, 3)) * (1 if len(asked) == 1 else torch.nan)

    with pytest.raises(ValueError, match="could judge no latent both forwards and back along direction 0"):
        ask(once)
    nothing = torch.nn.Linear(8, 3)
    torch.nn.init.zeros_(nothing.weight)
    white = cf.wrap(
        torch.nn.Sequential(nothing, torch.nn.Unflatten(1, (3, 1, 1))), latent_dim=8, image_range=(-8.0, 8.0)
    )
    with pytest.raises(ValueError, match="the generator's images do not differ"):
        matched_rescoring(white, directions, lambda x: torch.rand(len(x)), num_latents=6)
