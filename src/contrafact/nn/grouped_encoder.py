"""An encoder that reads coordinates and gives one code for every group of them: itself, or a circle's angle.

Shape suffixes: N images, V coordinates, J groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from contrafact.core.encoder import Encoder
from contrafact.core.whitened_directions import check_groups, positions
from contrafact.nn.encoders import LocatelloEncoder


class GroupedEncoder(Encoder):
    """The light encoder of Locatello et al. 2019 on V coordinates; codes are their positions on J sliders.

    Args:
        image_shape: ``(C, H, W)``.
        groups: the numbers of each code's one or two coordinates, as of
            :class:`~contrafact.core.whitened_directions.WhitenedDirections`.
        width: multiplies every channel count.

    >>> import torch
    >>> encoder = GroupedEncoder((3, 16, 16), [[0, 1], [2]], 0.25).eval()
    >>> images = torch.rand(4, 3, 16, 16)
    >>> encoder.coordinates(images).shape, encoder(images).shape
    (torch.Size([4, 3]), torch.Size([4, 2]))
    """

    def __init__(self, image_shape: tuple[int, int, int], groups: Sequence[Sequence[int]], width: float = 1.0) -> None:
        super().__init__()
        self.groups = check_groups(groups)
        self.network = LocatelloEncoder(image_shape, sum(len(group) for group in self.groups), width)
        self.image_shape, self.width = self.network.image_shape, width
        self.code_dim = len(self.groups)
        self.angles = tuple(code for code, group in enumerate(self.groups) if len(group) == 2)

    def coordinates(self, images: Tensor) -> Tensor:
        """The V coordinates ``(N, V)`` that the codes are made of."""
        return self.network.encode(images)

    def encode(self, images: Tensor) -> Tensor:
        return positions(self.coordinates(images), self.groups)

    def arguments(self) -> dict[str, Any]:
        return {"image_shape": self.image_shape, "groups": self.groups, "width": self.width}
