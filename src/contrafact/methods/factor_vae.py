"""FactorVAE: a VAE whose codes must look independent to a discriminator (Kim & Mnih 2018).

Disentangling by Factorising, Kim & Mnih, ICML 2018, https://arxiv.org/abs/1802.05983. γ = 10 as in DisCo's appendix
A.2; networks and optimisers of Locatello et al. 2019. A step draws two batches, as Algorithm 2 does: one trains the
VAE, the codes of the other, permuted within each dimension, stand for independent ones.

Shape suffixes: N images, J latent dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Rate, Weight, Width
from contrafact.core.run import Run
from contrafact.losses.independence import kl_to_standard_normal
from contrafact.methods._variational import QUICK, Variational, active
from contrafact.nn.encoders import glorot_init

LAYERS, UNITS = 6, 1000
"""Hidden layers of the discriminator and their width, in the paper."""


@dataclass(frozen=True)
class FactorVAE(Variational):
    """FactorVAE (Algorithm 2).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.FactorVAE.preset("quick", width=0.1, steps=2, batch_size=8).fit(images, "runs/factor-vae")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 10]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": QUICK | {"discriminator_width": 0.2, "discriminator_learning_rate": 2e-3},
    }

    gamma: Weight = 10.0
    """Weight γ of the total correlation, as the discriminator sees it; 0 is a plain VAE."""
    discriminator_width: Width = 1.0
    """Multiplies the 1000 units of the discriminator's six layers."""
    discriminator_learning_rate: Rate = 1e-4
    """Adam's learning rate for the discriminator."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise reconstruction + KL + γ · total correlation, and in turn the discriminator that estimates it."""
        vae = self.start(source, run)
        with run.seeded_init("discriminator"):
            discriminator = make_discriminator(self.latent_dim, self.discriminator_width).to(run.device)
        critics = list(discriminator.parameters())
        optimizer = torch.optim.Adam(critics, lr=self.discriminator_learning_rate, betas=(0.5, 0.9))
        permutation_rng = run.rng("permutation")
        state = {"discriminator": discriminator, "critic": optimizer, "permutation": permutation_rng}

        for step in run.steps(self.steps, vae.state | state):
            images = vae.batch()
            codes = vae.posterior(images)
            reconstruction = vae.reconstruction(codes.sample, images)
            divergence_J = kl_to_standard_normal(codes.mean, codes.log_variance)
            discriminator.requires_grad_(False)
            correlation = density_ratio(discriminator(codes.sample))
            penalty = divergence_J.sum() + self.gamma * correlation
            loss = reconstruction + self.weight(step) * penalty
            vae.descend(loss)

            with torch.no_grad():
                others = vae.posterior(vae.batch()).sample
                independent = permute_codes(others, permutation_rng)
            discriminator.requires_grad_(True)
            logits = discriminator(torch.cat([codes.sample.detach(), independent]))
            critic_loss = discriminator_loss(*logits.chunk(2))
            optimizer.zero_grad(set_to_none=True)
            run.backward(critic_loss, critics)
            optimizer.step()
            scalars = {"kl": divergence_J.sum(), "active": active(divergence_J), "total_correlation": correlation}
            run.log(loss=loss, reconstruction=reconstruction, discriminator=critic_loss, **scalars)
        return vae.artefacts()


def make_discriminator(latent_dim: int, width: float = 1.0) -> nn.Sequential:
    """Six layers of 1000 leaky ReLUs and two logits: codes as they are, or permuted."""
    units = max(8, round(UNITS * width))
    layers: list[nn.Module] = []
    for inputs in [latent_dim] + [units] * (LAYERS - 1):
        layers += [nn.Linear(inputs, units), nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(*layers, nn.Linear(units, 2))
    # torch's own initialisation shrinks what six layers pass on, and the discriminator sees nothing for long.
    glorot_init(discriminator)
    return discriminator


def permute_codes(sample_NJ: Tensor, rng: torch.Generator) -> Tensor:
    """Each dimension's values in an order of its own: the marginals stay, every dependence goes."""
    order_NJ = torch.rand(sample_NJ.shape, generator=rng).argsort(dim=0).to(sample_NJ.device)
    return sample_NJ.gather(0, order_NJ)


def density_ratio(logits_N2: Tensor) -> Tensor:
    """Total correlation as the discriminator estimates it: mean log-ratio of "as they are" to "permuted"."""
    return (logits_N2[:, 0] - logits_N2[:, 1]).mean()


def discriminator_loss(logits_real_N2: Tensor, logits_permuted_N2: Tensor) -> Tensor:
    """Cross-entropy of telling codes as they are (class 0) from permuted ones (class 1)."""
    labels = torch.arange(2, device=logits_real_N2.device).repeat_interleave(len(logits_real_N2))
    return F.cross_entropy(torch.cat([logits_real_N2, logits_permuted_N2]), labels)
