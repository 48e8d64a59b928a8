"""Losses of generative adversarial training: pure functions of scores, high for real images.

Shape suffixes: N images, K classes or layers, J codes, L latent dimensions, C channels, H height, W width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Adversary = Literal["wgan_gp", "hinge"]


def logistic_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """−log σ(real) − log(1 − σ(fake)), means over the batches (Goodfellow et al. 2014)."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def logistic_generator_loss(fake_scores: Tensor) -> Tensor:
    """−log σ(fake), mean over the batch: the non-saturating loss (Goodfellow et al. 2014)."""
    return F.softplus(-fake_scores).mean()


def hinge_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """max(0, 1 − real) + max(0, 1 + fake), means over the batches (Lim & Ye 2017; SNGAN, Eqs 16–17)."""
    return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()


def hinge_generator_loss(fake_scores: Tensor) -> Tensor:
    """−fake, mean over the batch."""
    return -fake_scores.mean()


def critic_loss(real_N: Tensor, fake_N: Tensor, adversary: Adversary) -> Tensor:
    """What the critic minimises, of its scores of real and of generated images; the penalty is added apart.

    Args:
        real_N: scores of real images.
        fake_N: scores of generated ones.
        adversary: ``wgan_gp``: mean fake − mean real (Gulrajani et al. 2017, Eq. 3); ``hinge``: mean (1 − real)₊ +
            mean (1 + fake)₊ (Miyato et al. 2018, Eq. 16).
    """
    if adversary == "hinge":
        return hinge_discriminator_loss(real_N, fake_N)
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


def r1_penalty(real_scores: Tensor, images: Tensor) -> Tensor:
    """‖∇ score‖² at real images, mean over the batch (Mescheder et al. 2018); weigh it by γ/2.

    Args:
        real_scores: ``(N,)``, computed from ``images``.
        images: ``(N, C, H, W)`` that require gradients.
    """
    (gradient,) = torch.autograd.grad(real_scores.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, latent: Tensor, noise: Tensor) -> Tensor:
    """‖Jᵀ y‖ of every image, ``(N,)``: how far it moves per step in W, in the random direction y (StyleGAN2, §3.2).

    Args:
        images: ``(N, C, H, W)``, computed from ``latent``.
        latent: ``(N, L)``, or ``(N, K, L)`` with the mean square over layers, as released.
        noise: standard normal, shaped as the images; it is divided by √(HW), so that lengths do not grow with the side.
    """
    scale = math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum() / scale, latent, create_graph=True)
    squares = gradient.square().sum(dim=-1)
    return (squares if squares.ndim == 1 else squares.mean(dim=1)).sqrt()


class PathLengthPenalty(nn.Module):
    """(length − a)², mean over the batch, where a is the running mean of all lengths so far (StyleGAN2, Eq. 4).

    Args:
        decay: weight of a new mean.

    Attributes:
        mean: a.
    """

    mean: Tensor

    def __init__(self, decay: float = 0.01) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, lengths: Tensor) -> Tensor:
        """Penalty of lengths ``(N,)``; as released, the mean moves first, and the penalty's gradient sees it move."""
        mean = self.mean.lerp(lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return (lengths - mean).square().mean()


def spread(images: Tensor) -> Tensor:
    """Standard deviation over the batch, root-mean-square over pixels: 0 when all images are the same."""
    return images.detach().float().var(dim=0).mean().sqrt()


def trouble(line: Mapping[str, float]) -> str | None:
    """What is going wrong in adversarial training and what to try, or None.

    Args:
        line: means of logged scalars: ``spread`` (of the generator's images, relative to that of real ones),
            ``real_score`` and ``fake_score``.
    """
    if line.get("spread", math.inf) < 0.2:
        return (
            f"the generator has collapsed: its images differ {line['spread']:.2f} times as much as real ones. Try a "
            "lower learning rate, a larger batch_size, or another seed"
        )
    gap = line.get("real_score", 0.0) - line.get("fake_score", 0.0)
    if gap > 15:
        return (
            f"the discriminator has run away: real images score {line['real_score']:.1f}, generated ones "
            f"{line['fake_score']:.1f}, and the generator learns nothing from that. Try a lower learning rate, "
            "stronger regularisation of the discriminator, or augmentation where images are few"
        )
    return None


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


def warn_of_trouble(line: Mapping[str, float], step: int, steps: int) -> bool:
    """Warn of :func:`trouble`, once training has settled (a tenth of the steps); whether it did."""
    found = trouble(line) if step >= steps // 10 else None
    if found is not None:
        warnings.warn(f"step {step}: {found}", stacklevel=2)
    return found is not None
