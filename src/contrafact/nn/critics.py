"""Networks that look at images for a GAN: critics, and encoders of class and content on the same trunk.

InfoGAN's trunk (Chen et al. 2016, Table 1; also ClusterGAN's and CD-GAN's), and SNGAN's residual critic (Miyato et al.
2018, Table 4). Shape suffixes: N images, J code dimensions, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder
from contrafact.nn.decoders import num_doublings
from contrafact.nn.own_encoder import HeadedEncoder
from contrafact.nn.resnet import ResNetEncoder

TrunkKind = Literal["conv", "residual"]


def scaled(count: int, width: float) -> int:
    """``count`` channels at a width; at least 8.

    Raises:
        ValueError: a width that is not positive.
    """
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    return max(8, round(count * width))


def normal_init(module: nn.Module, std: float = 0.02) -> None:
    """Weights N(0, 0.02), zero biases, as DCGAN and InfoGAN start."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ConvTrunk(nn.Module):
    """Stride-2 conv4 64, 128, … down to 4–7 pixels, then FC 1024; leaky ReLU 0.2, no normalisation.

    Args:
        image_shape: ``(C, H, W)``.
        width: multiplies every channel count.

    Attributes:
        out_dim: features per image.
    """

    def __init__(self, image_shape: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        halvings = num_doublings(height, image_width)
        sizes = [check_count("channels", channels), *(scaled(64 << level, width) for level in range(halvings))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        self.out_dim = scaled(1024, width)
        self.dense = nn.Linear(sizes[-1] * (height >> halvings) * (image_width >> halvings), self.out_dim)
        normal_init(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(N, out_dim)``."""
        maps = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        return F.leaky_relu_(self.dense(maps.flatten(1)), 0.2)


class _ResidualStep(nn.Module):
    """Two 3×3 convolutions around a shortcut; halves the sides where told to."""

    def __init__(self, before: int, after: int, halve: bool, first: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.bypass = nn.Conv2d(before, after, 1) if before != after or halve else None
        self.halve, self.first = halve, first
        for layer, gain in ((self.conv1, 2**0.5), (self.conv2, 2**0.5), (self.bypass, 1.0)):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        beside = x if self.bypass is None else self.bypass(x)
        total: Tensor = hidden + beside
        return F.avg_pool2d(total, 2) if self.halve else total


class ResidualTrunk(nn.Module):
    """SNGAN's critic up to its last layer: residual blocks of 128 channels, the first ones halving to 8 pixels; summed.

    Args:
        image_shape: ``(C, H, W)``.
        width: multiplies the channel count.
    """

    def __init__(self, image_shape: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.out_dim = scaled(128, width)
        halvings = max(1, num_doublings(height, image_width) - 1)
        counts = [check_count("channels", channels), *[self.out_dim] * (halvings + 2)]
        self.steps = nn.Sequential(
            *(
                _ResidualStep(i, o, level < halvings, level == 0)
                for level, (i, o) in enumerate(itertools.pairwise(counts))
            )
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(N, out_dim)``."""
        maps: Tensor = self.steps(images.contiguous(memory_format=torch.channels_last))
        return F.relu(maps).sum(dim=(2, 3))


def make_trunk(kind: TrunkKind, image_shape: tuple[int, int, int], width: float = 1.0) -> ConvTrunk | ResidualTrunk:
    """The trunk called ``kind``."""
    if kind not in ("conv", "residual"):
        raise ValueError(unknown_name_message("trunk", kind, ["conv", "residual"]))
    return ConvTrunk(image_shape, width) if kind == "conv" else ResidualTrunk(image_shape, width)


class Critic(nn.Module):
    """A trunk and one score per image.

    Args:
        image_shape: ``(C, H, W)``.
        kind: ``conv`` or ``residual``.
        width: multiplies every channel count.
        spectral: divide every weight by its largest singular value (Miyato et al. 2018).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        kind: TrunkKind = "conv",
        width: float = 1.0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = make_trunk(kind, image_shape, width)
        self.score = nn.Linear(self.trunk.out_dim, 1)
        nn.init.normal_(self.score.weight, std=0.02)
        nn.init.zeros_(self.score.bias)
        if spectral:
            for layer in list(self.modules()):
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(N,)``, high for real."""
        scores: Tensor = self.score(self.trunk(images)).squeeze(1)
        return scores


class FeatureEncoder(Encoder):
    """A trunk as an encoder: its features are the codes.

    Args:
        image_shape: ``(C, H, W)``.
        kind: ``conv`` or ``residual``.
        width: multiplies every channel count.
    """

    def __init__(self, image_shape: tuple[int, int, int], kind: TrunkKind = "conv", width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape, self.kind, self.width = (channels, height, image_width), kind, width
        self.trunk = make_trunk(kind, self.image_shape, width)
        self.code_dim = self.trunk.out_dim

    def encode(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk(images)
        return features.float()

    def arguments(self) -> dict[str, Any]:
        return {"image_shape": self.image_shape, "kind": self.kind, "width": self.width}


def plain_weights(module: nn.Module) -> nn.Module:
    """``module`` with spectral normalisation folded into its weights, so that it can be stored; returns itself."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
    return module


Head = Literal["unit", "softmax", "plain"]
ClassEncoderKind = Literal["conv", "residual", "resnet18"]
ClassEncoderChoice = ClassEncoderKind | nn.Module


UNREAD = 0.05
"""Share of the content's variance below which an encoder is said not to read it."""


class ClassEncoder(Encoder):
    """Class codes f and content codes e of an image, on a trunk like the critic's: ``[f, e]``.

    Args:
        image_shape: ``(C, H, W)``.
        class_dim: dimensions of f.
        content_dim: dimensions of e, may be 0.
        kind: ``conv``, ``residual``, ``resnet18``, or a module, with a linear layer on its features.
        width: multiplies the trunk's channel counts (a ResNet-18 keeps its own).
        head: what f is: ``unit`` length, a ``softmax`` over classes, or ``plain``.
        trunk: a trunk of this kind and width to share (InfoGAN's Q stands on its critic's); None for one of its own.
        hidden: width of a layer with batch normalisation and leaky ReLU between the trunk and the codes (Q's 128 on
            MNIST); 0 for none. A ResNet and a module of yours have none.
        centred: give every dimension of f mean 0 and variance 1 over the batch, and afterwards over the batches seen,
            before it is given unit length. Without, a fresh encoder's f is much the same for all images.

    >>> ClassEncoder((1, 28, 28), class_dim=10, content_dim=3, width=0.1)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 13])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_dim: int,
        content_dim: int = 0,
        kind: ClassEncoderChoice = "conv",
        width: float = 1.0,
        head: Head = "unit",
        trunk: nn.Module | None = None,
        hidden: int = 0,
        centred: bool = False,
    ) -> None:
        super().__init__()
        if head not in ("unit", "softmax", "plain"):
            raise ValueError(unknown_name_message("head", head, ["unit", "softmax", "plain"]))
        if content_dim < 0:
            raise ValueError(f"content_dim must be 0 or more, got {content_dim}")
        channels, height, image_width = image_shape
        self.image_shape = (channels, height, image_width)
        self.class_dim: int = check_count("class_dim", class_dim)
        self.content_dim, self.code_dim = content_dim, class_dim + content_dim
        # A dictionary holds a module without making it a part of this one.
        self.head_name, self._arguments = head, {"kind": kind, "width": width, "head": head}
        # Files of before have no such arguments.
        self._arguments |= ({"hidden": hidden} if hidden else {}) | ({"centred": True} if centred else {})
        self.centre = nn.BatchNorm1d(self.class_dim, affine=False) if centred else None
        self.body: nn.Module
        if isinstance(kind, nn.Module):
            self.body = HeadedEncoder(kind, self.image_shape, self.code_dim)
        elif kind == "resnet18":
            self.body = ResNetEncoder(self.image_shape, self.code_dim, 18)
        else:
            own = make_trunk(kind, self.image_shape, width)
            between: list[nn.Module] = []
            if hidden:
                between = [nn.Linear(own.out_dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2)]
            last = nn.Sequential(*between, nn.Linear(hidden or own.out_dim, self.code_dim))
            normal_init(last)
            self.body = nn.Sequential(own if trunk is None else trunk, *last)

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """f ``(N, class_dim)`` before the softmax, of unit length where told so, and e ``(N, content_dim)``."""
        codes: Tensor = self.body(images).float()
        f, e = codes.split([self.class_dim, self.content_dim], dim=1)
        if self.centre is not None and len(f):  # no images have no mean
            f = self.centre(f)
        return (F.normalize(f, dim=1) if self.head_name == "unit" else f), e

    def encode(self, images: Tensor) -> Tensor:
        f, e = self.heads(images)
        return torch.cat([f.softmax(dim=1) if self.head_name == "softmax" else f, e], dim=1)

    def arguments(self) -> dict[str, Any]:
        return {
            "image_shape": self.image_shape,
            "class_dim": self.class_dim,
            "content_dim": self.content_dim,
            **self._arguments,
        }
