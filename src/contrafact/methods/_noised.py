"""What methods share that learn from noised images: how they are noised, what is predicted, the autoencoder before it.

Defaults are those of EncDiff's and DisDiff's releases, which are the same program's.

Shape suffixes: N images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from contrafact.core.ranges import Count, Positive, Rate, Size, SizeOrZero, Steps
from contrafact.core.run import Run
from contrafact.nn.noise_schedule import Prediction

Distance = Literal["absolute", "squared"]


@dataclass(frozen=True)
class NoisedSettings:
    """Settings of a denoiser's loss."""

    codebook: SizeOrZero = 2048
    """Entries of the codebook of the autoencoder in whose maps images are denoised, each of which stands for a square
    of ``patch`` pixels; 0 denoises the pixels."""
    lateness: Positive = 1.0
    """The density of times grows as their power of this less 1: 1 is uniform, more draws them towards the noise."""
    prediction: Prediction = "epsilon"
    """What the denoiser says: epsilon, the noise, or the image."""
    distance: Distance = "absolute"
    """How far that is from what it should be."""
    times: Size = 1000
    """Times of the noise schedule."""
    decode_steps: Count = 8
    """How often the denoiser is asked for an image of codes; once where images are always noised fully."""
    autoencoder_steps: Steps = 100_000
    """Steps that the autoencoder with the codebook trains first."""
    autoencoder_rate: Rate = 5.76e-4
    """Its learning rate."""

    def draw_times(self, count: int, rng: torch.Generator) -> Tensor:
        """``(N,)`` times to which images of a batch are noised."""
        share_N = torch.rand(count, generator=rng, dtype=torch.float64) ** (1 / self.lateness)
        return (share_N * self.times).long().clamp(max=self.times - 1)

    def away(self, said: Tensor, noise: Tensor, clean: Tensor) -> Tensor:
        """The loss of what the denoiser said, whichever of noise and image it was to say: a mean over all numbers."""
        error = said - (noise if self.prediction == "epsilon" else clean)
        return error.abs().mean() if self.distance == "absolute" else error.square().mean()


class _Draws(Protocol):
    generator: Any

    def batch(self) -> Tensor: ...

    def glimpse(self, count: int) -> Tensor: ...


def autoencoder_optimizer(first_stage: Any, rate: float, state: dict[str, Any]) -> torch.optim.Optimizer | None:
    """Adam for the autoencoder, in ``state`` too; None where there is none."""
    if first_stage is None:
        return None
    optimizer = torch.optim.Adam(first_stage.parameters(), rate, betas=(0.5, 0.9), fused=True)
    state["autoencoder"] = optimizer
    return optimizer


def learn_autoencoder(steps: Iterable[int], training: _Draws, optimizer: torch.optim.Optimizer, run: Run) -> None:
    """Train codebook, encoder and decoder of what is denoised; then it rests."""
    first_stage = training.generator.first_stage
    for _ in steps:
        with run.autocast():
            error, distance = first_stage.loss(2 * training.batch() - 1)
        optimizer.zero_grad(set_to_none=True)
        run.backward(error + distance, first_stage.parameters())
        optimizer.step()
        run.log(autoencoder_error=error, codebook_distance=distance)
    first_stage.requires_grad_(False)
    training.generator.fit_deviation(training.glimpse(256))
