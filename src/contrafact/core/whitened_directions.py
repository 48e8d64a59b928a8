"""Directions in a whitened edit space: sliders along one white axis, or around the circle that two of them span.

Shape suffixes: N samples, L latent dimensions, D sliders, V vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.directions import Directions


class WhitenedDirections(Directions):
    """Sliders of factors in white coordinates: a group of one vector moves along it, a group of two turns its circle.

    A magnitude of 1 is one standard deviation of the latents along that vector, or, of a circle such as a hue's, one
    radian about the centre: every turn keeps a latent as likely as it was, and 2π comes back to the start.

    Args:
        latent_dim: L.
        groups: for each of the D sliders the numbers of its one or two vectors; every vector belongs to one slider.
        names: D names; ``"direction 0"`` … and ``"circle 3"`` … by default.
        layers: layer range the shift acts on.
        num_layers: layers of the generator.

    Raises:
        ValueError: groups that do not hold every vector from 0 once, or one of more than two.

    >>> hue = WhitenedDirections.of(torch.eye(3), groups=[[0, 1], [2]])
    >>> hue.names
    ['circle 0', 'direction 1']
    >>> hue(torch.tensor([[1.0, 0.0, 0.0]]), "circle 0", torch.pi / 2).round(decimals=4).tolist()
    [[0.0, 1.0, 0.0]]
    >>> hue.positions(torch.tensor([[0.0, 2.0, 5.0]])).round(decimals=4).tolist()  # an angle, and a coordinate
    [[1.5707999467849731, 5.0]]
    """

    center: Tensor
    dual: Tensor

    def __init__(
        self,
        latent_dim: int,
        groups: Sequence[Sequence[int]],
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
    ) -> None:
        checked = check_groups(groups)
        given = [f"{'circle' if len(g) == 2 else 'direction'} {i}" for i, g in enumerate(checked)]
        super().__init__(latent_dim, len(checked), 1.0, given if names is None else names, layers, num_layers)
        self.groups = checked
        count = sum(len(group) for group in checked)
        self.register_buffer("center", torch.zeros(latent_dim))
        self.axes = nn.Parameter(torch.zeros(count, latent_dim))
        self.register_buffer("dual", torch.zeros(count, latent_dim))
        self._first: Tensor
        self._second: Tensor
        self.register_buffer("_first", torch.tensor([g[0] for g in checked]), persistent=False)
        self.register_buffer("_second", torch.tensor([g[-1] for g in checked]), persistent=False)

    @classmethod
    def of(
        cls,
        axes: Tensor,
        dual: Tensor | None = None,
        center: Tensor | None = None,
        groups: Sequence[Sequence[int]] | None = None,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
    ) -> WhitenedDirections:
        """Sliders of the steps ``axes (V, L)``, one standard deviation each, whose coordinates ``dual (V, L)`` read.

        Args:
            axes: rows are steps in the edit space.
            dual: rows give the coordinates, ``(w − center) @ dual.T``; the pseudoinverse of the axes by default.
            center: ``(L,)``, zero by default.
            groups: one slider for each vector by default.
            names: as for the constructor.
            layers: as for the constructor.
            num_layers: as for the constructor.

        Raises:
            ValueError: shapes that do not fit, or what the constructor refuses.
        """
        if axes.ndim != 2:
            raise ValueError(f"expected axes of shape (V, L), got {tuple(axes.shape)}")
        dual = torch.linalg.pinv(axes).T if dual is None else dual
        chosen = [[v] for v in range(len(axes))] if groups is None else groups
        directions = cls(axes.shape[1], chosen, names, layers, num_layers)
        if directions.axes.shape != axes.shape or dual.shape != axes.shape:
            raise ValueError(
                f"expected axes and dual of shape {tuple(directions.axes.shape)}, a row for every vector of the "
                f"groups, got {tuple(axes.shape)} and {tuple(dual.shape)}"
            )
        with torch.no_grad():
            directions.axes.copy_(axes)
        directions.dual.copy_(dual.detach())
        if center is not None:
            directions.center.copy_(center.detach())
        return directions

    @torch.no_grad()
    def read_anew(self) -> None:
        """Let the coordinates follow axes that were trained: ``dual`` becomes the axes' pseudoinverse."""
        self.dual.copy_(torch.linalg.pinv(self.axes).T)

    def is_circle(self, number: int) -> bool:
        return len(self.groups[number]) == 2

    def coordinates(self, latent: Tensor) -> Tensor:
        """White coordinates ``(N, V)`` of latents ``(N, L)``, one for each vector."""
        found: Tensor = (latent - self.center.to(latent.dtype)) @ self.dual.to(latent.dtype).T
        return found

    def positions(self, latent: Tensor) -> Tensor:
        """Where latents ``(N, L)`` stand on every slider ``(N, D)``: a coordinate, or the angle in (−π, π]."""
        return positions(self.coordinates(latent), self.groups)

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        axes, dual = self.axes.to(latent.dtype), self.dual.to(latent.dtype)
        first, second = self._first[index], self._second[index]
        offset = latent - self.center.to(latent.dtype)
        a, b = (offset * dual[first]).sum(dim=1), (offset * dual[second]).sum(dim=1)
        is_circle = first != second
        cos, sin = magnitude.cos() - 1, magnitude.sin()
        along = torch.where(is_circle, a * cos - b * sin, magnitude)
        across = torch.where(is_circle, a * sin + b * cos, torch.zeros_like(magnitude))
        step: Tensor = along[:, None] * axes[first] + across[:, None] * axes[second]
        return step

    def arguments(self) -> dict[str, Any]:
        return {
            "latent_dim": self.latent_dim,
            "groups": self.groups,
            "names": self.names,
            "layers": self.layers,
            "num_layers": self.num_layers,
        }


def check_groups(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Groups as lists of whole numbers (ValueError unless each of V vectors is in one group of one or two).

    >>> check_groups([(0, 2), (1,)])
    [[0, 2], [1]]
    """
    found = [[int(number) for number in group] for group in groups]
    numbers = sorted(number for group in found for number in group)
    if not found or numbers != list(range(len(numbers))) or any(len(group) not in (1, 2) for group in found):
        raise ValueError(f"groups must hold every vector from 0 once, one or two to a group, got {found[:20]}")
    return found


def positions(coordinates_NV: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """One number for every group ``(N, D)``: its vector's coordinate, or the angle in the plane of its two.

    >>> positions(torch.tensor([[0.0, -1.0, 7.0]]), [[2], [0, 1]]).tolist()
    [[7.0, -1.5707963705062866]]
    """
    columns = [
        torch.atan2(coordinates_NV[:, group[1]], coordinates_NV[:, group[0]])
        if len(group) == 2
        else coordinates_NV[:, group[0]]
        for group in groups
    ]
    return torch.stack(columns, dim=1)
