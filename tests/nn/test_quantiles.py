"""A prior of measured quantiles draws what it was measured on."""

import torch

from contrafact.nn.quantiles import at_quantiles, measured_quantiles, normal_quantiles


def test_draws_are_distributed_as_what_was_measured():
    rng = torch.Generator().manual_seed(0)
    latents = torch.stack([torch.rand(5000, generator=rng) ** 3, -torch.randn(5000, generator=rng).exp()], dim=1)
    drawn = at_quantiles(measured_quantiles(latents), torch.randn(20_000, 2, generator=rng))
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        want = torch.quantile(latents, level, dim=0)
        below = (drawn < want).double().mean(dim=0)
        torch.testing.assert_close(below, torch.full((2,), level).double(), rtol=0, atol=0.02)


def test_noise_at_0_is_the_median_and_noise_far_out_the_ends():
    latents = torch.linspace(-2, 6, 1001)[:, None]
    quantiles = measured_quantiles(latents)
    made = at_quantiles(quantiles, torch.tensor([[0.0], [-9.0], [9.0]]))
    torch.testing.assert_close(made, torch.tensor([[2.0], [-2.0], [6.0]]))
    assert normal_quantiles(3).shape == (3, quantiles.shape[1])
