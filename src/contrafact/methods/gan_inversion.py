"""GAN with bp: a plain GAN, images clustered by the class whose latent reproduces them best (Mukherjee et al. 2019).

A baseline of ClusterGAN (AAAI 2019, https://arxiv.org/abs/1809.03627) and of CD-GAN: WGAN-GP with noise and a one-hot
class in its prior. An image is encoded by gradient descent: for every one-hot class the noise is fitted with Adam, and
the latent with the smallest squared error is the code, class first.

Deviations: the descent starts at zero noise, so that an image always has the same code, and minimises the squared error
alone; the released program starts from the prior and minimises the absolute error and ten times the mean square of the
noise. Encoding costs K · steps passes through the generator per image: score it on hundreds of images.

Shape suffixes: N images, K classes, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.encoder import Encoder
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts
from contrafact.core.ranges import Rate, Size
from contrafact.core.run import Run
from contrafact.methods._gan import Game, GANMethod, play


@dataclass(frozen=True)
class GANInversion(GANMethod):
    """GAN with latents found by gradient descent.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"width": 0.1, "steps": 1, "batch_size": 10, "inversion_steps": 1}
    >>> run = cf.methods.GANInversion.preset("quick", **small).fit(images, "runs/gan-inversion")
    >>> run.encoder(images.batch([0])).shape[1] == run.generator.latent_dim  # codes are latents
    True
    """

    without: ClassVar[Mapping[str, str]] = {
        "encoder": "it trains none: codes are latents, found by descent through the generator; cluster_gan and cd_gan "
        "train one of your own"
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"sigma": 0.1, "steps": 200_000, "inversion_steps": 5000},
        "quick": {"width": 0.5, "steps": 2000, "critic_steps": 1, "learning_rate": 1e-3, "inversion_steps": 50},
        "tiny": {"noise_dim": 3},
    }

    critic_steps: Size = 5
    """Critic steps per generator step."""
    inversion_steps: Size = 200
    """Descent steps per image and class."""
    inversion_rate: Rate = 1e-2
    """Adam's learning rate of the descent."""

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """A plain GAN; the encoder searches its latents."""
        game = Game(self, source, run, class_count=self.class_count(source))
        play(game, self.steps)
        encoder = InversionEncoder(game.generator.arguments(), self.inversion_steps, self.inversion_rate)
        encoder.generator.load_state_dict(game.generator.state_dict())
        return Artefacts(encoder=encoder.to(run.device), generator=game.generator)


class InversionEncoder(Encoder):
    """Latent of an image by gradient descent through a generator: ``[one-hot class, noise]``.

    Args:
        generator: constructor arguments of a ``class_knob`` generator.
        steps: descent steps.
        rate: Adam's learning rate.
    """

    def __init__(self, generator: dict[str, Any], steps: int, rate: float) -> None:
        super().__init__()
        self.generator = architecture("class_knob")(**generator)
        self.steps, self.rate = steps, rate
        first, last = self.generator.class_range
        self.image_shape, self.code_dim, self.class_dim = self.generator.image_shape, last, last - first

    def encode(self, images: Tensor) -> Tensor:
        count, noise_dim, n = self.class_dim or 0, self.generator.noise_dim, len(images)
        classes = torch.eye(count, device=images.device).repeat(n, 1)
        target = images.detach().repeat_interleave(count, dim=0)
        self.generator.freeze()
        with torch.enable_grad():
            noise = torch.zeros(n * count, noise_dim, device=images.device, requires_grad=True)
            optimizer = torch.optim.Adam([noise], self.rate)
            for _ in range(self.steps):
                error = (self.generator(torch.cat([noise, classes], dim=1)) - target).square()
                optimizer.zero_grad(set_to_none=True)
                error.flatten(1).mean(dim=1).sum().backward()
                optimizer.step()
        with torch.no_grad():
            latents = torch.cat([noise, classes], dim=1)
            error_NK = (self.generator(latents) - target).square().flatten(1).mean(dim=1).unflatten(0, (n, count))
            best_NL = latents.unflatten(0, (n, count))[torch.arange(n, device=images.device), error_NK.argmin(dim=1)]
        codes: Tensor = best_NL.roll(count, dims=1)
        return codes

    def arguments(self) -> dict[str, Any]:
        return {"generator": self.generator.arguments(), "steps": self.steps, "rate": self.rate}
