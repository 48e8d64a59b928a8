"""Adversarial losses against plain sums, the penalties against gradients and Jacobians written out."""

import math
import warnings

import pytest
import torch
from torch import nn

from contrafact.generators import StyleGAN2
from contrafact.losses import adversarial

REAL, FAKE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-3.0, 0.2, 1.5])


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_logistic_losses():
    expected = -sum(math.log(_sigmoid(x)) for x in REAL.tolist()) / 3
    expected -= sum(math.log(1 - _sigmoid(x)) for x in FAKE.tolist()) / 3
    assert float(adversarial.logistic_discriminator_loss(REAL, FAKE)) == pytest.approx(expected, rel=1e-5)
    expected = -sum(math.log(_sigmoid(x)) for x in FAKE.tolist()) / 3
    assert float(adversarial.logistic_generator_loss(FAKE)) == pytest.approx(expected, rel=1e-5)


def test_hinge_losses():
    # max(0, 1 − 2), max(0, 1.5), max(0, 0.7); max(0, −2), max(0, 1.2), max(0, 2.5)
    assert float(adversarial.hinge_discriminator_loss(REAL, FAKE)) == pytest.approx(2.2 / 3 + 3.7 / 3)
    assert float(adversarial.hinge_generator_loss(FAKE)) == pytest.approx(1.3 / 3)


def test_r1_of_a_quadratic_by_hand():
    """score = a·x + ½ b ‖x‖²: its gradient is a + b x."""
    torch.manual_seed(0)
    images, a = torch.randn(3, 1, 2, 2, dtype=torch.float64, requires_grad=True), torch.randn(4, dtype=torch.float64)
    b = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    flat = images.flatten(1)
    penalty = adversarial.r1_penalty(flat @ a + b / 2 * flat.square().sum(dim=1), images)
    expected = (a + 0.7 * images.detach().flatten(1)).square().sum(dim=1).mean()
    torch.testing.assert_close(penalty, expected)
    # and it can be learned from: d/db of the mean of ‖a + b x‖²
    x = images.detach().flatten(1)
    torch.testing.assert_close(torch.autograd.grad(penalty, b)[0], (2 * x * (a + 0.7 * x)).sum(dim=1).mean())


def test_r1_of_a_network_by_differences():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    images = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    penalty = adversarial.r1_penalty(network(images).squeeze(1), images)
    step, expected = 1e-5, 0.0
    for n in range(2):
        for place in range(12):
            moved = torch.zeros(12, dtype=torch.float64)
            moved[place] = step
            up, down = (network(images[n : n + 1] + s * moved.view(1, 3, 2, 2)) for s in (1, -1))
            expected += ((up - down) / (2 * step)).item() ** 2 / 2
    assert penalty.item() == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    generator = StyleGAN2(8, latent_dim=4, channels=[3, 3], mapping_layers=1, image_channels=2).double()
    return generator


def test_path_lengths_are_those_of_the_jacobian(tiny):
    latent = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    lengths = adversarial.path_lengths(tiny(latent), latent, noise)
    for n in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda w: tiny(w[None])[0], latent[n].detach())  # (2, 8, 8, 4)
        expected = (jacobian.flatten(0, 2).T @ noise[n].flatten()).norm() / 8
        torch.testing.assert_close(lengths[n], expected)


def test_path_lengths_over_layers_are_the_root_of_their_mean_square(tiny):
    latent = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    lengths = adversarial.path_lengths(tiny(latent), latent, noise)
    jacobian = torch.autograd.functional.jacobian(lambda w: tiny(w[None])[0], latent[1].detach())  # (2, 8, 8, 4, 4)
    per_layer = torch.einsum("chwkl,chw->kl", jacobian, noise[1]).norm(dim=1) / 8
    torch.testing.assert_close(lengths[1], per_layer.square().mean().sqrt())


def test_path_penalty_can_be_learned_from(tiny):
    """Its gradient to a weight, a derivative through a derivative, against a difference."""
    latent = torch.randn(2, 4, 4, dtype=torch.float64)
    noise = torch.randn(2, 2, 8, 8, dtype=torch.float64)

    def penalty():
        w = latent.clone().requires_grad_()
        return (adversarial.path_lengths(tiny(w), w, noise) - 0.3).square().mean()

    weight = tiny.convs[1].weight
    (gradient,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight[1, 2, 0, 1] += sign * 1e-5
            with torch.enable_grad():
                values.append(float(penalty()))
            weight[1, 2, 0, 1] -= sign * 1e-5
    assert float(gradient[1, 2, 0, 1]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_the_path_penalty_follows_the_running_mean():
    penalty = adversarial.PathLengthPenalty(decay=0.25)
    first = penalty(torch.tensor([2.0, 6.0]))
    assert float(penalty.mean) == 1.0
    assert float(first) == pytest.approx((1 + 25) / 2)
    penalty(torch.tensor([5.0]))
    assert float(penalty.mean) == 2.0
    assert set(penalty.state_dict()) == {"mean"}
    lengths = torch.tensor([3.0], requires_grad=True)
    # (l − (¾·2 + ¼·l))², whose derivative at 3 is 2 · 0.75 · ¾
    penalty(lengths).backward()
    torch.testing.assert_close(lengths.grad, torch.tensor([2 * 0.75 * 0.75]))


def test_spread():
    images = torch.rand(5, 3, 4, 4)
    assert float(adversarial.spread(images)) == pytest.approx(float(images.var(dim=0).mean()) ** 0.5)
    assert float(adversarial.spread(images[:1].expand(4, -1, -1, -1))) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"spread": 0.05}, r"collapsed: its images differ 0.05 times as much .* Try a lower learning rate"),
        ({"spread": 0.9, "real_score": 20.0, "fake_score": -3.0}, r"run away: real images score 20.0, .* augmentation"),
    ],
)
def test_trouble_is_told_with_a_remedy(line, message):
    with pytest.warns(UserWarning, match=message):
        assert adversarial.warn_of_trouble(line, 100, 1000)


@pytest.mark.parametrize("step", [0, 500])
def test_no_warning_early_or_when_all_is_well(step):
    healthy = {"spread": 1.1, "real_score": 0.8, "fake_score": -0.7}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not adversarial.warn_of_trouble(healthy if step else {"spread": 0.0}, step, 1000)
