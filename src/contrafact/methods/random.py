"""Random directions: the control every table needs.

No paper: directions drawn uniformly from the sphere. Whatever a method finds has to beat them, with the same encoder
trained for as long.

Shape suffixes: L latent dimensions, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Size
from contrafact.core.run import Run
from contrafact.nn.spectral import check_fit


@dataclass(frozen=True)
class Random(Method):
    """Random directions of unit length; nothing is trained.

    >>> import torch
    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic")
    >>> run = cf.methods.Random(num_directions=10).fit(scene, "runs/random", seed=1)
    >>> torch.allclose(run.directions.vectors().norm(dim=1), torch.ones(10))
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {}}

    num_directions: Size = 10
    """Directions D."""
    constraint: Literal["unit", "orthonormal"] = "unit"
    """Independent unit vectors, or an orthonormal frame (at most as many as latent dimensions)."""

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse a frame of more directions than dimensions."""
        if self.constraint == "orthonormal":
            check_fit(self.num_directions, source.edit_dim)

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Draw the directions from the run's seed."""
        rng = run.rng("directions", shared=True)
        directions = GlobalDirections.random(
            source.edit_dim, self.num_directions, rng, self.constraint, source.latent_scale(), source.edit_columns
        )
        return Artefacts(directions=directions.to(run.device), generator=source)
