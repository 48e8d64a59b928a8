"""The encoder of DisDiff and EncDiff: stride-2 convolutions and residual blocks with batch normalisation.

Shape suffixes: N images, J code dimensions, K factors, D numbers of each, F features.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder
from contrafact.nn.encoders import num_halvings


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.second(F.relu(self.norm(self.first(F.relu(features)))))
        return features + changed


class BatchNormEncoder(Encoder):
    """Images to codes; 128 channels, four stride-2 convolutions at 64 pixels and one fewer for each halving of that.

    Args:
        image_shape: ``(C, H, W)``.
        code_dim: J.
        width: multiplies the channel count.

    >>> encoder = BatchNormEncoder((3, 16, 16), 20, 0.25).eval()
    >>> encoder(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 20])
    """

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.code_dim = check_count("code_dim", code_dim)
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        self.width = width
        halvings, hidden = num_halvings(height, image_width), max(8, round(128 * width))
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([channels, *[hidden] * halvings]):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers, _Residual(hidden), nn.BatchNorm2d(hidden), _Residual(hidden))
        self.head = nn.Linear(hidden * (height // 2**halvings) * (image_width // 2**halvings), code_dim)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def encode(self, images: Tensor) -> Tensor:
        features = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        codes: Tensor = self.head(features.flatten(1))
        return codes

    @torch.no_grad()
    def rescale(self, center_J: Tensor, scale_J: Tensor) -> None:
        """Give codes from now on in other units: what was ``center + scale · code`` is now ``code``.

        >>> encoder, images = BatchNormEncoder((1, 8, 8), 2, 0.1).eval(), torch.rand(3, 1, 8, 8)
        >>> before = encoder(images)
        >>> encoder.rescale(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 4.0]))
        >>> torch.allclose(torch.tensor([1.0, 2.0]) + encoder(images) * torch.tensor([0.5, 4.0]), before, atol=1e-5)
        True
        """
        self.head.bias.sub_(center_J).div_(scale_J)
        self.head.weight.div_(scale_J[:, None])

    def arguments(self) -> dict[str, Any]:
        return {"image_shape": self.image_shape, "code_dim": self.code_dim, "width": self.width}


class VectorEncoder(BatchNormEncoder):
    """Images to a vector for each of K factors, one after the other in the codes: J = K · D.

    Args:
        image_shape: ``(C, H, W)``.
        num_factors: K.
        factor_dim: D.
        width: multiplies the channel count.

    >>> encoder = VectorEncoder((3, 16, 16), 4, 8, 0.25).eval()
    >>> codes = encoder(torch.zeros(2, 3, 16, 16))
    >>> codes.shape, encoder.represent(codes, "principal").shape
    (torch.Size([2, 32]), torch.Size([2, 4]))
    """

    def __init__(
        self, image_shape: tuple[int, int, int], num_factors: int, factor_dim: int, width: float = 1.0
    ) -> None:
        self.num_factors = check_count("num_factors", num_factors)
        self.factor_dim = check_count("factor_dim", factor_dim)
        super().__init__(image_shape, num_factors * factor_dim, width)

    @property
    def representations(self) -> tuple[str, ...]:
        """``principal``: the first number of each vector, where it has several."""
        return ("principal",) if self.factor_dim > 1 else ()

    def represent(self, codes: Tensor, name: str) -> Tensor:
        """``principal`` ``(N, K)``: after :meth:`recoordinate` along principal axes, what a factor's vectors differ in
        most."""
        return codes[:, :: self.factor_dim] if name in self.representations else super().represent(codes, name)

    @torch.no_grad()
    def recoordinate(self, center_KD: Tensor, axes_KDD: Tensor) -> None:
        """Give each vector from now on in other coordinates: ``(vector − center) · axes``, a product of its own each.

        >>> encoder, images = VectorEncoder((1, 8, 8), 2, 3, 0.1).eval(), torch.rand(4, 1, 8, 8)
        >>> before, center, axes = encoder(images).unflatten(1, (2, 3)), torch.randn(2, 3), torch.randn(2, 3, 3)
        >>> encoder.recoordinate(center, axes)
        >>> torch.allclose(encoder(images).unflatten(1, (2, 3))[:, 1], (before[:, 1] - center[1]) @ axes[1], atol=1e-5)
        True
        """
        weight_KDF, bias_KD = (p.unflatten(0, (self.num_factors, -1)) for p in (self.head.weight, self.head.bias))
        weight = axes_KDD.mT @ weight_KDF
        bias = ((bias_KD - center_KD)[:, None] @ axes_KDD)[:, 0]
        self.head.weight.copy_(weight.flatten(0, 1))
        self.head.bias.copy_(bias.flatten())

    def arguments(self) -> dict[str, Any]:
        return {
            "image_shape": self.image_shape,
            "num_factors": self.num_factors,
            "factor_dim": self.factor_dim,
            "width": self.width,
        }
