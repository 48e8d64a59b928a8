"""Steady axes: the latent's axes, each with the step that changes the image as much as any other's.

Made up for this package: there is no paper. A step of 1 along an axis changes pixels by a given amount on average.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from contrafact.core.directions import Directions
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Count, Positive, Rate, Steps
from contrafact.core.run import Run


class AxisDirections(Directions):
    """Axis d of the latent, by ``exp(log_length[d])`` standard deviations a step.

    Args:
        latent_dim: L; there are as many directions.
        scale: length of a unit step.
    """

    def __init__(self, latent_dim: int, scale: float = 1.0) -> None:
        super().__init__(latent_dim, latent_dim, scale)
        self.log_length = nn.Parameter(torch.zeros(latent_dim))

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        axes = torch.eye(self.latent_dim, dtype=latent.dtype, device=latent.device)
        return (magnitude * self.log_length.exp()[index])[:, None] * axes[index]


@dataclass(frozen=True)
class SteadyAxes(Method):
    """Latent axes with steps of equal effect."""

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"steps": 30}}

    effect: Positive = 0.02
    """Mean absolute change of a pixel that a step of 1 aims at."""
    steps: Steps = 200
    """Training steps."""
    batch_size: Count = 8
    """Latents per step."""
    learning_rate: Rate = 0.05
    """Of Adam."""

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Stretch each axis until its steps change images as they should."""
        directions = AxisDirections(source.latent_dim, source.latent_scale()).to(run.device)
        optimiser = torch.optim.Adam(directions.parameters(), self.learning_rate)
        rng = run.rng("latents")
        state = {"directions": directions, "optimiser": optimiser, "rng": rng}
        magnitude = torch.ones(source.latent_dim, device=run.device)
        for _ in run.steps(self.steps, state):
            latent = source.sample(self.batch_size, rng)
            with run.autocast():
                images = source(latent).repeat(source.latent_dim, 1, 1, 1)
                moved = source(directions.every(latent, magnitude))
                change = (moved - images).abs().flatten(1).mean(1).view(source.latent_dim, -1).mean(1)
            loss = (change.float() / self.effect).clamp_min(1e-3).log().square().mean()
            optimiser.zero_grad()
            loss.backward()
            run.average_gradients(directions.parameters())
            optimiser.step()
            run.log(loss=loss)
        return Artefacts(directions=directions, generator=source)
