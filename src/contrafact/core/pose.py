"""Directions that move and turn the image, of generators in which a linear map of one layer's latent says how.

Shape suffixes: N samples, L latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from contrafact.core.directions import Directions

POSES = ("translate_x", "translate_y", "rotate")
_SMALLEST = 1e-6


class PoseDirections(Directions):
    """Translation along x and y and rotation about the middle, exact at every latent: the least step that does it.

    The layer reads ``(cos, sin, x, y)``, a linear map of its latent; the image is turned by the angle of the first two
    and moved by the others, which count in image sides times the length of the first two. Where several steps from one
    latent are added, the turn comes first.

    Args:
        latent_dim: L.
        translation: how far a magnitude of 1 moves the image, in its sides: to the right, or down.
        rotation: how far a magnitude of 1 turns it, in degrees, clockwise.
        names: three names; ``translate_x``, ``translate_y``, ``rotate`` by default.
        layers: the layer whose latent that is, ``(first, first + 1)``.
        num_layers: layers of the generator.

    Raises:
        ValueError: steps that are not positive and finite.

    >>> pose = PoseDirections.of(torch.eye(4), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    >>> pose(torch.zeros(1, 4), "translate_x", 2.0).tolist()  # moved by a fifth of the image's side
    [[0.0, 0.0, 0.20000000298023224, 0.0]]
    """

    own_layers = True

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        latent_dim: int,
        translation: float = 0.1,
        rotation: float = 10.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
    ) -> None:
        super().__init__(latent_dim, len(POSES), 1.0, POSES if names is None else names, layers, num_layers)
        for name, step in (("translation", translation), ("rotation", rotation)):
            if not 0 < step < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {step}")
        self.translation, self.rotation = float(translation), float(rotation)
        self.register_buffer("weight", torch.zeros(4, latent_dim))
        self.register_buffer("bias", torch.zeros(4))

    @classmethod
    def of(
        cls,
        weight: Tensor,
        bias: Tensor,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        translation: float = 0.1,
        rotation: float = 10.0,
    ) -> PoseDirections:
        """Those of the map ``latent @ weight.T + bias``, weight ``(4, L)``, bias ``(4,)``.

        Raises:
            ValueError: a map that cannot reach every pose, such as one of zeros.
        """
        if weight.ndim != 2 or len(weight) != 4 or bias.shape != (4,):
            raise ValueError(
                f"expected a weight (4, L) and a bias (4,), got {tuple(weight.shape)} and {tuple(bias.shape)}"
            )
        values = torch.linalg.svdvals(weight.detach().double().cpu())
        if len(values) < 4 or not values[-1] > _SMALLEST * values[0]:
            raise ValueError(
                "the latent does not move or turn the image freely: the map from it to cosine, sine, x and y has the "
                f"singular values {[float(f'{value:.2g}') for value in values]}, as where it was not trained"
            )
        directions = cls(weight.shape[1], translation, rotation, None, layers, num_layers)
        directions.weight.copy_(weight.detach())
        directions.bias.copy_(bias.detach())
        return directions

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        weight = self.weight.to(latent.dtype)
        cos, sin, x, y = (latent @ weight.T + self.bias.to(latent.dtype)).unbind(1)
        angle = magnitude * math.radians(self.rotation) * (index == POSES.index("rotate"))
        turn_cos, turn_sin = angle.cos(), angle.sin()
        step = magnitude * self.translation * (cos.square() + sin.square()).sqrt()
        # The map turns places back, so its angle falls; what moves the image turns with it.
        pose_N4 = torch.stack(
            (
                cos * (turn_cos - 1) + sin * turn_sin,
                sin * (turn_cos - 1) - cos * turn_sin,
                x * (turn_cos - 1) - y * turn_sin + step * (index == POSES.index("translate_x")),
                y * (turn_cos - 1) + x * turn_sin + step * (index == POSES.index("translate_y")),
            ),
            dim=1,
        )
        shift: Tensor = pose_N4 @ torch.linalg.pinv(weight).T
        return shift

    def arguments(self) -> dict[str, Any]:
        return {
            "latent_dim": self.latent_dim,
            "translation": self.translation,
            "rotation": self.rotation,
            "names": self.names,
            "layers": self.layers,
            "num_layers": self.num_layers,
        }
