"""What of an image is watched while a latent moves: responses, each of one or more channels that belong together.

Shape suffixes: N images, C channels, H height, W width, P responses, J outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.nn.encoders import LocatelloEncoder

Response = Literal["pixels", "moments", "spectrum", "encoder"]
RESPONSES: tuple[Response, ...] = ("pixels", "moments", "spectrum", "encoder")
Watch = Callable[[Tensor], Tensor]

_SIDE = 32
_OUTPUTS = 32


def watch(kind: Response, image_shape: tuple[int, int, int]) -> Watch:
    """The response ``kind`` as a function of images ``(N, C, H, W)`` to ``(N, P, channels)``.

    ``pixels``: every pixel, its colours together. ``moments``: of every colour mass, centre and second moments, each
    alone. ``spectrum``: the logarithm of every frequency's amplitude, its colours together. ``encoder``: the outputs of
    a light encoder with random weights, drawn from torch's global generator, each alone. Images larger than 32 pixels
    are averaged down to at most that, except for the encoder.

    Raises:
        ValueError: no such kind.

    >>> images = torch.rand(2, 3, 16, 16)
    >>> [tuple(watch(kind, (3, 16, 16))(images).shape) for kind in RESPONSES]
    [(2, 256, 3), (2, 18, 1), (2, 144, 3), (2, 32, 1)]
    """
    if kind == "pixels":
        return lambda images: _small(images).flatten(2).transpose(1, 2)
    if kind == "moments":
        return lambda images: _moments(_small(images))[..., None]
    if kind == "spectrum":
        return _spectrum
    if kind == "encoder":
        encoder = LocatelloEncoder(image_shape, _OUTPUTS).eval().requires_grad_(False)

        def codes(images: Tensor) -> Tensor:
            outputs: Tensor = encoder.to(images.device).encode(images)
            return outputs[..., None]

        return codes
    raise ValueError(unknown_name_message("response", kind, RESPONSES))


def _small(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    if max(height, width) <= _SIDE:
        return images
    return F.adaptive_avg_pool2d(images, (min(height, _SIDE), min(width, _SIDE)))


def _moments(images: Tensor) -> Tensor:
    """Mass, centre and second central moments of every colour ``(N, 6·C)``, in image sides."""
    n, channels, height, width = images.shape
    y = torch.linspace(-1, 1, height, dtype=images.dtype, device=images.device)[:, None]
    x = torch.linspace(-1, 1, width, dtype=images.dtype, device=images.device)[None]
    mass = images.mean(dim=(2, 3)).clamp_min(1e-4)

    def mean(values: Tensor) -> Tensor:
        return (images * values).mean(dim=(2, 3)) / mass

    centre_x, centre_y = mean(x), mean(y)
    second = (mean(x * x) - centre_x**2, mean(y * y) - centre_y**2, mean(x * y) - centre_x * centre_y)
    return torch.cat([mass, centre_x, centre_y, *second], dim=1).reshape(n, 6 * channels)


def _spectrum(images: Tensor) -> Tensor:
    # The floor is about one grey level: below it a frequency's amplitude is rounding.
    amplitude = torch.fft.rfft2(_small(images).float(), norm="ortho").abs()
    logarithm: Tensor = (amplitude + 0.05).log()
    return logarithm.flatten(2).transpose(1, 2)
