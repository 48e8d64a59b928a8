"""A method small enough to test what every training loop shares: it pulls directions towards noisy targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic


@dataclass(frozen=True)
class Toy(Method):
    """Learns nothing worth knowing, from every kind of random stream a run has."""

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"steps": 30}}

    at_step: ClassVar[Callable[[int], None]] = staticmethod(lambda step: None)
    """Called at the beginning of every step: tests let things happen here."""

    steps: int = 60
    """Training steps."""
    learning_rate: float = 0.1
    """Adam's learning rate."""

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Adam with a falling rate, on targets from torch's and numpy's streams."""
        with run.seeded_init("directions"):
            directions = GlobalDirections(source.latent_dim, 3, "free")
            torch.nn.init.normal_(directions.weight)
        optimizer = torch.optim.Adam(directions.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (2 * self.steps + 1))
        rng, numpy_rng = run.rng("targets"), run.numpy_rng("scales")
        state = {"directions": directions, "optimizer": optimizer, "schedule": schedule, "rng": rng, "np": numpy_rng}
        for step in run.steps(self.steps, state):
            type(self).at_step(step)
            target = torch.randn(3, source.latent_dim, generator=rng) * numpy_rng.uniform()
            loss = (directions.vectors() - target).square().mean()
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, directions.parameters())
            optimizer.step()
            schedule.step()
            run.log(loss=loss)
        return Artefacts(directions=directions, generator=source)


def toy_generator() -> Analytic:
    return Analytic.tiny()


def toy_run(folder: Any, **options: Any) -> Run:
    given = {"device": "cpu", "precision": "float32", "progress": False, "save_every": 0.0, **options}
    return Run(folder, **given)
