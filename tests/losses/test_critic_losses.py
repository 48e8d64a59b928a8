"""The players' losses against loops, and the gradient penalty against derivatives by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from contrafact.losses.adversarial import critic_loss, frozen, gradient_penalty


def test_wasserstein_loss_is_the_difference_of_means():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 5.0])
    assert critic_loss(real, fake, "wgan_gp") == pytest.approx(2.5 - 2.0)


def test_hinge_loss_matches_a_loop():
    real, fake = torch.randn(7), torch.randn(7)
    expected = sum(max(0.0, 1 - float(r)) for r in real) / 7 + sum(max(0.0, 1 + float(f)) for f in fake) / 7
    assert float(critic_loss(real, fake, "hinge")) == pytest.approx(expected, rel=1e-6)


def test_gradient_penalty_of_a_two_layer_critic_by_hand():
    """D(x) = v · tanh(W x): its gradient is Wᵀ (v (1 − tanh²)), written out in numpy at each mixture."""
    torch.manual_seed(0)
    weight, vector = torch.randn(5, 12), torch.randn(5)
    real, fake, mix = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2), torch.rand(4)
    found = gradient_penalty(lambda x: torch.tanh(x.flatten(1) @ weight.T) @ vector, real, fake, mix)
    total = 0.0
    for n in range(4):
        share = float(mix[n])
        x = (share * real[n] + (1 - share) * fake[n]).numpy().ravel()
        slope = vector.numpy() * (1 - np.tanh(weight.numpy() @ x) ** 2)
        total += (np.linalg.norm(weight.numpy().T @ slope) - 1) ** 2
    assert float(found) == pytest.approx(total / 4, rel=1e-5)


def test_gradient_of_the_penalty_matches_finite_differences():
    torch.manual_seed(1)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    real, fake, mix = torch.rand(3, 2, 2, 2).double(), torch.rand(3, 2, 2, 2).double(), torch.rand(3).double()

    def value() -> torch.Tensor:
        return gradient_penalty(lambda x: critic(x).squeeze(1), real, fake, mix)

    value().backward()
    weight, step = critic[1].weight, 1e-6
    for row, column in ((0, 0), (3, 5)):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[row, column] += sign * step
            ends.append(float(value()))
            with torch.no_grad():
                weight[row, column] -= sign * step
        # The penalty itself is computed in float32 past the norm's input, hence the tolerance.
        assert float(weight.grad[row, column]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.1, abs=1e-3)


def test_no_gradient_of_the_penalty_reaches_the_generated_images():
    fake = torch.rand(2, 1, 2, 2, requires_grad=True)
    critic = nn.Linear(4, 1)
    gradient_penalty(lambda x: critic(x.flatten(1)).squeeze(1), torch.rand(2, 1, 2, 2), fake, torch.rand(2)).backward()
    assert fake.grad is None
    assert critic.weight.grad is not None


def test_frozen_networks_pass_gradients_on_and_take_none():
    layer, images = nn.Linear(3, 1), torch.rand(2, 3, requires_grad=True)
    with frozen(layer):
        loss = layer(images).sum()
    loss.backward()
    assert layer.weight.grad is None
    assert images.grad is not None
    assert layer.weight.requires_grad
