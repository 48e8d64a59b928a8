import math

import pytest
import torch

from contrafact.generators import Analytic


def _sweeps(generator: Analytic, steps: int = 5) -> torch.Tensor:
    """Latents (K, steps, L): one factor from −2 to 2, the others zero."""
    count = len(generator.factor_names)
    factors = torch.zeros(count, steps, count)
    index = torch.arange(count)
    factors[index, :, index] = torch.linspace(-2, 2, steps)
    return generator.latent_of(factors.view(-1, count)).view(count, steps, -1)


@pytest.mark.parametrize("scene", ["sprite", "room"])
@pytest.mark.parametrize("warp", [False, True])
def test_every_factor_is_visible_and_images_stay_in_range(scene, warp):
    generator = Analytic(scene, size=32, dead_dims=2, warp=warp)
    sweeps = _sweeps(generator)
    images = generator(sweeps.flatten(0, 1)).view(*sweeps.shape[:2], 3, 32, 32)
    change = (images[:, 1:] - images[:, :-1]).abs().mean(dim=(1, 2, 3, 4))
    assert (change > 0.003).all(), dict(zip(generator.factor_names, change.tolist(), strict=True))
    many = generator(3 * generator.sample(64, torch.Generator().manual_seed(0)))
    assert float(many.min()) >= 0
    assert float(many.max()) <= 1


@pytest.mark.parametrize("scene", ["sprite", "room"])
def test_gradients_match_finite_differences(scene):
    generator = Analytic(scene, size=12, warp=True).double()
    latent = generator.sample(3, torch.Generator().manual_seed(1)).double().requires_grad_()
    assert torch.autograd.gradcheck(generator, (latent,), eps=1e-6, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("scene", ["sprite", "room"])
def test_gradients_are_finite_far_out(scene):
    generator = Analytic(scene, size=16)
    latent = torch.cat((torch.zeros(1, 8), 8 * torch.eye(8), -8 * torch.eye(8))).requires_grad_()
    generator(latent).square().sum().backward()
    assert torch.isfinite(latent.grad).all()


@pytest.mark.parametrize("scene", ["sprite", "room"])
@pytest.mark.parametrize("warp", [False, True])
def test_mixed_precision_draws_the_same_picture_with_the_same_gradient(scene, warp):
    generator = Analytic(scene, size=24, warp=warp)
    latent = (3 * generator.sample(8, seed=0)).requires_grad_()
    plain = generator(latent)
    (slope,) = torch.autograd.grad(plain.square().sum(), latent)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = generator(latent)
    (mixed_slope,) = torch.autograd.grad(mixed.square().sum(), latent)
    assert torch.equal(mixed, plain)
    assert bool(slope.isfinite().all())
    torch.testing.assert_close(mixed_slope, slope)


def test_a_true_direction_changes_its_factor_and_no_other():
    generator = Analytic("sprite", size=8, dead_dims=3)
    latent = generator.sample(5, torch.Generator().manual_seed(2))
    for k, direction in enumerate(generator.true_directions()):
        moved = generator.factors(latent + 1.5 * direction) - generator.factors(latent)
        assert torch.allclose(moved, 1.5 * torch.eye(8)[k].expand(5, 8), atol=1e-5)


def test_dead_dimensions_change_nothing():
    generator = Analytic("sprite", size=16, dead_dims=2)
    latent = generator.sample(4, torch.Generator().manual_seed(3))
    dead = generator.mix.T[8:]
    assert torch.allclose(generator(latent), generator(latent + 2 * dead[0] - dead[1]), atol=1e-5)


def test_factors_and_latents_are_each_others_inverse_under_the_warp():
    generator = Analytic("room", size=8, dead_dims=1, warp=True)
    factors = torch.randn(6, 8, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(generator.factors(generator.latent_of(factors)), factors, atol=1e-5)


def test_true_tangents_match_small_steps_and_differ_between_places():
    generator = Analytic("room", size=8, dead_dims=2, warp=True).double()
    latent = generator.sample(4, torch.Generator().manual_seed(5)).double()
    tangents = generator.true_tangents(latent)
    assert torch.allclose(tangents.norm(dim=2), torch.ones(4, 8, dtype=torch.double))
    step = 1e-6
    for k in range(8):
        moved = (generator.factors(latent + step * tangents[:, k]) - generator.factors(latent)) / step
        others = torch.cat((moved[:, :k], moved[:, k + 1 :]), dim=1)
        assert others.abs().max() < 1e-4
        assert (moved[:, k] > 0.05).all()
    assert (tangents[0] * tangents[1]).sum(1).min() < 0.98


def test_unwarped_tangents_are_the_true_directions():
    generator = Analytic("sprite", size=8, dead_dims=1)
    tangents = generator.true_tangents(generator.sample(2, torch.Generator().manual_seed(0)))
    assert torch.allclose(tangents, generator.true_directions().expand(2, -1, -1), atol=1e-6)


def test_without_a_mix_factors_are_the_axes():
    generator = Analytic("sprite", size=8, mix_seed=None)
    assert torch.equal(generator.true_directions(), torch.eye(8))


def test_the_prior_makes_standard_normal_factors():
    generator = Analytic("sprite", size=8, dead_dims=4)
    factors = generator.factors(generator.sample(20_000, torch.Generator().manual_seed(0)))
    assert factors.mean(0).abs().max() < 5 / math.sqrt(20_000)
    assert torch.allclose(torch.cov(factors.T), torch.eye(8), atol=0.05)


def test_a_warped_scene_has_no_global_directions():
    with pytest.raises(ValueError, match="true_tangents"):
        Analytic(warp=True).true_directions()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scene": "sprit"}, "unknown scene 'sprit'; did you mean 'sprite'"),
        ({"dead_dims": -1}, "dead_dims must be a whole number of at least 0, got -1"),
        ({"size": 0}, "size"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Analytic(**arguments)


def test_factors_refuses_latents_of_another_size():
    with pytest.raises(ValueError, match=r"expects latents of shape \(N, 8\)"):
        Analytic().factors(torch.zeros(2, 9))
