"""StyleGAN: the first style-based GAN, edited in W, per layer or in Z (Karras et al. 2019).

A Style-Based Generator Architecture for Generative Adversarial Networks, CVPR 2019, https://arxiv.org/abs/1812.04948.
Reads NVIDIA's TensorFlow pickles, genforce's files (also those of InterFaceGAN, HiGAN and SeFa) and rosinality's, fully
grown. Weights keep the originals' scale (equalised learning rate), so a checkpoint can be trained on.

Shape suffixes: N samples, L latent (W) dimensions, Z prior dimensions, I input channels, O output channels, H, W sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.generators._settings import Settings
from contrafact.generators._style_based import Noise, Space, StyleBased, check_positive
from contrafact.generators._style_layouts import built
from contrafact.generators._stylegan_layers import StyledLayer, ToImage
from contrafact.generators._stylegan_layouts import translate

_ACTIVATIONS = ("lrelu", "relu")


def channels_of(size: int) -> list[int]:
    """The paper's channel counts from 4 pixels to ``size``.

    Raises:
        ValueError: a size that is no power of two of at least 8.

    >>> channels_of(256)
    [512, 512, 512, 512, 256, 128, 64]
    """
    if size < 8 or size & (size - 1):
        raise ValueError(f"StyleGAN makes images of 8, 16, 32, … pixels, got size {size}")
    return [min(16384 >> r, 512) for r in range(2, size.bit_length())]


class StyleGAN(StyleBased):
    """StyleGAN's generator. Its edit space is W, per layer where wanted: ``(N, L)`` or W+ ``(N, num_layers, L)``.

    Its authors show faces with truncation 0.7 of the first 8 layers: ``generator.truncate(w, 0.7, (0, 8))``.

    Args:
        size: image side, a power of two of at least 8.
        latent_dim: L, dimensions of W.
        prior_dim: Z, dimensions of the prior; as W by default.
        channels: channel count at 4, 8, … ``size`` pixels; the paper's by default.
        mapping_layers: layers of the mapping network.
        mapping_lr: learning-rate multiplier of the mapping network (its weights are stored divided by it).
        mapping_dim: width of its hidden layers; as W by default.
        image_channels: C.
        classes: number of classes of a conditional generator, 0 for none; their embeddings are normalised with z.
        kernel: three taps of the low-pass filter that follows upsampling; 0, 1, 0 for none.
        epsilon: what the instance normalisation adds to the variance.
        blurred_bias: whether the biases of upsampling layers come before the low-pass filter (rosinality's).
        space: ``w``, or ``z`` to edit the prior's noise: it is mapped inside ``forward``.
        label: fix a conditional generator to this class.
        truncation: its own truncation. It acts on W: in the W space where latents are drawn, in Z, whose noise is
            normalised first, where ``forward`` has mapped it.
        activation: ``lrelu`` or ``relu``, what follows the convolutions.
        mapping_activation: ``lrelu`` or ``relu``, what follows the mapping network's layers.
        tanh: whether the image passes through a hyperbolic tangent at the end (genforce's ``final_tanh``).

    Raises:
        ValueError: sizes that do not fit each other, unknown names, or the Z space of a conditional generator whose
            class is open.

    >>> generator = StyleGAN(64, channels=[32, 32, 16, 16, 8], mapping_layers=3)
    >>> generator.image_shape, generator.num_layers, generator.layer_names[:3]
    ((3, 64, 64), 10, ('b4.conv0', 'b4.conv1', 'b8.conv0'))
    """

    kernel: Tensor

    def __init__(
        self,
        size: int,
        latent_dim: int = 512,
        prior_dim: int | None = None,
        channels: Sequence[int] | None = None,
        mapping_layers: int = 8,
        mapping_lr: float = 0.01,
        mapping_dim: int | None = None,
        image_channels: int = 3,
        classes: int = 0,
        kernel: Sequence[float] = (1.0, 2.0, 1.0),
        epsilon: float = 1e-8,
        blurred_bias: bool = False,
        space: Space = "w",
        label: int | None = None,
        truncation: float = 1.0,
        activation: str = "lrelu",
        mapping_activation: str = "lrelu",
        tanh: bool = False,
    ) -> None:
        counts = channels_of(size) if channels is None else list(channels)
        if len(counts) < 2 or size != 2 << len(counts):
            raise ValueError(f"channels must list a count for each side from 4 to {size}, got {counts}")
        if isinstance(kernel, str) or not isinstance(kernel, Sequence) or len(kernel) != 3:
            raise ValueError(f"the low-pass filter must have 3 taps, got {kernel!r}")
        if not all(isinstance(tap, float | int) for tap in kernel) or not sum(kernel) > 0:
            raise ValueError(f"the taps of the low-pass filter must be numbers of a positive sum, got {kernel!r}")
        check_positive("epsilon", epsilon)
        for name in (activation, mapping_activation):
            if name not in _ACTIVATIONS:
                raise ValueError(unknown_name_message("activation", str(name), _ACTIVATIONS))
        for argument, value in (("blurred_bias", blurred_bias), ("tanh", tanh)):
            if not isinstance(value, bool):
                raise ValueError(f"{argument} is true or false, got {value!r}")
        super().__init__(
            latent_dim,
            prior_dim,
            mapping_layers,
            mapping_lr,
            mapping_dim,
            mapping_activation,
            classes,
            "joint",
            space,
            label,
            truncation,
        )
        self.size, self.channels, self.tanh = size, counts, tanh
        self.epsilon, self.blurred_bias, self.activation = float(epsilon), blurred_bias, activation
        self.taps = [float(tap) for tap in kernel]
        self.image_shape = (image_channels, size, size)
        self.num_layers = 2 * len(counts)
        taps = torch.tensor(self.taps)
        self.register_buffer("kernel", torch.outer(taps, taps) / taps.sum() ** 2, persistent=False)
        self.const = nn.Parameter(torch.ones(counts[0], 4, 4))
        self.convs = nn.ModuleList()
        before: int | None = None
        for index, count in enumerate(counts):
            for up in (True, False):
                kind = (4 << index, up and index > 0, self.epsilon, activation, blurred_bias)
                self.convs.append(StyledLayer(before, count, latent_dim, *kind))
                before = count
        self.to_image = ToImage(counts[-1], image_channels)
        self.layer_names = tuple(f"b{4 << i}.conv{half}" for i in range(len(counts)) for half in (0, 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> StyleGAN:
        """A small instance for examples and contract tests."""
        generator = cls(16, latent_dim=12, prior_dim=8, channels=[8, 6, 4], mapping_layers=2)
        for layer in generator.convs:
            assert isinstance(layer, StyledLayer)
            nn.init.constant_(layer.noise_strength, 0.1)
        return generator

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """The layers' style weights; in Z, the mapping network's first weights, whatever the layers."""
        if self.space == "z":
            return self.mapping_weights()
        rows = []
        for layer in self.convs[slice(*(layers or (0, self.num_layers)))]:
            assert isinstance(layer, StyledLayer)
            rows.append(layer.affine.weight * layer.affine.gain)
        return torch.cat(rows)

    def forward(self, latent: Tensor, noise: Noise = "const", rng: torch.Generator | None = None) -> Tensor:
        """Images ``(N, C, H, W)``.

        Args:
            latent: ``(N, L)`` or ``(N, num_layers, L)``.
            noise: ``const`` uses the stored noise images, ``random`` fresh ones per image and layer, ``none`` none.
            rng: source of random noise, on the latent's device; torch's own by default.
        """
        image: Tensor = self.to_image(self._run(latent, noise, rng, len(self.convs)))
        return ((image.tanh() if self.tanh else image) + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, "const", None, self.layer_names.index(layer) + 1)

    def _run(self, latent: Tensor, noise: Noise, rng: torch.Generator | None, depth: int) -> Tensor:
        x = self.const[None]
        for layer, w in zip(self.convs[:depth], self.styles(latent), strict=False):
            x = layer(x, w, self.kernel, self.noise_for(layer, len(latent), noise, rng))
        return x

    def arguments(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "latent_dim": self.w_dim,
            "prior_dim": self.prior_dim,
            "channels": self.channels,
            "mapping_layers": len(self.mapping),
            "mapping_lr": self.mapping_lr,
            "mapping_dim": self.mapping_dim,
            "image_channels": self.image_shape[0],
            "classes": self.classes,
            "kernel": self.taps,
            "epsilon": self.epsilon,
            "blurred_bias": self.blurred_bias,
            "space": self.space,
            "label": self.label,
            "truncation": self.truncation,
            "activation": self.activation,
            "mapping_activation": self.mapping_activation,
            "tanh": self.tanh,
        }


def read(content: Any, settings: Settings) -> StyleGAN | None:
    """The generator of a foreign checkpoint, None if it is no StyleGAN.

    Raises:
        ValueError: a StyleGAN that is incomplete, not fully grown or of a variant that is not supported.
    """
    translated = translate(content, settings)
    return None if translated is None else built(StyleGAN, translated)
