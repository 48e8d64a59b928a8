"""StyleGAN2: the style-based GAN, edited in W, layer by layer or in Z (Karras et al. 2020).

Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, https://arxiv.org/abs/1912.04958; class conditioning
as in StyleGAN2-ADA, NeurIPS 2020, https://arxiv.org/abs/2006.06676. Reads the checkpoints of rosinality's PyTorch
port, NVIDIA's stylegan2-ada-pytorch (and the StyleGAN2 of stylegan3) and genforce. Skip architecture. Weights keep the
originals' scale (equalised learning rate), so a checkpoint can be trained on.

Shape suffixes: N samples, L latent (W) dimensions, Z prior dimensions, I input channels, O output channels, H, W
sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._settings import Settings
from contrafact.generators._stylegan2_layers import StyledConv, ToImage, upsample
from contrafact.generators._stylegan2_layouts import translate
from contrafact.nn.activations import check_activation
from contrafact.nn.equalized import Dense

Noise = Literal["const", "random", "none"]
Space = Literal["w", "z"]
Conditioning = Literal["separate", "joint"]

CHANNELS = {
    "config-f": (32768, 512),
    "config-e": (16384, 512),
    "small": (16384, 256),
}
"""Named settings: channels at side R are ``min(base / R, maximum)``."""

_EPSILON = 1e-8


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


class StyleGAN2(Generator):
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

    embed: Dense
    w_avg: Tensor
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
        super().__init__()
        counts = channels_of(channels, size) if isinstance(channels, str) else list(channels)
        if len(counts) < 2 or size != 2 << len(counts):
            raise ValueError(f"channels must list a count for each side from 4 to {size}, got {counts}")
        if conditioning not in ("separate", "joint"):
            raise ValueError(unknown_name_message("conditioning", conditioning, ["separate", "joint"]))
        if space not in ("w", "z"):
            raise ValueError(unknown_name_message("edit space", space, ["w", "z"]))
        if isinstance(kernel, str) or not isinstance(kernel, Sequence) or len(kernel) != 4:
            raise ValueError(f"the resampling filter must have 4 taps, got {kernel!r}")
        if not all(isinstance(tap, float | int) for tap in kernel) or not sum(kernel) > 0:
            raise ValueError(f"the taps of the resampling filter must be numbers of a positive sum, got {kernel!r}")
        _check_positive("mapping_lr", mapping_lr)
        if clamp is not None:
            _check_positive("clamp", clamp)
        if not isinstance(tanh, bool):
            raise ValueError(f"tanh is true or false, got {tanh!r}")
        self.size, self.channels, self.w_dim = size, counts, check_count("latent_dim", latent_dim)
        self.prior_dim = latent_dim if prior_dim is None else check_count("prior_dim", prior_dim)
        self.mapping_lr, self.mapping_dim = mapping_lr, mapping_dim or latent_dim
        self.classes, self.conditioning, self.clamp, self.tanh = classes, conditioning, clamp, tanh
        self.activation = check_activation(activation)
        self.mapping_activation = check_activation(mapping_activation)
        self.taps = [float(tap) for tap in kernel]
        self.space: Space = space
        self.check_truncation(truncation)
        self.truncation, self.truncated_in = float(truncation), "images" if space == "z" else "latents"
        self.latent_dim = latent_dim if space == "w" else self.prior_dim
        self.image_shape = (image_channels, size, size)
        self.num_layers = 2 * len(counts)

        embed_dim = 0
        if classes:
            embed_dim = self.prior_dim if conditioning == "joint" else latent_dim
            self.embed = Dense(classes, embed_dim, bias=conditioning == "separate")
        hidden = [self.mapping_dim] * (check_count("mapping_layers", mapping_layers) - 1)
        widths = [self.prior_dim + embed_dim, *hidden, latent_dim]
        self.mapping = nn.ModuleList(
            Dense(i, o, lr=mapping_lr, activated=True, activation=mapping_activation)
            for i, o in itertools.pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(latent_dim))
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
        self.num_classes = classes
        if label is not None:
            self.fix_label(label)
        if space == "z" and self.num_classes:
            raise ValueError("the Z space of a conditional StyleGAN2 needs its class fixed: give a label")

    @classmethod
    def tiny(cls) -> StyleGAN2:
        """A small instance for examples and contract tests."""
        generator = cls(16, latent_dim=12, prior_dim=8, channels=[8, 6, 4], mapping_layers=2, classes=3)
        for conv in generator.convs:
            assert isinstance(conv, StyledConv)
            nn.init.constant_(conv.noise_strength, 0.1)
        return generator

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        truncation = self.check_condition(label, truncation)
        if self.space == "z":
            return z
        return self.truncate(self.to_w(z, label), truncation)

    def to_w(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The mapping network: prior noise ``(N, Z)`` to W ``(N, L)``, not truncated."""
        if self.classes:
            if self.label is not None:
                label = torch.full((len(z),), self.label, device=z.device)
            elif label is None:
                raise ValueError(f"W of a conditional StyleGAN2 needs class labels from 0 to {self.classes - 1}")
            embedded = self.embed(F.one_hot(label, self.classes).to(z.dtype))
            separate = self.conditioning == "separate"
            z = torch.cat((_normalized(z), _normalized(embedded)) if separate else (z, embedded), dim=1)
            x = z if separate else _normalized(z)
        else:
            x = _normalized(z)
        for layer in self.mapping:
            x = layer(x)
        return x

    def truncate(self, w: Tensor, truncation: float, layers: tuple[int, int] | None = None) -> Tensor:
        """Pull W latents towards their mean.

        Args:
            w: ``(N, L)`` or ``(N, num_layers, L)``.
            truncation: 1 leaves them, 0 is the mean.
            layers: ``(first, last)`` layers (last excluded) to truncate; the result is then ``(N, num_layers, L)``.

        Raises:
            ValueError: truncation outside [0, 1], or layers that are not there.
        """
        self.check_truncation(truncation)
        if layers is not None and not 0 <= layers[0] <= layers[1] <= self.num_layers:
            raise ValueError(f"layers must be (first, last) within 0 to {self.num_layers}, got {tuple(layers)}")
        if layers is None:
            return w if truncation == 1.0 else self.w_avg + truncation * (w - self.w_avg)
        layered = self._layered(w).clone()
        layered[:, slice(*layers)] = self.w_avg + truncation * (layered[:, slice(*layers)] - self.w_avg)
        return layered

    def mix(self, coarse: Tensor, fine: Tensor, layer: int) -> Tensor:
        """Style mixing: ``coarse`` up to ``layer`` (excluded), ``fine`` from it on; ``(N, num_layers, L)``.

        Raises:
            ValueError: ``layer`` outside ``[0, num_layers]``.
        """
        if not 0 <= layer <= self.num_layers:
            raise ValueError(f"layer must lie in [0, {self.num_layers}], got {layer}")
        coarse, fine = (self._layered(self.check_latent(latent)) for latent in (coarse, fine))
        return torch.cat((coarse[:, :layer], fine[:, layer:]), dim=1)

    def _layered(self, latent: Tensor) -> Tensor:
        return latent if latent.ndim == 3 else latent[:, None].expand(-1, self.num_layers, -1)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """The layers' modulation weights; in Z, the mapping network's first weights, whatever the layers.

        An image layer reads the same latent as the next block's first convolution. As in SeFa's program only
        convolutions count, and of the image layers the last, which has its latent to itself.
        """
        if self.space == "z":
            dense = self.mapping[0]
            assert isinstance(dense, Dense)
            return dense.weight[:, : self.prior_dim] * dense.gain
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
        if noise not in ("const", "random", "none"):
            raise ValueError(unknown_name_message("noise", noise, ["const", "random", "none"]))
        latent = self.check_latent(latent)
        if self.space == "z":
            latent = self.truncate(self.to_w(latent.flatten(0, -2)), self.truncation).unflatten(0, latent.shape[:-1])
        styles = self._layered(latent).unbind(1)
        x = self.const[None]
        image = x.new_zeros(())
        for index, conv in enumerate(self.convs):
            assert isinstance(conv, StyledConv)
            x = conv(x, styles[index], self.kernel, self._noise(conv, len(latent), noise, rng))
            if index == last:
                break
            if index % 2 == 0:
                increment: Tensor = self.to_images[index // 2](x, styles[index + 1]).to(self.kernel.dtype)
                image = increment if index == 0 else upsample(image, self.kernel) + increment
        return image, x

    @staticmethod
    def _noise(conv: StyledConv, n: int, noise: Noise, rng: torch.Generator | None) -> Tensor | None:
        if noise == "random":
            return torch.randn(n, conv.side, conv.side, generator=rng, device=conv.noise.device)
        return conv.noise if noise == "const" else None

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


def _check_positive(name: str, value: float) -> None:
    number = isinstance(value, float | int) and not isinstance(value, bool)
    if not number or not 0 < value < 1e30:
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def _normalized(z: Tensor) -> Tensor:
    unit: Tensor = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + _EPSILON)
    return unit


def read(content: Any, settings: Settings) -> StyleGAN2 | None:
    """The generator of a foreign checkpoint, None if it is no StyleGAN2.

    Raises:
        ValueError: a StyleGAN2 that is incomplete or of a variant that is not supported.
    """
    translated = translate(content, settings)
    if translated is None:
        return None
    generator = StyleGAN2(**translated.arguments)
    try:
        missing = generator.load_state_dict(translated.tensors, strict=False)[0]
    except RuntimeError as error:
        raise ValueError(f"the StyleGAN2 checkpoint's shapes do not fit together: {error}") from error
    absent = [name for name in missing if name != "w_avg" and not name.endswith(".noise")]
    if absent:
        raise ValueError(f"the StyleGAN2 checkpoint lacks {len(absent)} tensors: {', '.join(absent[:5])}")
    complete(generator, missing)
    return generator


@torch.no_grad()
def complete(generator: StyleGAN2, missing: Sequence[str]) -> None:
    """What some files leave out: the mean of W is estimated, noise images are drawn, both from a fixed seed."""
    rng = torch.Generator().manual_seed(0)
    for index, conv in enumerate(generator.convs):
        assert isinstance(conv, StyledConv)
        drawn = torch.randn(conv.side, conv.side, generator=rng)
        if f"convs.{index}.noise" in missing:
            conv.noise.copy_(drawn)
    if any(name.endswith(".noise") for name in missing):
        generator.note["noise"] = "drawn: the file holds none"
    if "w_avg" in missing:
        z = torch.randn(10_000, generator.prior_dim, generator=rng)
        label = torch.randint(generator.classes, (10_000,), generator=rng) if generator.classes else None
        generator.w_avg.copy_(generator.to_w(z, label).mean(dim=0))
        generator.note["w_avg"] = "estimated: the file holds none"
