"""A class knob for any architecture: noise, uniform codes and a one-hot class as its latent.

The structured latent of InfoGAN (Chen et al. 2016), ClusterGAN (Mukherjee et al. 2019) and CD-GAN (Pan et al. 2021).
The prior noise stays standard normal, as for every generator; ``map`` makes the latent of it: noise times σ, codes
uniform in [-1, 1] by the normal's distribution function, the class by the largest of its coordinates.

Shape suffixes: N samples, L latent dimensions.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator, architecture


class ClassKnob(Generator):
    """A body whose latent is ``[noise, codes, one-hot class]``; any part but the noise may be empty.

    Args:
        body: catalogue name of the architecture.
        body_arguments: its constructor arguments but ``latent_dim``.
        noise_dim: noise dimensions.
        num_codes: uniform codes.
        class_count: values of the class knob, 0 for none.
        sigma: standard deviation of the noise.

    >>> knob = ClassKnob.tiny()
    >>> knob.latents_of_class(torch.tensor([0, 2]), torch.Generator()).shape
    torch.Size([2, 7])
    """

    def __init__(
        self,
        body: str,
        body_arguments: dict[str, Any],
        noise_dim: int,
        num_codes: int = 0,
        class_count: int = 0,
        sigma: float = 1.0,
    ) -> None:
        super().__init__()
        if num_codes < 0 or class_count < 0 or class_count == 1:
            raise ValueError(
                f"num_codes must be 0 or more and class_count 0 or at least 2, got {num_codes} and {class_count}"
            )
        if not sigma > 0:
            raise ValueError(f"sigma is the noise's standard deviation and must be positive, got {sigma}")
        self.noise_dim, self.num_codes, self.sigma = check_count("noise_dim", noise_dim), num_codes, sigma
        self.latent_dim = self.prior_dim = noise_dim + num_codes + class_count
        # Through JSON, so that tuples are lists, as a file returns them.
        self.body_name, self.body_arguments = body, json.loads(json.dumps(body_arguments))
        self.body: Generator = architecture(body)(latent_dim=self.latent_dim, **body_arguments)
        self.image_shape, self.layer_names = self.body.image_shape, self.body.layer_names
        self.class_range = (noise_dim + num_codes, self.latent_dim)
        self.truncated_in = "latents" if self.body.truncated_in == "latents" else "nowhere"

    @classmethod
    def tiny(cls) -> ClassKnob:
        """A small instance for examples and contract tests."""
        return cls("dcgan", {"image_shape": (3, 16, 16), "width": 0.1}, noise_dim=3, num_codes=1, class_count=3)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        truncation = self.check_condition(label, truncation)
        noise, codes, logits = z.split([self.noise_dim, self.num_codes, self.class_range[1] - self.class_range[0]], 1)
        uniform = torch.special.erf(codes / 2**0.5)  # 2Φ(x) - 1
        parts = [truncation * self.sigma * noise, truncation * uniform]
        if logits.shape[1]:
            parts.append(F.one_hot(logits.argmax(dim=1), logits.shape[1]).to(z.dtype))
        return torch.cat(parts, dim=1)

    def forward(self, latent: Tensor) -> Tensor:
        images: Tensor = self.body(self.check_latent(latent))
        return images

    def features(self, latent: Tensor, layer: str) -> Tensor:
        return self.body.features(self.check_latent(latent), layer)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        return self.body.latent_weights(layers)

    def arguments(self) -> dict[str, Any]:
        return {
            "body": self.body_name,
            "body_arguments": self.body_arguments,
            "noise_dim": self.noise_dim,
            "num_codes": self.num_codes,
            "class_count": self.class_range[1] - self.class_range[0],
            "sigma": self.sigma,
        }
