"""What the variational autoencoders share: settings, and an encoder and a generator in training.

Each method writes its own loop and loss; ``beta_vae.py`` is the plainest. The networks and defaults are those of
Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations", ICML
2019, https://arxiv.org/abs/1811.12359.

Shape suffixes: N images, J latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Positive, Rate, Share, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.losses.independence import Posterior, kl_to_standard_normal
from contrafact.losses.likelihood import Likelihood, reconstruction_loss
from contrafact.nn.encoders import GaussianEncoder, Network
from contrafact.nn.own_encoder import Backbone

ACTIVE_NATS = 0.1
"""A latent whose posterior tells less than this about an image is called inactive."""
QUICK: dict[str, Any] = {
    "width": 0.5, "likelihood": "gaussian", "sigma": 0.3, "steps": 4000, "learning_rate": 5e-3, "cosine": True,
}  # fmt: skip
"""What every ``quick`` preset starts from: minutes on two cores, on images of 16 pixels."""


@dataclass(frozen=True)
class Variational(Method):
    """Settings of every variational autoencoder."""

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")

    latent_dim: Size = 10
    """Latent dimensions J."""
    network: Network = "locatello"
    """Networks: the small ones of Locatello et al. 2019, or those of DisCo's Tables 7 and 8."""
    width: Width = 1.0
    """Multiplies the channel counts of both networks."""
    encoder: Backbone = None
    """A network of your own that reads the images; a linear layer on its features makes mean and variance of the codes.
    Empty: the one that network names."""
    likelihood: Likelihood = "bernoulli"
    """Reconstruction term: bernoulli (cross-entropy) or gaussian (squared error)."""
    sigma: Positive = 0.1
    """Standard deviation of the Gaussian likelihood; smaller keeps more latents alive and images sharper."""
    warmup: Share = 0.0
    """Share of the steps over which the weight of what regularises the codes rises from 0 to its full value."""
    steps: Steps = 300_000
    """Training steps."""
    batch_size: Size = 64
    """Images per step."""
    learning_rate: Rate = 1e-4
    """Adam's learning rate."""
    cosine: bool = False
    """Let the learning rate fall to zero along a cosine."""

    def weight(self, step: int) -> float:
        """Share of its full weight that what regularises the codes has at a step."""
        return min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))

    def start(self, source: ImageDataset, run: Run, flow_layers: int = 0) -> Autoencoder:
        """Fresh networks, optimiser and random streams."""
        return Autoencoder(self, source, run, flow_layers)


class Autoencoder:
    """An encoder and a generator in training on images.

    Attributes:
        encoder: images to Gaussian posteriors.
        generator: codes to images.
        parameters: what the optimiser changes.
        state: everything a step changes, for ``run.steps``.
    """

    def __init__(self, settings: Variational, source: ImageDataset, run: Run, flow_layers: int) -> None:
        self._settings, self._source, self._run = settings, source, run
        shape, latents = source.image_shape, settings.latent_dim
        with run.seeded_init("networks"):
            encoder = GaussianEncoder(shape, latents, settings.width, network=settings.network, own=settings.encoder)
            decoder = architecture("vae")(
                latents, shape, settings.width, flow_layers=flow_layers, network=settings.network
            )
        self.encoder, self.generator = encoder.to(run.device), decoder.to(run.device)
        self.parameters = [*self.encoder.parameters(), *self.generator.decoder.parameters()]
        self._optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._decay)
        self._images_rng, self._noise_rng = run.numpy_rng("images"), run.rng("noise")
        self.state: dict[str, Any] = {"encoder": self.encoder, "generator": self.generator}
        self.state |= {"optimizer": self._optimizer, "schedule": self._schedule}
        self.state |= {"images": self._images_rng, "noise": self._noise_rng}

    def _decay(self, step: int) -> float:
        total = self._settings.steps
        return 0.5 * (1 + math.cos(math.pi * min(step, total) / total)) if self._settings.cosine else 1.0

    def batch(self) -> Tensor:
        """The next ``batch_size`` images, drawn at random."""
        return self._source.random_batch(self._settings.batch_size, self._images_rng).to(self._run.device)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal noise from the run's stream."""
        return torch.randn(*shape, generator=self._noise_rng).to(self._run.device)

    def posterior(self, images: Tensor) -> Posterior:
        """Posteriors of images, and a sample of each."""
        with self._run.autocast():
            mean, log_variance = self.encoder.posterior(images)
        return Posterior(mean, log_variance, mean + (0.5 * log_variance).exp() * self.noise(*mean.shape))

    def reconstruction(self, sample_NJ: Tensor, images: Tensor) -> Tensor:
        """Negative log-likelihood of the images under what the generator makes of the codes."""
        with self._run.autocast():
            logits = self.generator.logits(sample_NJ)
        return reconstruction_loss(logits.float(), images, self._settings.likelihood, self._settings.sigma)

    def descend(self, loss: Tensor) -> None:
        """One step of Adam."""
        self._optimizer.zero_grad(set_to_none=True)
        self._run.backward(loss, self.parameters)
        self._optimizer.step()
        self._schedule.step()

    @torch.no_grad()
    def artefacts(self) -> Artefacts:
        """What was learned, with a note on how much each latent tells and how well images are rebuilt."""
        self.encoder.eval()
        images = self._source.random_batch(512, self._run.numpy_rng("held out", shared=True)).to(self._run.device)
        divergence_J = kl_to_standard_normal(*self.encoder.posterior(images))
        error = (self.generator(self.encoder(images)) - images).square().mean()
        self.generator.note = {
            "active_latents": int(active(divergence_J)),
            "kl_per_latent": [round(float(v), 3) for v in divergence_J],
            "mse": round(float(error), 5),
        }
        return Artefacts(encoder=self.encoder, generator=self.generator)


def active(divergence_J: Tensor) -> Tensor:
    """How many latents tell something about an image."""
    return (divergence_J > ACTIVE_NATS).sum()
