"""StyleGAN3: the alias-free GAN, whose images can be moved and turned (Karras et al. 2021).

Alias-Free Generative Adversarial Networks, NeurIPS 2021, https://arxiv.org/abs/2106.12423. Reads the network pickles of
NVIDIA's stylegan3, configurations T (``config-t``) and R (``config-r``), and their state dicts. Weights keep the
original's scale (equalised learning rate), so a checkpoint can be trained on.

Shape suffixes: N samples, L latent (W) dimensions, Z prior dimensions, R outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.pose import PoseDirections
from contrafact.generators._settings import Settings
from contrafact.generators._style_based import Space, StyleBased, check_positive
from contrafact.generators._style_layouts import built
from contrafact.generators._stylegan3_bands import bands_of, checked
from contrafact.generators._stylegan3_layers import FilteredConv, FourierInput, ProjectedEmbedding, ToImage
from contrafact.generators._stylegan3_layouts import Filters, translate
from contrafact.nn.equalized import Dense

CHANNELS = {
    "config-t": (32768, 512),
    "config-r": (65536, 1024),
}
"""Named settings: channels of a layer of cutoff f are ``min(base / 2 / f, maximum)``."""


class StyleGAN3(StyleBased):
    """StyleGAN3's generator. Its edit space is W, per layer where wanted: ``(N, L)`` or W+ ``(N, num_layers, L)``.

    The first of the layers is the input, whose latent does nothing but move and turn the image. StyleGAN-XL (Sauer et
    al. 2022, https://arxiv.org/abs/2202.00273) has such layers, trained in stages, and a class embedding of its own.

    Args:
        size: image side, a power of two of at least 8.
        latent_dim: L, dimensions of W.
        prior_dim: Z, dimensions of the prior; as W by default.
        channels: channel count of each layer but the image's, or the name of a setting: ``config-t``, ``config-r``.
        bands: number of layers before the image's, whose bands follow the paper's rule (see
            :mod:`contrafact.generators._stylegan3_bands`); or (side, rate, cutoff, half-width) of each and the image's.
        critical: of these layers, how many at the end sample critically.
        kernel: side of the convolutions' kernels: 3, or 1 in ``config-r``.
        radial: whether filters are radially symmetric, but for critically sampled layers, as in ``config-r``.
        taps: length of the filters, in pixels of the lower rate.
        oversampling: how much finer the sampling is at which leaky ReLUs work.
        mapping_layers: layers of the mapping network.
        mapping_lr: learning-rate multiplier of the mapping network (its weights are stored divided by it).
        image_channels: C.
        classes: number of classes of a conditional generator, 0 for none.
        embedding: width of StyleGAN-XL's class embedding, which is projected to the prior's width before it is
            normalised, and beside which W has a mean for each class; 0 for StyleGAN3's own.
        clamp: bound of the activations, None for none.
        output_scale: what images are multiplied by in the end.
        space: ``w``, or ``z`` to edit the prior's noise: it is mapped inside ``forward``.
        label: fix a conditional generator to this class.
        truncation: its own truncation. It acts on W, as StyleGAN2's.

    Raises:
        ValueError: sizes that do not fit each other, unknown names, or the Z space of a conditional generator whose
            class is open.

    >>> generator = StyleGAN3(32, channels=[8] * 6, bands=6, latent_dim=16)
    >>> generator.image_shape, generator.num_layers, generator.layer_names[:3]
    ((3, 32, 32), 8, ('input', 'L0_36_8', 'L1_36_8'))
    """

    class_means: Tensor

    def __init__(
        self,
        size: int,
        latent_dim: int = 512,
        prior_dim: int | None = None,
        channels: Sequence[int] | str = "config-t",
        bands: Sequence[Sequence[float]] | int = 14,
        critical: int = 2,
        kernel: int | None = None,
        radial: bool | None = None,
        taps: int = 6,
        oversampling: int = 2,
        mapping_layers: int = 2,
        mapping_lr: float = 0.01,
        image_channels: int = 3,
        classes: int = 0,
        clamp: float | None = 256.0,
        output_scale: float = 0.25,
        space: Space = "w",
        label: int | None = None,
        truncation: float = 1.0,
        embedding: int = 0,
    ) -> None:
        found = bands_of(size, bands, critical) if isinstance(bands, int) else checked(bands, size)
        layers = len(found) - 1
        if isinstance(channels, str):
            if channels not in CHANNELS:
                raise ValueError(unknown_name_message("StyleGAN3 setting", channels, CHANNELS))
            base, most = CHANNELS[channels]
            counts = [round(min(base / 2 / band.cutoff, most)) for band in found[:-1]]
        else:
            counts = [check_count("a layer's channels", count) for count in channels]
        if len(counts) != layers:
            raise ValueError(f"channels must list a count for each of the {layers} layers, got {counts}")
        is_r = channels == "config-r"
        kernel, radial = (1 if is_r else 3) if kernel is None else kernel, is_r if radial is None else radial
        if kernel not in (1, 3):
            raise ValueError(f"the convolutions' kernels have side 3 or 1, got {kernel!r}")
        if clamp is not None:
            check_positive("clamp", clamp)
        check_positive("output_scale", output_scale)
        super().__init__(
            latent_dim,
            prior_dim,
            mapping_layers,
            mapping_lr,
            None,
            "lrelu",
            classes,
            "separate",
            space,
            label,
            truncation,
        )
        self.size, self.bands, self.channels, self.critical = size, found, counts, critical
        self.kernel, self.radial = kernel, radial
        self.taps, self.oversampling = check_count("taps", taps), check_count("oversampling", oversampling)
        self.clamp, self.output_scale = clamp, output_scale
        self.embedding = embedding
        if embedding:
            if not classes:
                raise ValueError("embedding is the width of a class embedding; say how many classes there are, too")
            self.embed = ProjectedEmbedding(classes, check_count("embedding", embedding), self.prior_dim)
            self.mapping[0] = Dense(2 * self.prior_dim, self.mapping_dim, lr=mapping_lr, activated=True)
            self.register_buffer("class_means", torch.zeros(classes, latent_dim))
        self.image_shape = (image_channels, size, size)
        self.num_layers = layers + 2
        self.input = FourierInput(counts[0], latent_dim, found[0])
        self.layers = nn.ModuleList()
        for index in range(layers):
            before = max(index - 1, 0)
            self.layers.append(
                FilteredConv(
                    counts[before],
                    counts[index],
                    latent_dim,
                    found[before],
                    found[index],
                    kernel,
                    radial and index < layers - critical,
                    taps,
                    oversampling,
                    clamp,
                )
            )
        self.to_image = ToImage(counts[-1], image_channels, latent_dim, clamp)
        names = (f"L{i}_{band.side}_{n}" for i, (band, n) in enumerate(zip(found, counts, strict=False)))
        self.layer_names = ("input", *names)
        self.feature_margin = (found[0].side - found[0].rate) // 2
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> StyleGAN3:
        """A small instance for examples and contract tests."""
        bands = bands_of(16, layers=3, margin=2)
        generator = cls(16, 12, 8, channels=[8, 6, 4], bands=bands, classes=3, kernel=1, radial=True)
        nn.init.normal_(generator.input.affine.weight)
        return generator

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        if not self.embedding or label is None or self.space == "z":
            return super().map(z, label, truncation)
        truncation = self.check_condition(label, truncation)
        middle_NL = self.class_means[label]
        return middle_NL + truncation * (self.to_w(z, label) - middle_NL)

    def middle(self) -> Tensor:
        return self.class_means[self.label] if self.embedding and self.label is not None else self.w_avg

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` of latents ``(N, L)`` or ``(N, num_layers, L)``."""
        styles = self.styles(latent)
        image: Tensor = self.to_image(self._activations(styles, len(self.layers)), styles[-1])
        return (image.float() * self.output_scale + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._activations(self.styles(latent), self.layer_names.index(layer))

    def _activations(self, styles: Sequence[Tensor], layers: int) -> Tensor:
        """``(N, O, H, W)`` after the input and so many layers."""
        x: Tensor = self.input(styles[0])
        for layer, w in zip(self.layers[:layers], styles[1:], strict=False):
            x = layer(x, w)
        return x

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """The layers' modulation weights; in Z, the mapping network's first weights, whatever the layers.

        The input's four rows, which move and turn the image, count where a range of layers begins with it.
        """
        if self.space == "z":
            return self.mapping_weights()
        rows = []
        for module in [self.input, *self.layers, self.to_image][slice(*(layers or (1, self.num_layers)))]:
            assert isinstance(module, FourierInput | FilteredConv | ToImage)
            rows.append(module.affine.weight * module.affine.gain)
        return torch.cat(rows)

    def own_directions(self) -> PoseDirections:
        """``translate_x``, ``translate_y`` and ``rotate``: they act on the input's latent, and so on nothing else.

        Raises:
            ValueError: latents of Z, or an input that its latent does not move.

        >>> generator = StyleGAN3.tiny()
        >>> generator.own_directions().names, generator.own_directions().layers
        (['translate_x', 'translate_y', 'rotate'], (0, 1))
        """
        if self.space == "z":
            raise ValueError("StyleGAN3's images are moved and turned in W, its latents are of Z: leave its space at w")
        if not torch.equal(self.input.transform, torch.eye(3, device=self.device)):
            raise ValueError("this StyleGAN3's input has a transform set, which its own directions would have to undo")
        affine = self.input.affine
        assert affine.bias is not None
        directions = PoseDirections.of(affine.weight * affine.gain, affine.bias, (0, 1), self.num_layers)
        unit = f"{directions.translation:g} of the image's side; {directions.rotation:g} degrees, clockwise"
        directions.note = {"space": self.space, "unit": unit}
        return directions

    def arguments(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "latent_dim": self.w_dim,
            "prior_dim": self.prior_dim,
            "channels": self.channels,
            "bands": [list(band) for band in self.bands],
            "critical": self.critical,
            "kernel": self.kernel,
            "radial": self.radial,
            "taps": self.taps,
            "oversampling": self.oversampling,
            "mapping_layers": len(self.mapping),
            "mapping_lr": self.mapping_lr,
            "image_channels": self.image_shape[0],
            "classes": self.classes,
            "clamp": self.clamp,
            "output_scale": self.output_scale,
            "space": self.space,
            "label": self.label,
            "truncation": self.truncation,
            **({"embedding": self.embedding} if self.embedding else {}),
        }


def read(content: Any, settings: Settings) -> StyleGAN3 | None:
    """The generator of a foreign checkpoint, None if it is no StyleGAN3.

    Raises:
        ValueError: a StyleGAN3 that is incomplete or of a variant that is not supported.
    """
    found = translate(content, settings)
    if found is None:
        return None
    translated, filters = found
    generator = built(StyleGAN3, translated, optional=("input.transform",))
    _check_filters(generator, filters)
    return generator


def _check_filters(generator: StyleGAN3, stored: Filters) -> None:
    """Refuse filters other than those that follow from the bands (ValueError)."""
    for name, layer, pair in zip(generator.layer_names[1:], generator.layers, stored, strict=True):
        assert isinstance(layer, FilteredConv)
        for which, ours, theirs in zip(("up", "down"), (layer.up_filter, layer.down_filter), pair, strict=True):
            if theirs is None:
                continue
            design = torch.from_numpy(ours).float()
            if design.shape != theirs.shape or not torch.allclose(design, theirs, atol=1e-5):
                raise ValueError(
                    f"the {which}sampling filter of the StyleGAN3 checkpoint's layer {name} is not the one its "
                    "settings give; give the bands (side, rate, cutoff, half-width), critical, taps and oversampling "
                    f'it was made with: load_generator(..., {{"bands": ...}}); here it has bands '
                    f"{[list(band) for band in generator.bands]}"
                )
