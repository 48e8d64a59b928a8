"""SNGAN: a residual generator of your own images, its discriminator spectrally normalised (Miyato et al. 2018).

Spectral Normalization for Generative Adversarial Networks, Miyato, Kataoka, Koyama & Yoshida, ICLR 2018,
https://arxiv.org/abs/1802.05957. Hinge loss, five discriminator steps for each of the generator; settings of the
released CIFAR-10 program, and its networks at 32 pixels and below; above, those of its ImageNet program.

Deviations: the generator's bypass is GANLatentDiscovery's (a 3×3 convolution, none where the channels stay), so that
what is trained here and what is read from its checkpoints is one architecture; batch norm's statistics are those of the
final weights, measured after training; optionally the weights' moving average is kept.

Shape suffixes: N images, L latent dimensions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import Generator, architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Keep, Rate, Size, Steps, Width
from contrafact.core.run import Run
from contrafact.losses import adversarial
from contrafact.nn.discriminators import SNGANDiscriminator

STATISTICS_BATCHES = 50


@dataclass(frozen=True)
class SNGAN(Method):
    """Spectrally normalised GAN, its edit space the standard normal Z.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"width": 0.05, "steps": 1, "batch_size": 4, "generator_batch_size": 4}
    >>> run = cf.methods.SNGAN.preset("quick", **small).fit(images, "runs/sngan")
    >>> run.generator.space, run.generator(run.generator.sample(2, seed=0)).shape
    ('z', torch.Size([2, 3, 16, 16]))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {
            "latent_dim": 32, "width": 0.25, "steps": 3000, "batch_size": 32, "generator_batch_size": 32,
            "discriminator_steps": 2, "learning_rate": 4e-4, "ema": 0.998,
        },
        "tiny": {"width": 0.03, "steps": 4, "batch_size": 4, "generator_batch_size": 4, "discriminator_steps": 2},
    }  # fmt: skip

    latent_dim: Size = 128
    """Latent dimensions L."""
    width: Width = 1.0
    """Multiplies the channel counts of both networks."""
    steps: Steps = 50_000
    """Training steps: generator updates."""
    discriminator_steps: Size = 5
    """Discriminator updates in each of them."""
    batch_size: Size = 64
    """Real images, and generated ones, per discriminator update, in each process."""
    generator_batch_size: Size = 128
    """Generated images per generator update."""
    learning_rate: Rate = 2e-4
    """Adam's learning rate, for both networks."""
    decay: bool = True
    """Let the learning rate fall linearly to zero."""
    ema: Keep = 0.0
    """Decay per step of the generator's moving average; 0 keeps the last weights, as the paper does."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images of a side the networks cannot make."""
        _channels(source, self.width)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Alternate discriminator and generator updates."""
        growing, shrinking, halvings = _channels(source, self.width)
        with run.seeded_init("networks"):
            generator = architecture("sngan")(self.latent_dim, growing, source.image_shape[0]).to(run.device)
            discriminator = SNGANDiscriminator(source.image_shape, shrinking, halvings).to(run.device)
        average = copy.deepcopy(generator).requires_grad_(False)
        optimizers = [
            torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=(0.0, 0.9), fused=True)
            for network in (generator, discriminator)
        ]
        schedules = [torch.optim.lr_scheduler.LambdaLR(adam, self._rate) for adam in optimizers]
        images_rng, latents_rng = run.numpy_rng("images"), run.rng("latents")
        state: dict[str, Any] = {"generator": generator, "average": average, "discriminator": discriminator}
        state |= {"generator_adam": optimizers[0], "discriminator_adam": optimizers[1]}
        state |= {"generator_schedule": schedules[0], "discriminator_schedule": schedules[1]}
        state |= {"images": images_rng, "latents": latents_rng}

        warned = False
        for step in run.steps(self.steps, state):
            discriminator.requires_grad_(True)
            for _ in range(self.discriminator_steps):
                real = 2 * source.random_batch(self.batch_size, images_rng).to(run.device) - 1
                with run.autocast():
                    with torch.no_grad():
                        fake = 2 * generator(generator.prior(self.batch_size, latents_rng)) - 1
                    real_scores, fake_scores = discriminator(real), discriminator(fake)
                loss = adversarial.hinge_discriminator_loss(real_scores, fake_scores)
                _update(optimizers[1], loss, run)
                run.log(discriminator_loss=loss, real_score=real_scores.mean(), fake_score=fake_scores.mean())
            discriminator.requires_grad_(False)
            with run.autocast():
                fake = 2 * generator(generator.prior(self.generator_batch_size, latents_rng)) - 1
                loss = adversarial.hinge_generator_loss(discriminator(fake))
            _update(optimizers[0], loss, run)
            for schedule in schedules:
                schedule.step()
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - self.ema)
            run.log(generator_loss=loss, spread=adversarial.spread(fake) / adversarial.spread(real))
            warned = warned or adversarial.warn_of_trouble(run.last_line, step, self.steps)

        _measure_statistics(average, self.generator_batch_size, run.rng("statistics", shared=True))
        average.note = {"images_seen": self.steps * self.discriminator_steps * self.batch_size * run.world_size}
        return Artefacts(generator=average)

    def _rate(self, step: int) -> float:
        return 1 - min(step, self.steps) / self.steps if self.decay else 1.0


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, run: Run) -> None:
    optimizer.zero_grad(set_to_none=True)
    run.backward(loss, optimizer.param_groups[0]["params"])
    optimizer.step()


def _channels(source: ImageDataset, width: float) -> tuple[list[int], list[int], int]:
    """Channels of the generator from 4 pixels up, of the discriminator's blocks, and how many of those halve."""
    _, height, image_width = source.image_shape
    doublings = (height // 4).bit_length() - 1
    if height != image_width or doublings < 1 or height != 4 << doublings:
        raise ValueError(
            f"SNGAN learns from square images of 8, 16, 32, … pixels, got {height}×{image_width}; load them with "
            "another --size"
        )
    if height <= 32:
        growing, shrinking, halvings = [256] * (doublings + 1), [128] * 4, min(doublings, 2)
    else:
        growing = [min(64 << (doublings - i), 1024) for i in range(doublings + 1)]
        halvings = min(doublings + 1, 5)
        shrinking = [min(64 << i, 1024) for i in range(doublings + 1)]
    growing, shrinking = ([max(1, round(width * count)) for count in counts] for counts in (growing, shrinking))
    return growing, shrinking, halvings


@torch.no_grad()
def _measure_statistics(generator: Generator, batch_size: int, rng: torch.Generator) -> None:
    """Batch norm's means and variances of the final weights, over many batches: training only saw them move."""
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's spelling of a plain mean over batches
    generator.train()
    for _ in range(STATISTICS_BATCHES):
        generator(generator.prior(batch_size, rng))
    generator.eval()
