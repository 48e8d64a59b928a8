"""Losses of a GAN's two players: Wasserstein with gradient penalty, or hinge. Pure functions.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Adversary = Literal["wgan_gp", "hinge"]


def critic_loss(real_N: Tensor, fake_N: Tensor, adversary: Adversary) -> Tensor:
    """What the critic minimises, of its scores of real and of generated images; the penalty is added apart.

    Args:
        real_N: scores of real images.
        fake_N: scores of generated ones.
        adversary: ``wgan_gp``: mean fake − mean real (Gulrajani et al. 2017, Eq. 3); ``hinge``: mean (1 − real)₊ +
            mean (1 + fake)₊ (Miyato et al. 2018, Eq. 16).
    """
    if adversary == "hinge":
        return F.relu(1 - real_N).mean() + F.relu(1 + fake_N).mean()
    return fake_N.mean() - real_N.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix_N: Tensor) -> Tensor:
    """``E (‖∇D(x̂)‖ − 1)²`` between real and generated images (Gulrajani et al. 2017, Eq. 3).

    Args:
        critic: images to scores ``(N,)``.
        real: ``(N, C, H, W)``.
        fake: of the same shape; no gradient flows to it.
        mix_N: share of the real image in each mixture, in [0, 1].
    """
    between = torch.lerp(fake.detach(), real, mix_N.view(-1, 1, 1, 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    excess: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return excess


def information_loss(logits_NK: Tensor, classes_N: Tensor, means_NJ: Tensor, codes_NJ: Tensor) -> tuple[Tensor, Tensor]:
    """−log Q(c | x) of InfoGAN (Chen et al. 2016, Eq. 5), constants left out: of the class, and of the uniform codes.

    Args:
        logits_NK: Q's class scores.
        classes_N: the class drawn.
        means_NJ: Q's means of the codes, a Gaussian of standard deviation 1 around each.
        codes_NJ: the codes drawn.

    Returns:
        cross-entropy, and half the squared error summed over codes; both means over images.
    """
    of_class = F.cross_entropy(logits_NK, classes_N)
    return of_class, 0.5 * (means_NJ - codes_NJ).square().sum(dim=1).mean()


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within the block no gradient is computed for the modules' weights, only through them."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
