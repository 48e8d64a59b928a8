"""Convolutional encoders: images to codes.

Shape suffixes: N images, J code dimensions, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder
from contrafact.nn.own_encoder import Backbone, HeadedEncoder, own_argument

Activation = Literal["relu", "leaky_relu"]
Network = Literal["disco", "locatello"]
"""DisCo's Tables 7 and 8, or the small networks of Locatello et al., "Challenging Common Assumptions", ICML 2019."""


SLOPE = 0.2
"""A leaky ReLU's, where nothing else is asked for."""
_TORCH_SLOPE = 0.01


def activation_layer(name: Activation, slope: float = SLOPE) -> nn.Module:
    """The activation module called ``name``, which overwrites what it is given; a leaky ReLU has this slope."""
    if name == "relu":
        return nn.ReLU(inplace=True)
    if name == "leaky_relu":
        return nn.LeakyReLU(slope, inplace=True)
    raise ValueError(unknown_name_message("activation", name, ["relu", "leaky_relu"]))


def kaiming_init(module: nn.Module, slope: float = SLOPE) -> None:
    """He initialisation of every convolution and linear layer for a leaky ReLU of this slope; zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=slope)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def glorot_init(module: nn.Module) -> None:
    """Glorot initialisation of every convolution and linear layer, zero biases: the default of the authors' library."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def num_halvings(height: int, width: int) -> int:
    """Stride-2 convolutions that bring an image to about 4×4: 4 at 64 px, 3 at 32 and 28 px."""
    if min(height, width) < 8:
        raise ValueError(f"images must be at least 8 pixels on a side, got {height}×{width}")
    return round(math.log2(min(height, width) / 4))


class ConvEncoder(Encoder):
    """The light encoder of DisCo (Table 7): conv7 64, then stride-2 conv4 128, 256, 256, …, then three linear layers.

    One stride-2 convolution per halving down to about 4×4, so a 32-pixel image has one fewer than the table's 64.

    Args:
        image_shape: ``(C, H, W)``.
        code_dim: J.
        width: multiplies every channel count (1 is the paper's; ½ is four times cheaper).
        activation: ``leaky_relu`` with He initialisation (as released), or ``relu`` (as printed).
        slope: of the leaky ReLU, 0 to 1; the release's is 0.01.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        code_dim: int,
        width: float = 1.0,
        activation: Activation = "leaky_relu",
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.code_dim = check_count("code_dim", code_dim)
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        if not 0 <= slope <= 1:
            raise ValueError(f"slope must be between 0 and 1, got {slope}")
        self.width, self.activation, self.slope = width, activation, slope
        halvings = num_halvings(height, image_width)
        sizes = [max(8, round(c * width)) for c in [64, 128, *[256] * (halvings - 1)]]
        layers: list[nn.Module] = [nn.Conv2d(channels, sizes[0], 7, padding=3), activation_layer(activation, slope)]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), activation_layer(activation, slope)]
        self.convolutions = nn.Sequential(*layers)
        hidden = max(8, round(256 * width))
        flat = sizes[-1] * (height // 2**halvings) * (image_width // 2**halvings)
        self.head = nn.Sequential(
            nn.Linear(flat, hidden),
            activation_layer(activation, slope),
            nn.Linear(hidden, hidden),
            activation_layer(activation, slope),
            nn.Linear(hidden, code_dim),
        )
        if activation == "leaky_relu":
            # The release draws its weights as for a ReLU, which a slope of 0.01 is up to 5e-5.
            kaiming_init(self, slope if slope > _TORCH_SLOPE else 0.0)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def encode(self, images: Tensor) -> Tensor:
        features = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        codes: Tensor = self.head(features.flatten(1))
        return codes

    def arguments(self) -> dict[str, Any]:
        return {
            "image_shape": self.image_shape,
            "code_dim": self.code_dim,
            "width": self.width,
            "activation": self.activation,
            "slope": self.slope,
        }


class LocatelloEncoder(Encoder):
    """The small encoder of Locatello et al. 2019: stride-2 conv4 32, 32, conv2 64, 64, then two linear layers.

    At 64 pixels exactly theirs; a smaller image has fewer convolutions.

    Args:
        image_shape: ``(C, H, W)``.
        code_dim: J.
        width: multiplies every channel count.
    """

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: float = 1.0) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.code_dim = check_count("code_dim", code_dim)
        if not width > 0:
            raise ValueError(f"width must be positive, got {width}")
        self.width = width
        halvings = num_halvings(height, image_width)
        first = (halvings + 1) // 2  # the wide kernels; 2 of 4 at 64 pixels
        sizes = [channels, *(max(8, round(c * width)) for c in [32] * first + [64] * (halvings - first))]
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(itertools.pairwise(sizes)):
            kernel = 4 if number < first else 2
            layers += [nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2 - 1), nn.ReLU(inplace=True)]
        hidden = max(8, round(256 * width))
        flat = sizes[-1] * (height // 2**halvings) * (image_width // 2**halvings)
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, code_dim))
        glorot_init(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def encode(self, images: Tensor) -> Tensor:
        features = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        codes: Tensor = self.head(features.flatten(1))
        return codes

    def arguments(self) -> dict[str, Any]:
        return {"image_shape": self.image_shape, "code_dim": self.code_dim, "width": self.width}


class GaussianEncoder(Encoder):
    """A VAE's encoder: a diagonal Gaussian posterior; its mean is the code.

    Args:
        image_shape: ``(C, H, W)``.
        code_dim: J.
        width: multiplies every channel count of the network inside.
        activation: ``leaky_relu`` or ``relu``, of the network ``disco``; the other's is ReLU.
        network: ``disco``, a :class:`ConvEncoder`, or ``locatello``, a :class:`LocatelloEncoder`.
        own: a module in their place, with a linear layer on its features.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        code_dim: int,
        width: float = 1.0,
        activation: Activation = "leaky_relu",
        network: Network = "disco",
        own: Backbone = None,
    ) -> None:
        super().__init__()
        outputs = 2 * check_count("code_dim", code_dim)
        self.body: ConvEncoder | LocatelloEncoder | HeadedEncoder
        if own is not None:
            self.body = HeadedEncoder(own, image_shape, outputs)
        elif network == "disco":
            self.body = ConvEncoder(image_shape, outputs, width, activation)
        elif network == "locatello":
            self.body = LocatelloEncoder(image_shape, outputs, width)
        else:
            raise ValueError(unknown_name_message("network", network, ["disco", "locatello"]))
        self.image_shape, self.code_dim = self.body.image_shape, code_dim
        self.width, self.activation, self.network, self._own = width, activation, network, own_argument(own)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each ``(N, J)``, of the posterior of each image."""
        mean, log_variance = self.body.encode(images).float().chunk(2, dim=1)
        return mean, log_variance

    def encode(self, images: Tensor) -> Tensor:
        return self.posterior(images)[0]

    def arguments(self) -> dict[str, Any]:
        return {
            "image_shape": self.image_shape,
            "code_dim": self.code_dim,
            "width": self.width,
            "activation": self.activation,
            "network": self.network,
            **self._own,
        }
