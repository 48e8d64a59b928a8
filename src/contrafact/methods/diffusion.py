"""Diffusion: a small generator of your own images that goes from noise to an image in a few steps, as a rectified flow.

Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, Liu, Gong & Liu, ICLR 2023,
https://arxiv.org/abs/2209.03003. At x_t = (1 − t) x₀ + t ε a U-Net learns the velocity v = ε − x₀ by squared error.
Its bottleneck is the edit space h of Kwon, Jeong & Uh, https://arxiv.org/abs/2210.10960.

Deviations: times are drawn as in Esser et al. 2024 (https://arxiv.org/abs/2403.03206), t = σ(n) with n standard normal,
which favours the middle; images are folded into patches, so that 28 to 64 pixels cost the same; the moving average of
the weights is what is kept. No second round on the flow's own pairs ("reflow").

Shape suffixes: N images.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Keep, Rate, Size, SizeOrZero, Steps
from contrafact.core.run import Run

PLACES = 16
"""Patches to a side that images are folded into, where ``patch`` is left open."""
_WARM_UP = 0.02


@dataclass(frozen=True)
class Diffusion(Method):
    """A rectified flow; its edit space is the bottleneck h.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"level_channels": (8, 16), "steps": 2, "batch_size": 4}
    >>> run = cf.methods.Diffusion.preset("quick", **small).fit(images, "runs/diffusion")
    >>> run.generator.space, run.generator(run.generator.sample(2, seed=0)).shape
    ('h', torch.Size([2, 3, 16, 16]))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {
            "level_channels": (48, 96, 128),
            "steps": 2500,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "ema": 0.995,
        },
        "tiny": {"level_channels": (8, 16), "steps": 4, "batch_size": 4},
    }

    level_channels: tuple[Size, ...] = (64, 128, 256)
    """Channels of the U-Net's levels, multiples of 8; every level but the first halves the sides."""
    patch: SizeOrZero = 0
    """Side of the squares of pixels that are folded into channels; 0 for as many pixels as leave 16 squares a side."""
    sampling_steps: Size = 8
    """Steps from noise to an image; a run's generator can be loaded with others (--set steps=16)."""
    steps: Steps = 100_000
    """Training steps."""
    batch_size: Size = 128
    """Images in each."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate, which falls to zero along a cosine."""
    ema: Keep = 0.999
    """Decay per step of the weights' moving average."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse levels that these images have too few pixels for, and channels that do not divide."""
        self._network(source)

    def _network(self, source: ImageDataset) -> Any:
        side = max(source.image_shape[1:])
        patch = self.patch or 1 << max(0, math.ceil(math.log2(side / PLACES)))
        deepest = patch << (len(self.level_channels) - 1)
        if deepest > side:
            raise ValueError(
                f"{len(self.level_channels)} levels on squares of {patch} pixels halve images of {side} pixels to less "
                "than one place; give fewer levels (level_channels), or a smaller patch"
            )
        return architecture("rectified_flow")(source.image_shape, self.level_channels, patch, self.sampling_steps)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Learn the velocity between images and noise."""
        with run.seeded_init("network"):
            generator = self._network(source).to(run.device)
        average = copy.deepcopy(generator).requires_grad_(False)
        adam = torch.optim.Adam(generator.unet.parameters(), lr=self.learning_rate, betas=(0.9, 0.99), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self._rate)
        images_rng, noise_rng = run.numpy_rng("images"), run.rng("noise")
        state = {"generator": generator, "average": average, "adam": adam, "schedule": schedule}
        state |= {"images": images_rng, "noise": noise_rng}

        for step in run.steps(self.steps, state):
            images = 2 * source.random_batch(self.batch_size, images_rng).to(run.device) - 1
            time, noise = self._draw(images, noise_rng)
            between = torch.lerp(images, noise, time.view(-1, 1, 1, 1))
            with run.autocast():
                velocity = generator.unet(between, time)
            loss = (velocity.float() - (noise - images)).square().mean()
            adam.zero_grad(set_to_none=True)
            run.backward(loss, generator.unet.parameters())
            torch.nn.utils.clip_grad_norm_(generator.unet.parameters(), 1.0)
            adam.step()
            schedule.step()
            decay = min(self.ema, (1 + step) / (10 + step))  # the first weights are forgotten sooner
            with torch.no_grad():
                torch._foreach_lerp_(list(average.unet.parameters()), list(generator.unet.parameters()), 1 - decay)
            run.log(loss=loss)

        average.eval().measure(run.rng("unit", shared=True))
        average.note = {"images_seen": self.steps * self.batch_size * run.world_size}
        return Artefacts(generator=average)

    def _draw(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times ``(N,)`` and noise of the images' shape."""
        time = torch.sigmoid(torch.randn(len(images), generator=rng))
        return time.to(images), torch.randn(images.shape, generator=rng).to(images)

    def _rate(self, step: int) -> float:
        return min(1.0, (step + 1) / (_WARM_UP * self.steps)) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
