"""VAE: an encoder and a generator from images alone (Kingma & Welling 2014), and β-VAE by its weight.

Auto-Encoding Variational Bayes, ICLR 2014, https://arxiv.org/abs/1312.6114; β-VAE, Higgins et al., ICLR 2017. Networks
of DisCo's Tables 7 and 8.

Deviations: LeakyReLU; a Gaussian likelihood of fixed σ is the default because the Bernoulli one, at β = 1, lets most
latents die on coloured images; the KL term is warmed up for the same reason. With ``flow_layers`` a second stage fits a
flow from noise to the codes (Dai & Wipf, ICLR 2019), so that samples look as good as reconstructions.

Shape suffixes: N images, J latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import ImageDataset, check_count
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.run import Run
from contrafact.nn.encoders import GaussianEncoder
from contrafact.nn.flow import CouplingFlow

Likelihood = Literal["gaussian", "bernoulli"]
ACTIVE_NATS = 0.1
"""A latent whose posterior tells less than this about an image is called inactive."""
_BRIEF = {"width": 0.5, "batch_size": 96, "learning_rate": 7e-4, "cosine": True, "flow_layers": 8}
FLOW_RATE, FLOW_IMAGES = 1e-3, 20_000


@dataclass(frozen=True)
class VAE(Method):
    """Variational autoencoder; β > 1 makes it a β-VAE."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": _BRIEF | {"steps": 1500, "flow_steps": 1000},
        "shipped": _BRIEF | {"steps": 6000, "flow_steps": 3000},
    }

    latent_dim: int = 10
    """Latent dimensions J."""
    beta: float = 1.0
    """Weight of the KL term."""
    likelihood: Likelihood = "gaussian"
    """Reconstruction term: gaussian (squared error) or bernoulli (cross-entropy)."""
    sigma: float = 0.1
    """Standard deviation of the Gaussian likelihood; smaller keeps more latents alive and images sharper."""
    warmup: float = 0.4
    """Share of the steps over which the KL term's weight rises from 0 to beta."""
    width: float = 1.0
    """Multiplies the channel counts of both networks."""
    steps: int = 300_000
    """Training steps."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 1e-4
    """Adam's learning rate."""
    cosine: bool = False
    """Let the learning rate fall to zero along a cosine."""
    flow_layers: int = 0
    """Coupling layers of the second-stage flow; 0 leaves the latent standard normal."""
    flow_steps: int = 2000
    """Training steps of the flow, after the others."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Maximise the evidence lower bound."""
        if not 0.0 <= self.warmup <= 1.0:
            raise ValueError(f"warmup is a share of the steps and must lie in [0, 1], got {self.warmup}")
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}")
        check_count("batch_size", self.batch_size)
        with run.seeded_init("networks"):
            encoder = GaussianEncoder(source.image_shape, self.latent_dim, self.width).to(run.device)
            generator = architecture("vae")(
                self.latent_dim, source.image_shape, self.width, flow_layers=self.flow_layers
            ).to(run.device)
        parameters = [*encoder.parameters(), *generator.decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._decay)
        images_rng, noise_rng = run.numpy_rng("images"), run.rng("noise")
        state: dict[str, Any] = {"encoder": encoder, "generator": generator, "optimizer": optimizer}
        state |= {"schedule": schedule, "images": images_rng, "noise": noise_rng}
        flow, codes = generator.flow, None
        if flow is not None:
            state["flow_optimizer"] = torch.optim.Adam(flow.parameters(), lr=FLOW_RATE)

        for step in run.steps(self.steps + (self.flow_steps if self.flow_layers else 0), state):
            if step >= self.steps:
                codes = _encode_many(encoder, source, run) if codes is None else codes
                _flow_step(
                    flow, state["flow_optimizer"], codes, noise_rng, 1 - (step - self.steps) / self.flow_steps, run
                )
                continue
            images = source.random_batch(self.batch_size, images_rng).to(run.device)
            noise = torch.randn(self.batch_size, self.latent_dim, generator=noise_rng).to(run.device)
            with run.autocast():
                mean, log_variance = encoder.posterior(images)
                logits = generator.logits(mean + (0.5 * log_variance).exp() * noise)
            reconstruction = reconstruction_loss(logits.float(), images, self.likelihood, self.sigma)
            divergence = kl_to_standard_normal(mean, log_variance)
            weight = self.beta * min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
            loss = reconstruction + weight * divergence.sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            run.average_gradients(parameters)
            optimizer.step()
            schedule.step()
            active = (divergence > ACTIVE_NATS).sum()
            run.log(loss=loss, reconstruction=reconstruction, kl=divergence.sum(), active=active)

        encoder.eval()
        with torch.no_grad():
            images = source.random_batch(512, run.numpy_rng("held out", shared=True)).to(run.device)
            divergence = kl_to_standard_normal(*encoder.posterior(images))
            error = (generator(encoder(images)) - images).square().mean()
        generator.note = {
            "active_latents": int((divergence > ACTIVE_NATS).sum()),
            "kl_per_latent": [round(float(v), 3) for v in divergence],
            "mse": round(float(error), 5),
        }
        return Artefacts(encoder=encoder, generator=generator)

    def _decay(self, step: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(step, self.steps) / self.steps)) if self.cosine else 1.0


@torch.no_grad()
def _encode_many(encoder: GaussianEncoder, source: ImageDataset, run: Run) -> tuple[Tensor, Tensor]:
    """Posterior means and standard deviations ``(N, J)`` of many images: the flow's training set.

    Drawn from a stream of its own, so that a run resumed in the second stage sees the same codes.
    """
    rng = run.numpy_rng("codes", shared=True)
    batches = [source.random_batch(500, rng).to(run.device) for _ in range(FLOW_IMAGES // 500)]
    posteriors = [encoder.posterior(images) for images in batches]
    means, log_variances = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    return means, (0.5 * log_variances).exp()


def _flow_step(
    flow: CouplingFlow,
    optimizer: torch.optim.Optimizer,
    codes: tuple[Tensor, Tensor],
    rng: torch.Generator,
    rate: float,
    run: Run,
) -> None:
    """One maximum-likelihood step of the flow on codes drawn from the posteriors; ``rate`` falls from 1 to 0."""
    means, deviations = codes
    if rate == 1.0:
        flow.standardise(means)
    rows = torch.randint(len(means), (512,), generator=rng).to(means.device)
    noise = torch.randn(512, means.shape[1], generator=rng).to(means.device)
    loss = flow.negative_log_likelihood(means[rows] + deviations[rows] * noise)
    for group in optimizer.param_groups:
        group["lr"] = FLOW_RATE * rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.average_gradients(flow.parameters())
    optimizer.step()
    run.log(flow_nll=loss)


def reconstruction_loss(logits: Tensor, images: Tensor, likelihood: Likelihood, sigma: float) -> Tensor:
    """Negative log-likelihood of images ``(N, C, H, W)``, summed over pixels, mean over the batch, constants left out.

    Args:
        logits: images before the sigmoid.
        images: targets in [0, 1].
        likelihood: ``gaussian``: ``‖x − x̂‖² / 2σ²``; ``bernoulli``: cross-entropy.
        sigma: the Gaussian's standard deviation.
    """
    if likelihood == "gaussian":
        return (torch.sigmoid(logits) - images).square().sum() / (2 * sigma**2 * len(images))
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)
    raise ValueError(unknown_name_message("likelihood", likelihood, ["gaussian", "bernoulli"]))


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of diagonal Gaussians ``(N, J)`` from the standard normal, in nats: ``(J,)``, mean over N."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=0)
