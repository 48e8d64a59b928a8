"""StyleGAN2: the style-based GAN, edited in W, layer by layer or in Z (Karras et al. 2020).

Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, https://arxiv.org/abs/1912.04958; class conditioning
as in StyleGAN2-ADA, NeurIPS 2020, https://arxiv.org/abs/2006.06676. Reads the checkpoints of rosinality's PyTorch
port, NVIDIA's stylegan2-ada-pytorch (and the StyleGAN2 of stylegan3), its TensorFlow programs, and genforce. Skip
architecture. Weights keep the originals' scale (equalised learning rate), so a checkpoint can be trained on.

Shape suffixes: N samples, L latent (W) dimensions, Z prior dimensions, I input channels, O output channels, H, W
sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.generators._settings import Settings
from contrafact.generators._style_based import Conditioning, Noise, Space, StyleBased, check_positive
from contrafact.generators._style_layouts import built
from contrafact.generators._stylegan2_layers import StyledConv, ToImage, upsample
from contrafact.generators._stylegan2_layouts import translate
from contrafact.nn.activations import check_activation

CHANNELS = {
    "config-f": (32768, 512),
    "config-e": (16384, 512),
    "small": (16384, 256),
}
"""Named settings: channels at side R are ``min(base / R, maximum)``."""


def channels_of(config: str, size: int) -> list[int]:
    """Channel counts from 4 pixels to ``size`` of a named setting.

    Raises:
        ValueError: unknown setting, or a size that is no power of two of at least 8.

    >>> channels_of("config-f", 256)
    [512, 512, 512, 512, 512, 256, 128]
    """
    if config not in CHANNELS:
        raise ValueError(unknown_name_message("StyleGAN2 setting", config, CHANNELS))
    if size < 8 or size & (size - 1):
        raise ValueError(f"StyleGAN2 makes images of 8, 16, 32, … pixels, got size {size}")
    base, maximum = CHANNELS[config]
    return [min(base >> r, maximum) for r in range(2, size.bit_length())]


class StyleGAN2(StyleBased):
    """StyleGAN2's generator. Its edit space is W, per layer where wanted: ``(N, L)`` or W+ ``(N, num_layers, L)``.

    Args:
        size: image side, a power of two of at least 8.
        latent_dim: L, dimensions of W.
        prior_dim: Z, dimensions of the prior; as W by default.
        channels: channel count at 4, 8, … ``size`` pixels, or the name of a setting: ``config-f``, ``config-e``,
            ``small``.
        mapping_layers: layers of the mapping network.
        mapping_lr: learning-rate multiplier of the mapping network (its weights are stored divided by it).
        mapping_dim: width of its hidden layers; as W by default.
        image_channels: C.
        classes: number of classes of a conditional generator, 0 for none.
        conditioning: how class embeddings enter: normalised on their own and concatenated (``separate``, ADA), or
            concatenated and normalised with z, without a bias (``joint``, genforce's StyleGAN2).
        clamp: bound of the activations, for models trained with one (256 in ADA's mixed precision).
        activation: what follows the convolutions (see :mod:`contrafact.nn.activations`).
        mapping_activation: what follows the mapping network's layers.
        tanh: whether the image passes through a hyperbolic tangent at the end (genforce's ``final_tanh``).
        kernel: four taps of the resampling filter.
        space: ``w``, or ``z`` to edit the prior's noise: it is mapped inside ``forward``.
        label: fix a conditional generator to this class.
        truncation: its own truncation. It acts on W: in the W space where latents are drawn, in Z, whose noise is
            normalised first, where ``forward`` has mapped it.

    Raises:
        ValueError: sizes that do not fit each other, unknown names, or the Z space of a conditional generator whose
            class is open.

    >>> generator = StyleGAN2(64, channels="small", mapping_layers=3)
    >>> generator.image_shape, generator.num_layers, generator.layer_names[:3]
    ((3, 64, 64), 10, ('b4.conv1', 'b8.conv0', 'b8.conv1'))
    """

    kernel: Tensor

    def __init__(
        self,
        size: int,
        latent_dim: int = 512,
        prior_dim: int | None = None,
        channels: Sequence[int] | str = "config-f",
        mapping_layers: int = 8,
        mapping_lr: float = 0.01,
        mapping_dim: int | None = None,
        image_channels: int = 3,
        classes: int = 0,
        conditioning: Conditioning = "separate",
        clamp: float | None = None,
        kernel: Sequence[float] = (1.0, 3.0, 3.0, 1.0),
        space: Space = "w",
        label: int | None = None,
        truncation: float = 1.0,
        activation: str = "lrelu",
        mapping_activation: str = "lrelu",
        tanh: bool = False,
    ) -> None:
        counts = channels_of(channels, size) if isinstance(channels, str) else list(channels)
        if len(counts) < 2 or size != 2 << len(counts):
            raise ValueError(f"channels must list a count for each side from 4 to {size}, got {counts}")
        if isinstance(kernel, str) or not isinstance(kernel, Sequence) or len(kernel) != 4:
            raise ValueError(f"the resampling filter must have 4 taps, got {kernel!r}")
        if not all(isinstance(tap, float | int) for tap in kernel) or not sum(kernel) > 0:
            raise ValueError(f"the taps of the resampling filter must be numbers of a positive sum, got {kernel!r}")
        if clamp is not None:
            check_positive("clamp", clamp)
        if not isinstance(tanh, bool):
            raise ValueError(f"tanh is true or false, got {tanh!r}")
        super().__init__(
            latent_dim,
            prior_dim,
            mapping_layers,
            mapping_lr,
            mapping_dim,
            mapping_activation,
            classes,
            conditioning,
            space,
            label,
            truncation,
        )
        self.size, self.channels, self.clamp, self.tanh = size, counts, clamp, tanh
        self.activation = check_activation(activation)
        self.taps = [float(tap) for tap in kernel]
        self.image_shape = (image_channels, size, size)
        self.num_layers = 2 * len(counts)
        taps = torch.tensor(self.taps)
        # Zeros between the pixels lose 3/4 of the brightness, hence 4; flipped because conv2d correlates.
        plane = torch.outer(taps, taps).flip(0, 1) * 4 / taps.sum() ** 2
        self.register_buffer("kernel", plane[None, None], persistent=False)
        self.const = nn.Parameter(torch.randn(counts[0], 4, 4))
        sides = [4 << i for i in range(len(counts))]
        self.convs = nn.ModuleList([StyledConv(counts[0], counts[0], latent_dim, 4, False, clamp, activation)])
        for before, after, side in zip(counts, counts[1:], sides[1:], strict=False):
            self.convs.append(StyledConv(before, after, latent_dim, side, True, clamp, activation))
            self.convs.append(StyledConv(after, after, latent_dim, side, False, clamp, activation))
        self.to_images = nn.ModuleList(ToImage(count, image_channels, latent_dim, clamp) for count in counts)
        self.layer_names = ("b4.conv1", *(f"b{side}.conv{i}" for side in sides[1:] for i in (0, 1)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> StyleGAN2:
        """A small instance for examples and contract tests."""
        generator = cls(16, latent_dim=12, prior_dim=8, channels=[8, 6, 4], mapping_layers=2, classes=3)
        for conv in generator.convs:
            assert isinstance(conv, StyledConv)
            nn.init.constant_(conv.noise_strength, 0.1)
        return generator

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """The layers' modulation weights; in Z, the mapping network's first weights, whatever the layers.

        An image layer reads the same latent as the next block's first convolution. As in SeFa's program only
        convolutions count, and of the image layers the last, which has its latent to itself.
        """
        if self.space == "z":
            return self.mapping_weights()
        rows = []
        for module in [*self.convs, self.to_images[-1]][slice(*(layers or (0, self.num_layers)))]:
            assert isinstance(module, StyledConv | ToImage)
            rows.append(module.affine.weight * module.affine.gain)
        return torch.cat(rows)

    def forward(self, latent: Tensor, noise: Noise = "const", rng: torch.Generator | None = None) -> Tensor:
        """Images ``(N, C, H, W)``.

        Args:
            latent: ``(N, L)`` or ``(N, num_layers, L)``.
            noise: ``const`` uses the stored noise images, ``random`` fresh ones per image, ``none`` none.
            rng: source of random noise, on the latent's device; torch's own by default.
        """
        image = self._synthesize(latent, noise, rng)[0]
        return ((image.tanh() if self.tanh else image) + 1) / 2

    def preview(self, latent: Tensor, side: int) -> Tensor | None:
        """The image as the first layers have it, whose sum the larger ones go on."""
        blocks = [block for block in range(len(self.to_images) - 1) if 4 << block >= side]
        if not blocks:
            return None
        image = self._synthesize(latent, "const", None, 2 * blocks[0] + 1)[0]
        return ((image.tanh() if self.tanh else image) + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._synthesize(latent, "const", None, self.layer_names.index(layer))[1]

    def _synthesize(
        self, latent: Tensor, noise: Noise, rng: torch.Generator | None, last: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The image in −1..1 so far and the activations, after conv ``last`` (the end by default)."""
        styles = self.styles(latent)
        x = self.const[None]
        image = x.new_zeros(())
        for index, conv in enumerate(self.convs):
            assert isinstance(conv, StyledConv)
            x = conv(x, styles[index], self.kernel, self.noise_for(conv, len(latent), noise, rng))
            if index == last:
                break
            if index % 2 == 0:
                increment: Tensor = self.to_images[index // 2](x, styles[index + 1]).to(self.kernel.dtype)
                image = increment if index == 0 else upsample(image, self.kernel) + increment
        return image, x

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
            "conditioning": self.conditioning,
            "clamp": self.clamp,
            "kernel": self.taps,
            "space": self.space,
            "label": self.label,
            "truncation": self.truncation,
            "activation": self.activation,
            "mapping_activation": self.mapping_activation,
            "tanh": self.tanh,
        }


def read(content: Any, settings: Settings) -> StyleGAN2 | None:
    """The generator of a foreign checkpoint, None if it is no StyleGAN2.

    Raises:
        ValueError: a StyleGAN2 that is incomplete or of a variant that is not supported.
    """
    translated = translate(content, settings)
    return None if translated is None else built(StyleGAN2, translated)
