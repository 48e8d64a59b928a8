"""A perceptron on pixels: the encoder for images so small that convolutions only cost time.

Shape suffixes: N images, J code dimensions.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder
from contrafact.nn.heads import ProjectionHead


class MLPEncoder(Encoder):
    """Three linear layers on the flattened image, the first two with batch normalisation and ReLU, 256 wide.

    Args:
        image_shape: ``(C, H, W)``.
        code_dim: J.
        width: multiplies the hidden layers' 256.

    Raises:
        ValueError: a size below 1, or a width of 0 or less.

    >>> import torch
    >>> MLPEncoder((1, 8, 8), 4, width=0.1).eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 4])
    """

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.code_dim = check_count("code_dim", code_dim)
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        self.width = width
        hidden = max(8, round(256 * width))
        self.layers = ProjectionHead(math.prod(self.image_shape), code_dim, layers=3, hidden=hidden, norm=True)

    def encode(self, images: Tensor) -> Tensor:
        codes: Tensor = self.layers(images.flatten(1))
        return codes

    def arguments(self) -> dict[str, Any]:
        return {"image_shape": self.image_shape, "code_dim": self.code_dim, "width": self.width}
