"""DIP-VAE: a VAE whose codes are kept uncorrelated over the data, versions I and II (Kumar et al. 2018).

Variational Inference of Disentangled Latent Concepts from Unlabeled Observations, Kumar, Sattigeri & Balakrishnan, ICLR
2018, https://openreview.net/forum?id=H1kG7GZAW. Networks and optimiser of Locatello et al. 2019, as is λ_d: ten times
λ_od for I, equal to it for II.

Shape suffixes: N images, J latent dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Weight
from contrafact.core.run import Run
from contrafact.losses.independence import kl_to_standard_normal
from contrafact.methods._variational import QUICK, Variational, active


@dataclass(frozen=True)
class DIPVAE(Variational):
    """Disentangled inferred prior VAE (Eqs 6 and 7).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.DIPVAE.preset("quick", width=0.1, steps=2).fit(images, "runs/dip-vae")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 10]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "quick": QUICK}

    version: Literal["i", "ii"] = "i"
    """What must have unit covariance: i, the posteriors' means; ii, the codes drawn from the posteriors."""
    off_diagonal: Weight = 10.0
    """Weight λ_od of the squared covariances between different codes."""
    diagonal: Weight | None = None
    """Weight λ_d of the squared distance of each variance from 1; empty: 10 λ_od for version i, λ_od for ii."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise reconstruction + KL + λ_od · Σ_{j≠k} Cov_jk² + λ_d · Σ_j (Cov_jj − 1)²."""
        factor = 10.0 if self.version == "i" else 1.0
        diagonal = factor * self.off_diagonal if self.diagonal is None else self.diagonal
        vae = self.start(source, run)
        for step in run.steps(self.steps, vae.state):
            images = vae.batch()
            codes = vae.posterior(images)
            reconstruction = vae.reconstruction(codes.sample, images)
            divergence_J = kl_to_standard_normal(codes.mean, codes.log_variance)
            covariance_JJ = codes_covariance(codes.mean, codes.log_variance if self.version == "ii" else None)
            off_diagonal_error, diagonal_error = distances_from_identity(covariance_JJ)
            penalty = divergence_J.sum() + self.off_diagonal * off_diagonal_error + diagonal * diagonal_error
            loss = reconstruction + self.weight(step) * penalty
            vae.descend(loss)
            scalars = {"kl": divergence_J.sum(), "active": active(divergence_J), "off_diagonal": off_diagonal_error}
            run.log(loss=loss, reconstruction=reconstruction, diagonal=diagonal_error, **scalars)
        return vae.artefacts()


def codes_covariance(mean_NJ: Tensor, log_variance_NJ: Tensor | None = None) -> Tensor:
    """Covariance ``(J, J)`` over the batch of the means; with log-variances, of codes drawn from the posteriors."""
    centred_NJ = mean_NJ - mean_NJ.mean(dim=0)
    covariance_JJ = centred_NJ.T @ centred_NJ / len(mean_NJ)
    return covariance_JJ if log_variance_NJ is None else covariance_JJ + log_variance_NJ.exp().mean(dim=0).diag()


def distances_from_identity(covariance_JJ: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of squares off the diagonal, and of the diagonal's distances from 1."""
    variance_J = covariance_JJ.diagonal()
    return (covariance_JJ - variance_J.diag()).square().sum(), (variance_J - 1).square().sum()
