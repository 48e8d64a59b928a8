"""VAE decoder (DisCo, Table 8) as a generator: prior noise in, images out.

Deviations: LeakyReLU instead of ReLU by default, which keeps more latents active when trained briefly; and, with
``flow_layers``, a mapping network from noise to the codes that images really have (the second stage of Dai & Wipf,
"Diagnosing and Enhancing VAE Models", ICLR 2019), because a standard normal latent mostly falls between them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.generator import Generator
from contrafact.nn.decoders import ConvDecoder, LocatelloDecoder
from contrafact.nn.encoders import Activation, Network
from contrafact.nn.flow import CouplingFlow


class VAE(Generator):
    """A convolutional decoder; its edit space is Z (standard normal), or W where a flow maps noise to codes.

    Args:
        latent_dim: L.
        image_shape: ``(C, H, W)``.
        width: multiplies every channel count.
        activation: ``leaky_relu`` or ``relu``.
        flow_layers: coupling layers of the mapping network, 0 for none.
        network: ``disco`` (Table 8), or ``locatello``: the smaller one of Locatello et al. 2019, with ReLU.

    >>> VAE(10, (3, 32, 32)).layer_names
    ('blocks.0', 'blocks.1', 'blocks.2', 'blocks.3')
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        width: float = 1.0,
        activation: Activation = "leaky_relu",
        flow_layers: int = 0,
        network: Network = "disco",
    ) -> None:
        super().__init__()
        self.decoder: ConvDecoder | LocatelloDecoder
        if network == "disco":
            self.decoder = ConvDecoder(latent_dim, image_shape, width, activation)
        elif network == "locatello":
            self.decoder = LocatelloDecoder(latent_dim, image_shape, width)
        else:
            raise ValueError(unknown_name_message("network", network, ["disco", "locatello"]))
        self.latent_dim = self.prior_dim = latent_dim
        channels, height, image_width = image_shape
        self.image_shape = (channels, height, image_width)
        self.width, self.activation, self.flow_layers, self.network = width, activation, flow_layers, network
        self.flow = CouplingFlow(latent_dim, flow_layers) if flow_layers else None
        self.space = "w" if flow_layers else "z"
        self.layer_names = tuple(f"blocks.{i}" for i in range(len(self.decoder.blocks) + 1))

    @classmethod
    def tiny(cls) -> VAE:
        """A small instance for examples and contract tests."""
        return cls(3, (3, 16, 16), width=0.1)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        truncation = self.check_condition(label, truncation)
        # Truncating the noise keeps the result among the codes that images have; the mean of the codes is none of them.
        return truncation * z if self.flow is None else self.flow(truncation * z)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(latent))

    def logits(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` before the sigmoid, for a Bernoulli likelihood."""
        return self.decoder.logits(self.check_latent(latent))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self.decoder.features(self.check_latent(latent), self.layer_names.index(layer))

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        first = self.decoder.stem[0]
        assert isinstance(first, nn.Linear)
        return first.weight

    def arguments(self) -> dict[str, Any]:
        return {
            "latent_dim": self.latent_dim,
            "image_shape": self.image_shape,
            "width": self.width,
            "activation": self.activation,
            "flow_layers": self.flow_layers,
            "network": self.network,
        }
