"""VAE decoder (DisCo, Table 8) as a generator: prior noise in, images out.

Deviations: LeakyReLU instead of ReLU by default, which keeps more latents active when trained briefly; and, with
``flow_layers``, a mapping network from noise to the codes that images really have (the second stage of Dai & Wipf,
"Diagnosing and Enhancing VAE Models", ICLR 2019), because a standard normal latent mostly falls between them.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.generator import Generator
from contrafact.nn.decoders import ConvDecoder, LocatelloDecoder
from contrafact.nn.encoders import Activation, Network
from contrafact.nn.flow import CouplingFlow

Space = Literal["w", "z"]


class VAE(Generator):
    """A convolutional decoder; its edit space is Z (standard normal), or W where a flow maps noise to codes.

    Args:
        latent_dim: L.
        image_shape: ``(C, H, W)``.
        width: multiplies every channel count.
        activation: ``leaky_relu`` or ``relu``.
        flow_layers: coupling layers of the mapping network, 0 for none.
        network: ``disco`` (Table 8), or ``locatello``: the smaller one of Locatello et al. 2019, with ReLU.
        space: edit space, ``w`` or ``z``: with a flow, ``z`` maps the noise inside ``forward``. None: W where there is
            a flow, else Z.

    Raises:
        ValueError: an unknown name, or the W space without a flow.

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
        space: Space | None = None,
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
        if space not in (None, "w", "z"):
            raise ValueError(unknown_name_message("edit space", space, ["w", "z"]))
        if space == "w" and not flow_layers:
            raise ValueError("a VAE without a flow (flow_layers) has one latent space, Z: leave space out")
        self.space = space or ("w" if flow_layers else "z")
        self.layer_names = tuple(f"blocks.{i}" for i in range(len(self.decoder.blocks) + 1))

    @classmethod
    def tiny(cls) -> VAE:
        """A small instance for examples and contract tests."""
        return cls(3, (3, 16, 16), width=0.1)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        truncation = self.check_condition(label, truncation)
        # Truncating the noise keeps the result among the codes that images have; the mean of the codes is none of them.
        return self.code(truncation * z) if self.space == "w" else truncation * z

    def code(self, noise: Tensor) -> Tensor:
        """What the decoder is given for prior noise."""
        return noise if self.flow is None else self.flow(noise)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(latent))

    def logits(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` before the sigmoid, for a Bernoulli likelihood."""
        return self.decoder.logits(self._decoded(latent))

    def _decoded(self, latent: Tensor) -> Tensor:
        latent = self.check_latent(latent)
        return self.code(latent) if self.space == "z" else latent

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self.decoder.features(self._decoded(latent), self.layer_names.index(layer))

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        if self.space == "z" and self.flow is not None:
            return super().latent_weights(layers)
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
            # Older files and runs say nothing of the space that goes without saying.
            **({"space": self.space} if self.flow is not None and self.space == "z" else {}),
        }
