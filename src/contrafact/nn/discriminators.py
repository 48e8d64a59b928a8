"""Discriminators: StyleGAN2's and SNGAN's, images to scores, high for real ones.

Images are −1 to 1 here, as the papers' are: regularisers such as R1 weigh gradients with respect to that range.

Shape suffixes: N images, C image channels, H, W sides, F features, I, O channels inside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.nn.equalized import Convolution, Dense

_EPSILON = 1e-8
SNGAN_SETTINGS: dict[str, tuple[list[int], int]] = {
    "sn_resnet32": ([128] * 4, 2),
    "sn_resnet64": ([64, 128, 256, 512, 1024], 5),
}
"""Channels of the residual blocks of the published settings, and how many of the blocks halve the sides."""


class HalvingBlock(nn.Module):
    """StyleGAN2's residual block: two convolutions, the second onto half the sides after a low-pass filter."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv0 = Convolution(before, before, 3)
        self.conv1 = Convolution(before, after, 3, stride=2, padding=0)
        self.skip = Convolution(before, after, 1, bias=False)

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H/2, W/2)``."""
        kernel = kernel.expand(x.shape[1], 1, 4, 4)
        skip = self.skip(F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1]))
        x = self.conv1(F.conv2d(self.conv0(x), kernel, padding=2, groups=x.shape[1]))
        out: Tensor = (skip + x) * math.sqrt(0.5)
        return out


class StyleGAN2Discriminator(nn.Module):
    """StyleGAN2's residual discriminator (Karras et al. 2020); with classes, a projection as in StyleGAN2-ADA.

    Args:
        image_shape: ``(C, H, W)``, square, the side a power of two of at least 8.
        channels: channel count at 4, 8, … pixels up to the image's side.
        classes: classes of a conditional model, 0 for none.
        mapping_layers: layers of the class embedding's mapping network.
        group_size: images compared by the minibatch standard deviation.

    Raises:
        ValueError: sizes that do not fit each other.

    >>> discriminator = StyleGAN2Discriminator((1, 16, 16), [16, 16, 8])
    >>> discriminator(torch.rand(4, 1, 16, 16)).shape
    torch.Size([4])
    """

    kernel: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        classes: int = 0,
        mapping_layers: int = 8,
        group_size: int = 4,
    ) -> None:
        super().__init__()
        image_channels, height, width = image_shape
        if height != width or height != 2 << len(channels) or len(channels) < 2:
            raise ValueError(
                f"channels must list a count for each side from 4 to the image's, which is square and 8, 16, 32, …; "
                f"got {list(channels)} for {height}×{width} images"
            )
        self.classes, self.group_size = classes, check_count("group_size", group_size)
        counts = [check_count("channels", count) for count in channels]
        self.from_image = Convolution(image_channels, counts[-1], 1)
        self.blocks = nn.ModuleList(HalvingBlock(i, o) for i, o in itertools.pairwise(reversed(counts)))
        self.conv = Convolution(counts[0] + 1, counts[0], 3)
        self.dense = Dense(16 * counts[0], counts[0], activated=True)
        self.out = Dense(counts[0], counts[0] if classes else 1)
        if classes:
            self.embed = Dense(classes, counts[0])
            self.mapping = nn.ModuleList(
                Dense(counts[0], counts[0], lr=0.01, activated=True) for _ in range(mapping_layers)
            )
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None], persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Scores ``(N,)`` of images ``(N, C, H, W)`` in −1..1, given their classes ``(N,)`` where there are any."""
        x = self.from_image(images.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x, self.kernel)
        # The last layers in full precision, as in the original: the standard deviation is a small difference.
        with torch.autocast(x.device.type, enabled=False):
            x = self.conv(torch.cat([x.float(), self._deviation(x.float())], dim=1))
            x_NF: Tensor = self.out(self.dense(x.flatten(1)))
            if not self.classes:
                return x_NF.squeeze(1)
            if label is None:
                raise ValueError(f"this discriminator is conditional: pass class labels from 0 to {self.classes - 1}")
            mapped_NF = _normalized(self.embed(F.one_hot(label, self.classes).float()))
            for layer in self.mapping:
                mapped_NF = layer(mapped_NF)
            projected: Tensor = (x_NF * mapped_NF).sum(dim=1) / math.sqrt(x_NF.shape[1])
            return projected

    def _deviation(self, x: Tensor) -> Tensor:
        """Mean standard deviation over groups of images, as one more channel ``(N, 1, H, W)``: it shows collapse.

        Image i belongs to group i modulo the number of groups, which is why a batch must divide into groups.
        """
        n, _, height, width = x.shape
        size = min(self.group_size, n)
        if n % size:
            raise ValueError(f"a batch of {n} images does not divide into groups of {size}; change batch_size")
        grouped = x.unflatten(0, (size, -1))
        deviation: Tensor = (grouped.var(dim=0, correction=0) + _EPSILON).sqrt().mean(dim=(1, 2, 3))
        return deviation.repeat(size)[:, None, None, None].expand(-1, 1, height, width)


def _normalized(x: Tensor) -> Tensor:
    unit: Tensor = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _EPSILON)
    return unit


def _spectral(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Module:
    """The layer, initialised as the paper's (Glorot, times ``gain``) and spectrally normalised."""
    nn.init.xavier_uniform_(layer.weight, gain)
    return spectral_norm(layer)


class SpectralBlock(nn.Module):
    """SNGAN's residual block: rectify, convolve, twice, then average pooling where it halves; all normalised.

    The first block of a network takes an image: it does not rectify it, and pools before the bypass's convolution.
    """

    def __init__(self, before: int, after: int, halves: bool, first: bool) -> None:
        super().__init__()
        hidden = after if first else before
        self.conv1 = _spectral(nn.Conv2d(before, hidden, 3, padding=1), 2**0.5)
        self.conv2 = _spectral(nn.Conv2d(hidden, after, 3, padding=1), 2**0.5)
        self.bypass = _spectral(nn.Conv2d(before, after, 1)) if halves or before != after else None
        self.halves, self.first = halves, first

    def forward(self, x: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H, W)``, or half the sides."""
        hidden = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        hidden = F.avg_pool2d(hidden, 2) if self.halves else hidden
        # A 1×1 convolution and pooling commute; pooling first is four times cheaper.
        bypass = F.avg_pool2d(x, 2) if self.halves else x
        out: Tensor = hidden + (bypass if self.bypass is None else self.bypass(bypass))
        return out


class SNGANDiscriminator(nn.Module):
    """SNGAN's residual discriminator, every layer spectrally normalised (Miyato et al. 2018).

    Args:
        image_shape: ``(C, H, W)``.
        channels: channels of the residual blocks, or a setting: ``sn_resnet32``, ``sn_resnet64``.
        halvings: how many of the first blocks halve the sides; a setting brings its own.

    Attributes:
        feature_dim: F.

    Raises:
        ValueError: unknown setting, or images too small to be halved so often.

    >>> discriminator = SNGANDiscriminator((3, 32, 32), [16, 16, 16, 16], halvings=2)
    >>> discriminator(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int] | str = "sn_resnet32",
        halvings: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(channels, str):
            if channels not in SNGAN_SETTINGS:
                raise ValueError(unknown_name_message("SNGAN setting", channels, SNGAN_SETTINGS))
            channels, own = SNGAN_SETTINGS[channels]
            halvings = own if halvings is None else halvings
        counts = [image_shape[0], *(check_count("channels", count) for count in channels)]
        halvings = len(channels) if halvings is None else halvings
        if (
            not 0 <= halvings <= len(channels)
            or min(image_shape[1:]) % 2**halvings
            or max(image_shape[1:]) % 2**halvings
        ):
            raise ValueError(
                f"{len(channels)} blocks cannot halve {image_shape[1]}×{image_shape[2]} images {halvings} times; "
                "give other halvings, or load images of another size"
            )
        self.feature_dim = counts[-1]
        self.blocks = nn.ModuleList(
            SpectralBlock(i, o, number < halvings, number == 0)
            for number, (i, o) in enumerate(itertools.pairwise(counts))
        )
        self.head = _spectral(nn.Linear(counts[-1], 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def features(self, images: Tensor) -> Tensor:
        """Features ``(N, F)`` of images ``(N, C, H, W)`` in −1..1: the last block's activations, rectified and summed
        over pixels."""
        x = images.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = F.relu(x).float().sum(dim=(2, 3))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(N,)`` of images ``(N, C, H, W)`` in −1..1."""
        score: Tensor = self.head(self.features(images)).float().squeeze(1)
        return score
