"""β-TCVAE: a VAE that pays β times for dependence between its codes, estimated from the batch (Chen et al. 2018).

Isolating Sources of Disentanglement in Variational Autoencoders, Chen, Li, Grosse & Duvenaud, NeurIPS 2018,
https://arxiv.org/abs/1802.04942. β = 6 as in DisCo's appendix A.2; networks and optimiser of Locatello et al. 2019.

Deviations: α = γ = 1, so the loss is the closed-form KL + (β − 1) · total correlation, which has less noise than the
sum of three estimates; the estimator's constant log N, which no gradient sees, is left out of what is logged.

Shape suffixes: J latent dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Weight
from contrafact.core.run import Run
from contrafact.losses.independence import Estimator, kl_terms, kl_to_standard_normal
from contrafact.methods._variational import QUICK, Variational, active


@dataclass(frozen=True)
class BetaTCVAE(Variational):
    """β-TCVAE (Eq. 4 with α = γ = 1).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.BetaTCVAE.preset("quick", beta=6.0, width=0.1, steps=2).fit(images, "runs/tcvae")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 10]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "quick": QUICK}

    beta: Weight = 6.0
    """Weight β of the total correlation; 1 is a plain VAE."""
    estimator: Estimator = "weighted"
    """Densities from the batch: minibatch-weighted sampling, or stratified sampling, unbiased but noisier."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise reconstruction + KL + (β − 1) · total correlation."""
        vae = self.start(source, run)
        for step in run.steps(self.steps, vae.state):
            images = vae.batch()
            codes = vae.posterior(images)
            reconstruction = vae.reconstruction(codes.sample, images)
            divergence_J = kl_to_standard_normal(codes.mean, codes.log_variance)
            terms = kl_terms(codes, len(source), self.estimator)
            penalty = divergence_J.sum() + (self.beta - 1) * terms.total_correlation
            loss = reconstruction + self.weight(step) * penalty
            vae.descend(loss)
            scalars = terms._asdict() | {"kl": divergence_J.sum(), "active": active(divergence_J)}
            run.log(loss=loss, reconstruction=reconstruction, **scalars)
        return vae.artefacts()
