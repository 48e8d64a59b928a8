"""How far an image is from a photograph: squared error, and a distance that sees edges and textures.

With the published LPIPS network (or features of your own) the second part is perceptual. Where neither is at hand it is
the difference of image gradients on several scales, which needs no weights: it weighs outlines as much as areas.

Shape suffixes: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.metrics.lpips import BACKBONES, feature_distance, published

Distance = Callable[[Tensor, Tensor], Tensor]
Network = str | Callable[[Tensor], Sequence[Tensor]]
NETWORKS = ("auto", *BACKBONES, "none")
_LPIPS_SIDE = 64  # the published networks halve an image four times before their last layer


def squared_error(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference of pixels, ``(N,)``."""
    return (images - targets).square().flatten(1).mean(dim=1)


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels ``(N,)`` of images clamped to [0, 1]; 100 when they are equal.

    >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1)).round(decimals=3)
    tensor([20.])
    """
    return -10 * squared_error(images.clamp(0, 1), targets.clamp(0, 1)).clamp_min(1e-10).log10()


def gradient_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels' differences, ``(N,)``, averaged over scales.

    Scales: as given, then halved by averaging while the shorter side keeps at least 8 pixels.
    """
    total, scales = torch.zeros((), device=images.device), 0
    difference = images - targets
    while scales == 0 or min(difference.shape[-2:]) >= 8:
        across, down = difference.diff(dim=-1).abs(), difference.diff(dim=-2).abs()
        total = total + (across.flatten(1).mean(dim=1) + down.flatten(1).mean(dim=1)) / 2
        difference, scales = F.avg_pool2d(difference, 2), scales + 1
    return total / scales


@dataclass(frozen=True)
class Perception:
    """A distance ``(images, targets) -> (N,)`` and what to call it.

    Attributes:
        distance: None for no such part.
        name: for logs and files.
        note: why it is not the one that was asked for, empty if it is.
    """

    distance: Distance | None
    name: str
    note: str = ""


def perception(network: Network, device: torch.device) -> Perception:
    """The distance called ``network``.

    Args:
        network: ``alex`` or ``vgg`` (published LPIPS), ``auto`` (LPIPS where it is at hand, else gradients),
            ``none``, ``gradients``, or a function from images to a list of feature maps ``(N, C, H, W)``.
        device: where the images are.

    Raises:
        ValueError: unknown name, or a published network that is not at hand.
    """
    if not isinstance(network, str):
        return Perception(_of_features(network), getattr(network, "name", type(network).__name__))
    if network == "none":
        return Perception(None, "none")
    if network == "gradients":
        return Perception(gradient_distance, "gradients")
    if network not in NETWORKS:
        raise ValueError(unknown_name_message("perceptual network", network, [*NETWORKS, "gradients"]))
    try:
        return _lpips("alex" if network == "auto" else network, device)
    except ValueError:
        if network != "auto":
            raise
        note = "LPIPS is not at hand, so image gradients take its place (network alex says what it needs)"
        return Perception(gradient_distance, "gradients", note)


def _of_features(extract: Callable[[Tensor], Sequence[Tensor]]) -> Distance:
    def distance(images: Tensor, targets: Tensor) -> Tensor:
        return feature_distance(list(extract(images)), list(extract(targets))).to(images)

    return distance


def _lpips(backbone: str, device: torch.device) -> Perception:
    network: nn.Module = published(backbone).to(device).requires_grad_(False)

    def distance(images: Tensor, targets: Tensor) -> Tensor:
        pair = [_colours(image) for image in (images, targets)]
        if min(images.shape[-2:]) < _LPIPS_SIDE:
            pair = [F.interpolate(image, (_LPIPS_SIDE, _LPIPS_SIDE), mode="bilinear") for image in pair]
        values: Tensor = network(*(image * 2 - 1 for image in pair)).flatten()
        return values

    return Perception(distance, f"lpips {backbone}")


def _colours(images: Tensor) -> Tensor:
    """Images as a network of photographs takes them: grey thrice, see-through ones laid on white."""
    if images.shape[1] == 4:
        return 1 - images[:, 3:] * (1 - images[:, :3])
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
