import pytest
import torch
from torch.distributions import Bernoulli, Normal

from contrafact.losses.likelihood import reconstruction_loss


def test_gaussian_term_is_the_log_likelihood_up_to_its_constant():
    logits, images, sigma = torch.randn(4, 3, 5, 5), torch.rand(4, 3, 5, 5), 0.3
    log_likelihood = Normal(torch.sigmoid(logits), sigma).log_prob(images).sum() / 4
    constant = 75 * Normal(0.0, sigma).log_prob(torch.zeros(()))
    expected = constant - log_likelihood
    torch.testing.assert_close(reconstruction_loss(logits, images, "gaussian", sigma), expected)


def test_bernoulli_term_is_the_log_likelihood():
    logits, images = torch.randn(4, 3, 5, 5), torch.rand(4, 3, 5, 5).round()
    expected = -Bernoulli(logits=logits).log_prob(images).sum() / 4
    torch.testing.assert_close(reconstruction_loss(logits, images, "bernoulli", 1.0), expected)


def test_an_unknown_likelihood():
    with pytest.raises(ValueError, match="unknown likelihood 'gauss'; did you mean 'gaussian'"):
        reconstruction_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), "gauss", 1.0)
