"""VGG-16, the network in whose features a perceptual reconstruction loss compares images.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015; as a loss
Johnson, Alahi & Fei-Fei, ECCV 2016. The weights are yours to fetch: torchvision's ``vgg16-397923af.pth``, or the same
tensors as safetensors.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.foreign import first_line
from contrafact.core.inert_files import read_inert

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Places of the convolutions in torchvision's ``features``; a ReLU follows each."""
POOLS = (4, 9, 16, 23, 30)
"""Places of the poolings, each of which halves the image."""
SEEN = (2, 7, 12, 21, 30)
"""Layers that LORD's, OverLORD's and ZeroDIM's programs compare. Those programs keep convolutions' outputs, which the
ReLUs behind them then overwrite in place: what is compared is non-negative."""
LEAST_SIDE = 2 ** len(POOLS)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16(nn.Module):
    """Features of images in [0, 1] after the layers :data:`SEEN`.

    Args:
        widths: channels of the thirteen convolutions, which a file's weights tell.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        if len(widths) != len(CONVOLUTIONS):
            raise ValueError(f"VGG-16 has {len(CONVOLUTIONS)} convolutions, got {len(widths)} widths")
        before = (3, *widths[:-1])
        pairs = zip(before, widths, strict=True)
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairs)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    mean: Tensor
    deviation: Tensor

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images ``(N, 1 or 3, H, W)`` of at least 32 pixels a side; grey ones are taken as colour."""
        x = (images.expand(-1, 3, -1, -1) - self.mean) / self.deviation
        found, convolutions = [], iter(self.convolutions)
        for place in range(SEEN[-1] + 1):
            if place in CONVOLUTIONS:
                x = F.relu(next(convolutions)(x))
            elif place in POOLS:
                x = F.max_pool2d(x, 2)
            if place in SEEN:
                found.append(x)
        return found


def vgg16(path: str | Path) -> VGG16:
    """VGG-16 from torchvision's weights on this disk, frozen.

    Args:
        path: ``vgg16-397923af.pth``, or a ``.safetensors`` file of the same tensors; the classifier's are not needed.

    Raises:
        ValueError: no such file, a damaged one, or one that holds something else.

    >>> vgg16("vgg16-397923af.pth")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: no VGG-16 weights at vgg16-397923af.pth; give torchvision's vgg16-397923af.pth, ...
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"no VGG-16 weights at {file}; give torchvision's vgg16-397923af.pth, or its tensors as safetensors"
        )
    try:
        weights = _convolutions(_tensors(file))
        widths = tuple(len(weights[f"{number}.bias"]) for number in range(len(CONVOLUTIONS)))
        with torch.device("meta"):
            network = VGG16(widths)
        needed, given = ({n: v.shape for n, v in d.items()} for d in (network.convolutions.state_dict(), weights))
        if wrong := sorted(name for name in needed if needed[name] != given[name]):
            raise ValueError(f"tensors do not fit each other, such as that of convolution {wrong[0]}")
    except Exception as error:  # whatever the file is
        raise ValueError(f"{file} does not hold VGG-16's weights ({first_line(error)})") from error
    network = VGG16(widths)
    network.convolutions.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _tensors(file: Path) -> Mapping[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    content: Mapping[str, Tensor] = read_inert(file).content
    return content


def _convolutions(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases of the convolutions by number."""
    names = {f"features.{place}": number for number, place in enumerate(CONVOLUTIONS)}
    return {
        f"{number}.{part}": content[f"{name}.{part}"].float()
        for name, number in names.items()
        for part in ("weight", "bias")
    }
