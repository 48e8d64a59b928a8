"""The white space, and which of its directions are one factor."""

import numpy as np
import pytest
import torch

from contrafact.nn.direction_groups import circles
from contrafact.nn.whitening import whitening


def normal(count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def test_a_normal_distribution_is_white_afterwards():
    root = normal(5, 5, 1)
    latents = normal(20_000, 5) @ root + 3.0
    white = whitening(latents)
    torch.testing.assert_close(white.center_L, latents.mean(dim=0), atol=0.1, rtol=0)
    # 20,000 draws of which 60 % count: covariances to about 1 %.
    torch.testing.assert_close(torch.cov(white.coordinates(latents).T), torch.eye(5).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(white.dual_RL @ white.axes_RL.T, torch.eye(5).double())


def test_far_outliers_hardly_matter():
    latents = normal(20_000, 3)
    spoilt = torch.cat([latents, latents[:1000] * 50 + torch.tensor([90.0, 0, 0])])
    clean, robust = whitening(latents), whitening(spoilt)
    torch.testing.assert_close(robust.axes_RL.norm(dim=1), clean.axes_RL.norm(dim=1), rtol=0.1, atol=0)
    assert float((robust.center_L - clean.center_L).abs().max()) < 0.3
    assert float((spoilt.mean(dim=0) - clean.center_L).abs().max()) > 3


def test_dimensions_that_latents_do_not_fill_are_no_axes():
    latents = normal(1000, 2) @ torch.tensor([[1.0, 0, 1], [0, 2, 0]]).double()
    white = whitening(latents)
    assert white.axes_RL.shape == (2, 3)
    torch.testing.assert_close(white.center_L + white.coordinates(latents) @ white.axes_RL, latents)


def test_bad_latents():
    with pytest.raises(ValueError, match=r"N at least 2·L .* got \(3, 2\)"):
        whitening(torch.randn(3, 2))
    with pytest.raises(ValueError, match="all latents are equal"):
        whitening(torch.ones(10, 2))


def hues(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents on a ring beside a line, and the brightness profiles of pixels that show the hue, or the position."""
    rng = np.random.default_rng(0)
    angle, line = rng.uniform(0, 2 * np.pi, 4000), rng.standard_normal(4000)
    ring = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * rng.standard_normal((4000, 2))
    profiles = np.zeros((40, 3))
    profiles[:20, :2], profiles[20:, 2] = rng.uniform(0.8, 1.2, (20, 1)), 1.0
    return torch.from_numpy(profiles), torch.from_numpy(np.column_stack([ring, line]))


def test_a_hue_is_one_circle_and_a_line_is_itself():
    profiles, latents = hues(0.1)
    assert circles(profiles, latents, torch.Generator().manual_seed(0)) == [[0, 1], [2]]


def test_less_alike_profiles_are_one_factor_only_where_latents_lie_on_a_ring():
    profiles, latents = hues(0.1)
    profiles[:4, 0] *= 0.45
    alike = torch.nn.functional.cosine_similarity(profiles[:, 0], profiles[:, 1], dim=0)
    assert 0.95 < alike < 0.988
    rng = torch.Generator().manual_seed(0)
    assert circles(profiles, latents, rng) == [[0, 1], [2]]
    assert circles(profiles, normal(4000, 3), rng) == [[0], [1], [2]]


def test_the_most_alike_two_of_three_go_together():
    profiles = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.1, 0.11]])
    assert circles(profiles, normal(100, 3), torch.Generator().manual_seed(0)) == [[0], [1, 2]]
