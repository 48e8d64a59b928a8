"""Directions of "Unsupervised Discovery of Interpretable Directions" whose steps are no multiples of a vector.

Voynov & Babenko, ICML 2020, https://arxiv.org/abs/2002.03754; the two kinds of the release's deformator that bend. What
``contrafact fit latent_discovery`` learns itself needs neither (:mod:`contrafact.methods.latent_discovery`).

Shape suffixes: N samples, L latent dimensions, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions

Kind = Literal["proj", "fc"]


class DeformatorDirections(Directions):
    """The step ``ε·e_d`` through a deformator of the release, in evaluation mode.

    ``proj``: a linear layer with a bias, its output rescaled to length |ε|. ``fc``: four linear layers with batch
    normalisation and sums of what came before, and the step itself added; what it gives at ε = 0, which the release
    adds to every picture of a row, is taken off, so that magnitude 0 leaves a latent where it is.

    Args:
        latent_dim: L; of ``fc`` equal to D.
        num_directions: D.
        kind: ``proj`` or ``fc``.
        hidden_dim: width of an ``fc``.
        scale: length of a unit step in the edit space.
        names: D names.
        layers: layer range the shift acts on.
        num_layers: layers of the generator.

    Raises:
        ValueError: another kind, or an ``fc`` of another D than L.

    >>> directions = DeformatorDirections(latent_dim=4, num_directions=3)
    >>> moved = directions(torch.zeros(2, 4), 1, -1.5)
    >>> [round(length, 4) for length in moved.norm(dim=1).tolist()]
    [1.5, 1.5]
    """

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        kind: Kind = "proj",
        hidden_dim: int = 1024,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(latent_dim, num_directions, scale, names, layers, num_layers, columns)
        if kind not in ("proj", "fc"):
            raise ValueError(unknown_name_message("kind of deformator", kind, ["proj", "fc"]))
        self.kind: Kind = kind
        self.hidden_dim = check_count("hidden_dim", hidden_dim)
        if kind == "proj":
            self.linear = nn.Linear(num_directions, latent_dim)
            return
        if num_directions != latent_dim:
            raise ValueError(f"an fc deformator has as many directions as dimensions, got {num_directions, latent_dim}")
        for number in (1, 2, 3):
            setattr(self, f"fc{number}", nn.Linear(latent_dim if number == 1 else hidden_dim, hidden_dim))
            setattr(self, f"bn{number}", nn.BatchNorm1d(hidden_dim))
        self.fc4 = nn.Linear(hidden_dim, latent_dim)

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        step = torch.zeros(len(latent), self.num_directions, dtype=latent.dtype, device=latent.device)
        step = step.scatter(1, index[:, None], magnitude[:, None])
        if self.kind == "fc":
            return self._deformed(step) - self._deformed(torch.zeros_like(step[:1]))
        raw = self.linear(step)
        shift_NL: Tensor = magnitude.abs()[:, None] * raw / raw.norm(dim=1, keepdim=True).clamp_min(1e-8)
        return shift_NL

    def _deformed(self, step: Tensor) -> Tensor:
        hidden, before = step, torch.zeros((), dtype=step.dtype, device=step.device)
        for number in (1, 2, 3):
            before = before + getattr(self, f"fc{number}")(hidden)
            norm = getattr(self, f"bn{number}")
            hidden = F.elu(
                F.batch_norm(before, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
            )
        deformed: Tensor = self.fc4(hidden) + step
        return deformed

    def arguments(self) -> dict[str, Any]:
        return {**self.common_arguments(), "kind": self.kind, "hidden_dim": self.hidden_dim}
