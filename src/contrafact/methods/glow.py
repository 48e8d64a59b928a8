"""Glow: a normalising flow of your own images, whose latent is as large as the image (Kingma & Dhariwal 2018).

Generative Flow with Invertible 1×1 Convolutions, NeurIPS 2018, https://arxiv.org/abs/1807.03039. Maximum likelihood of
images with noise below their last bit. Defaults are those of the program DisCo's flows were trained with
(rosinality/glow-pytorch): additive couplings, 32 steps in each of 4 scales, 5 bits, batches of 16.

Deviations: normalisation scales are kept as logarithms, so that none changes its sign; the learning rate is warmed up.

Shape suffixes: N images, C channels, L latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Depth, Range, Rate, Share, Size, Steps
from contrafact.core.run import Run
from contrafact.nn.glow import GlowFlow

FIRST_IMAGES = 256
"""Images that the normalisations are set by."""


@dataclass(frozen=True)
class Glow(Method):
    """Normalising flow, its latent standard normal noise of every scale.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.Glow.preset("tiny", steps=1).fit(images, "runs/glow")
    >>> run.generator.latent_dim, run.generator(run.generator.sample(2, seed=0)).shape
    (768, torch.Size([2, 3, 16, 16]))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"affine": True, "num_steps": 48, "bits": 8, "learning_rate": 1e-3},
        "quick": {
            "num_blocks": 3, "num_steps": 6, "filters": 48, "steps": 2500, "batch_size": 32,
            "learning_rate": 1e-3, "cosine": True,
        },
        "tiny": {"num_blocks": 2, "num_steps": 2, "filters": 8, "affine": True, "batch_size": 4},
    }  # fmt: skip

    num_blocks: Depth = 4
    """Scales: each halves the sides; the image's must halve so often."""
    num_steps: Depth = 32
    """Steps of flow K in each."""
    filters: Size = 512
    """Channels within the couplings."""
    affine: bool = False
    """Couplings that scale as well as shift."""
    bits: Annotated[int, Range(at_least=1, at_most=8)] = 5
    """Bits of a pixel that are modelled; what lies below them is noise."""
    steps: Steps = 200_000
    """Training steps."""
    batch_size: Size = 16
    """Images per step, in each process."""
    learning_rate: Rate = 1e-4
    """Adam's learning rate."""
    warmup: Share = 0.01
    """Share of the steps over which the learning rate rises to it."""
    cosine: bool = False
    """Let the learning rate fall to zero along a cosine."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse a side that does not halve evenly."""
        self._generator(source)

    def _generator(self, source: ImageDataset) -> Any:
        channels, height, width = source.image_shape
        if height != width:
            raise ValueError(f"a Glow makes square images, got {height}×{width}; load them with --size {height}")
        return architecture("glow")(height, self.num_blocks, self.num_steps, self.filters, self.affine, channels)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise the bits that a number of an image takes (Eq. 2)."""
        with run.seeded_init("networks"):
            flow = GlowFlow(source.image_shape[0], self.num_blocks, self.num_steps, self.filters, self.affine)
        flow = flow.to(run.device)
        with torch.no_grad():  # all processes, and a resumed run, set out from the same
            first = source.random_batch(FIRST_IMAGES, run.numpy_rng("first", shared=True)).to(run.device)
            flow(self.quantised(first, torch.full_like(first, 0.5)), first=True)
        adam = torch.optim.Adam(flow.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self._rate)
        images_rng, noise_rng = run.numpy_rng("images"), run.rng("noise")
        state: dict[str, Any] = {"flow": flow, "adam": adam, "schedule": schedule}
        state |= {"images": images_rng, "noise": noise_rng}

        for _ in run.steps(self.steps, state):
            images = source.random_batch(self.batch_size, images_rng)
            noise = torch.rand(images.shape, generator=noise_rng)
            x = self.quantised(images, noise).to(run.device)
            latent_NL, volume_N = flow(x, run.autocast)
            loss = bits_per_number(latent_NL, volume_N, self.bits).mean()
            adam.zero_grad(set_to_none=True)
            run.backward(loss, flow.parameters())
            adam.step()
            schedule.step()
            run.log(loss=loss)

        generator = self._generator(source)
        generator.load_state_dict(flow.generating_weights())
        generator.note = {"bits_per_number": round(float(run.last_line["loss"]), 4)}
        return Artefacts(generator=generator.to(run.device))

    def quantised(self, images: Tensor, noise: Tensor) -> Tensor:
        """Images of so many bits, less 0.5, with noise in [0, 1) below the last one."""
        levels = 1 << self.bits
        return torch.floor(images * 255 / (256 / levels) + 1e-4) / levels - 0.5 + noise / levels

    def _rate(self, step: int) -> float:
        rising = min(1.0, (step + 1) / max(1.0, self.warmup * self.steps))
        return rising * (0.5 * (1 + math.cos(math.pi * min(step, self.steps) / self.steps)) if self.cosine else 1.0)


def bits_per_number(latent_NL: Tensor, volume_N: Tensor, bits: int) -> Tensor:
    """Negative log-likelihood ``(N,)`` of images in bits for each of their L numbers (Eq. 2, with c of Eq. 2's text).

    Args:
        latent_NL: the noise that the flow made of them.
        volume_N: its log |det|.
        bits: of a pixel, which 2^bits levels of width 2^-bits make.
    """
    log_density_N = -0.5 * (latent_NL.square() + math.log(2 * math.pi)).sum(dim=1) + volume_N
    return bits - log_density_N / (latent_NL.shape[1] * math.log(2))
