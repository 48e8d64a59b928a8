"""VAE: an encoder and a generator from images alone (Kingma & Welling 2014).

Auto-Encoding Variational Bayes, ICLR 2014, https://arxiv.org/abs/1312.6114. Networks of DisCo's Tables 7 and 8.

Deviations: LeakyReLU; a Gaussian likelihood of fixed σ is the default because the Bernoulli one lets most latents die
on coloured images; the KL term is warmed up for the same reason. With ``flow_layers`` a second stage fits a flow from
noise to the codes (Dai & Wipf, ICLR 2019), so that samples look as good as reconstructions.

Shape suffixes: N images, J latent dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Layer, Share, Steps
from contrafact.core.run import Run
from contrafact.losses.independence import kl_to_standard_normal
from contrafact.losses.likelihood import Likelihood
from contrafact.methods._variational import Autoencoder, Variational, active
from contrafact.nn.encoders import Network
from contrafact.nn.flow import CouplingFlow

_BRIEF = {"width": 0.5, "batch_size": 96, "learning_rate": 7e-4, "cosine": True, "flow_layers": 8}
FLOW_RATE, FLOW_IMAGES = 1e-3, 20_000


@dataclass(frozen=True)
class VAE(Variational):
    """Variational autoencoder.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.VAE(width=0.1, steps=2, batch_size=8, latent_dim=6).fit(images, "runs/vae")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 6]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": _BRIEF | {"steps": 1500, "flow_steps": 1000},
        "shipped": _BRIEF | {"steps": 6000, "flow_steps": 3000},
    }

    network: Network = "disco"
    """Networks: those of DisCo's Tables 7 and 8, or the small ones of Locatello et al. 2019."""
    likelihood: Likelihood = "gaussian"
    """Reconstruction term: gaussian (squared error) or bernoulli (cross-entropy)."""
    warmup: Share = 0.4
    """Share of the steps over which the KL term's weight rises from 0 to 1."""
    flow_layers: Layer = 0
    """Coupling layers of the second-stage flow; 0 leaves the latent standard normal."""
    flow_steps: Steps = 2000
    """Training steps of the flow, after the others."""

    def grows(self) -> str:
        return "flow_steps" if self.flow_layers else "steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Maximise the evidence lower bound."""
        vae = self.start(source, run, self.flow_layers)
        flow, codes = vae.generator.flow, None
        if flow is not None:
            vae.state["flow_optimizer"] = torch.optim.Adam(flow.parameters(), lr=FLOW_RATE)

        for step in run.steps(self.steps + (self.flow_steps if self.flow_layers else 0), vae.state):
            if step >= self.steps:
                codes = _encode_many(vae, source, run) if codes is None else codes
                _flow_step(flow, vae, codes, 1 - (step - self.steps) / self.flow_steps, run)
                continue
            images = vae.batch()
            posterior = vae.posterior(images)
            reconstruction = vae.reconstruction(posterior.sample, images)
            divergence_J = kl_to_standard_normal(posterior.mean, posterior.log_variance)
            loss = reconstruction + self.weight(step) * divergence_J.sum()
            vae.descend(loss)
            run.log(loss=loss, reconstruction=reconstruction, kl=divergence_J.sum(), active=active(divergence_J))
        return vae.artefacts()


@torch.no_grad()
def _encode_many(vae: Autoencoder, source: ImageDataset, run: Run) -> tuple[Tensor, Tensor]:
    """Posterior means and standard deviations ``(N, J)`` of many images: the flow's training set.

    All images of a small dataset; of a large one some, drawn from a stream of their own, so that a run resumed in the
    second stage sees the same codes.
    """
    rng = run.numpy_rng("codes", shared=True)
    chosen = np.arange(len(source)) if len(source) <= FLOW_IMAGES else rng.integers(len(source), size=FLOW_IMAGES)
    parts = np.split(chosen, range(500, len(chosen), 500))
    posteriors = [vae.encoder.posterior(source.batch(indices).to(run.device)) for indices in parts]
    means, log_variances = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    return means, (0.5 * log_variances).exp()


def _flow_step(flow: CouplingFlow, vae: Autoencoder, codes: tuple[Tensor, Tensor], rate: float, run: Run) -> None:
    """One maximum-likelihood step of the flow on codes drawn from the posteriors; ``rate`` falls from 1 to 0."""
    means, deviations = codes
    if rate == 1.0:
        flow.standardise(means)
    rows = torch.randint(len(means), (512,), generator=vae.state["noise"]).to(means.device)
    loss = flow.negative_log_likelihood(means[rows] + deviations[rows] * vae.noise(512, means.shape[1]))
    optimizer = vae.state["flow_optimizer"]
    for group in optimizer.param_groups:
        group["lr"] = FLOW_RATE * rate
    optimizer.zero_grad(set_to_none=True)
    run.backward(loss, flow.parameters())
    optimizer.step()
    run.log(flow_nll=loss)
