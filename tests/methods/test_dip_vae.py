"""DIP-VAE's covariance and its distances against loops and numpy."""

import numpy as np
import pytest
import torch

from contrafact.methods.dip_vae import codes_covariance, distances_from_identity


def test_covariance_of_the_means_is_numpys():
    mean = torch.randn(40, 4, dtype=torch.float64)
    torch.testing.assert_close(codes_covariance(mean), torch.from_numpy(np.cov(mean.numpy(), rowvar=False, bias=True)))


def test_covariance_of_the_codes_is_that_of_many_samples():
    """The law of total covariance, by drawing from the posteriors."""
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(6, 3, generator=rng), torch.randn(6, 3, generator=rng)
    drawn = mean + (0.5 * log_variance).exp() * torch.randn(100_000, 6, 3, generator=rng)
    expected = np.cov(drawn.flatten(0, 1).numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(codes_covariance(mean, log_variance).numpy(), expected, atol=0.02)


def test_distances_match_a_loop():
    covariance = torch.randn(4, 4)
    covariance = covariance @ covariance.T
    off = sum(float(covariance[j, k]) ** 2 for j in range(4) for k in range(4) if j != k)
    on = sum((float(covariance[j, j]) - 1) ** 2 for j in range(4))
    found = distances_from_identity(covariance)
    assert [float(value) for value in found] == [pytest.approx(off, rel=1e-5), pytest.approx(on, rel=1e-5)]
    assert [float(value) for value in distances_from_identity(torch.eye(4))] == [0.0, 0.0]
