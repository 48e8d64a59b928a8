"""β-VAE: a VAE whose codes pay β times for what they tell (Higgins et al. 2017).

β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Higgins, Matthey, Pal, Burgess, Glorot,
Botvinick, Mohamed & Lerchner, ICLR 2017, https://openreview.net/forum?id=Sy2fzU9gl. β = 4 is what the paper settles on
for its synthetic images; networks and optimiser are those of Locatello et al. 2019.

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
from contrafact.losses.independence import kl_to_standard_normal
from contrafact.methods._variational import QUICK, Variational, active


@dataclass(frozen=True)
class BetaVAE(Variational):
    """β-VAE (Eq. 4).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.BetaVAE.preset("quick", beta=4.0, width=0.1, steps=2).fit(images, "runs/beta-vae")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 10]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "quick": QUICK}

    beta: Weight = 4.0
    """Weight β of the KL term; 1 is a plain VAE."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise reconstruction + β · KL."""
        vae = self.start(source, run)
        for step in run.steps(self.steps, vae.state):
            images = vae.batch()
            codes = vae.posterior(images)
            reconstruction = vae.reconstruction(codes.sample, images)
            divergence_J = kl_to_standard_normal(codes.mean, codes.log_variance)
            loss = reconstruction + self.weight(step) * self.beta * divergence_J.sum()
            vae.descend(loss)
            run.log(loss=loss, reconstruction=reconstruction, kl=divergence_J.sum(), active=active(divergence_J))
        return vae.artefacts()
