"""Residual encoders (He et al. 2016): ResNet-18, -34 and -50 with a large- or a small-image stem.

Ours because no maintained implementation imports without torchvision; parameter counts are checked against the
published ones. Shape suffixes: N images, J code dimensions.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder

Depth = Literal[18, 34, 50]
Stem = Literal["auto", "imagenet", "small"]
_STAGES: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class _Block(nn.Module):
    """Two 3×3 convolutions (``bottleneck``: 1×1, 3×3, 1×1) around a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        channels_out = 4 * channels if bottleneck else channels
        shapes = (
            [(channels_in, channels, 1, 1), (channels, channels, 3, stride), (channels, channels_out, 1, 1)]
            if bottleneck
            else [(channels_in, channels, 3, stride), (channels, channels, 3, 1)]
        )
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel, stride=s, padding=kernel // 2, bias=False) for i, o, kernel, s in shapes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in shapes)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(F.relu_(y) if number else y))
        return F.relu_(y.add_(self.shortcut(x)))


class ResNetEncoder(Encoder):
    """ResNet with a linear head, or none.

    Args:
        image_shape: ``(C, H, W)``.
        code_dim: J; None leaves the head out, and the codes are the pooled features (512; 2048 at depth 50).
        depth: 18, 34 or 50.
        stem: ``imagenet`` (7×7 stride 2, max pool), ``small`` (3×3 stride 1, for images up to about 64 pixels), or
            ``auto``: small below 96 pixels.
        width: multiplies every channel count (1 is the paper's; ½ is four times cheaper).

    Raises:
        ValueError: an unknown depth or stem, a code_dim below 1, or a width that is not positive.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        code_dim: int | None,
        depth: Depth = 50,
        stem: Stem = "auto",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ValueError(f"depth must be one of {sorted(_STAGES)}, got {depth}")
        if stem not in ("auto", "imagenet", "small"):
            raise ValueError(unknown_name_message("stem", stem, ["auto", "imagenet", "small"]))
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.depth, self.width = depth, width
        self.stem_name: Stem = ("small" if min(height, image_width) < 96 else "imagenet") if stem == "auto" else stem
        first = max(8, round(64 * width))
        if self.stem_name == "small":
            self.stem = nn.Sequential(
                nn.Conv2d(channels, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
            )
        else:
            self.stem = nn.Sequential(
                nn.Conv2d(channels, first, 7, stride=2, padding=3, bias=False),
                nn.BatchNorm2d(first),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, stride=2, padding=1),
            )
        bottleneck = depth == 50
        blocks: list[nn.Module] = []
        current = first
        for stage, count in enumerate(_STAGES[depth]):
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                blocks.append(_Block(current, first * 2**stage, stride, bottleneck))
                current = first * 2**stage * (4 if bottleneck else 1)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Identity() if code_dim is None else nn.Linear(current, check_count("code_dim", code_dim))
        self.code_dim = current if code_dim is None else code_dim
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def encode(self, images: Tensor) -> Tensor:
        features = self.blocks(self.stem(images.contiguous(memory_format=torch.channels_last)))
        codes: Tensor = self.head(features.mean(dim=(2, 3)))
        return codes

    def arguments(self) -> dict[str, Any]:
        return {
            "image_shape": self.image_shape,
            "code_dim": None if isinstance(self.head, nn.Identity) else self.code_dim,
            "depth": self.depth,
            "stem": self.stem_name,
            "width": self.width,
        }
