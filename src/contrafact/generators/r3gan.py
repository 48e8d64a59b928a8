"""R3GAN: a residual generator of grouped convolutions, not normalised (Huang et al. 2024).

Huang, Gokaslan, Kuleshov & Tompkin, "The GAN is dead; long live the GAN! A Modern GAN Baseline", NeurIPS 2024,
https://arxiv.org/abs/2501.05441. Reads the network pickles of brownvc/R3GAN; that program runs some stages in bfloat16,
this one runs all in the precision of its weights.

Shape suffixes: N samples, L latent dimensions, E class embedding, C channels, H, W sides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._settings import Settings
from contrafact.generators._stored import StoredModule, state_dicts, take
from contrafact.generators._stylegan2_layers import upsample

_SLOPE = 0.2
_KERNEL = (1.0, 3.0, 3.0, 1.0)


class ResidualBlock(nn.Module):
    """A bottleneck turned round: widen, convolve in groups, narrow, and add."""

    def __init__(self, channels: int, expansion: int, groups: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.widen = nn.Conv2d(channels, wide, 1)
        self.convolve = nn.Conv2d(wide, wide, 3, padding=1, groups=groups)
        self.narrow = nn.Conv2d(wide, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same."""
        hidden = F.leaky_relu(self.widen(x), _SLOPE)
        out: Tensor = x + self.narrow(F.leaky_relu(self.convolve(hidden), _SLOPE))
        return out


class R3GAN(Generator):
    """R3GAN's generator; its latent is standard normal, followed by the class's embedding while a class is open.

    Args:
        z_dim: dimensions of the noise.
        channels: channel count at 4, 8, … pixels up to the image's side.
        groups: groups of the convolutions on each side.
        blocks: residual blocks on each side.
        expansion: how many times wider a block is inside.
        image_channels: C.
        classes: number of classes, 0 for none.
        embed_dim: E, of a generator with classes.
        label: fix the class.

    >>> R3GAN(8, [16, 8], [2, 1], [1, 1]).image_shape
    (3, 8, 8)
    """

    def __init__(
        self,
        z_dim: int = 64,
        channels: Sequence[int] = (768,) * 4,
        groups: Sequence[int] = (96,) * 4,
        blocks: Sequence[int] = (2,) * 4,
        expansion: int = 2,
        image_channels: int = 3,
        classes: int = 0,
        embed_dim: int = 0,
        label: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = [check_count("channels", count) for count in channels]
        self.groups = [check_count("groups", count) for count in groups]
        self.blocks = [check_count("blocks", count) for count in blocks]
        if not len(self.channels) == len(self.groups) == len(self.blocks) >= 1:
            raise ValueError(
                "channels, groups and blocks must each list a count for every side from 4 pixels on, got "
                f"{len(self.channels)}, {len(self.groups)} and {len(self.blocks)} of them"
            )
        for count, parts in zip(self.channels, self.groups, strict=True):
            if count * expansion % parts:
                raise ValueError(f"{parts} groups must divide {count} channels times the expansion {expansion}")
        if classes and embed_dim < 1:
            raise ValueError(f"a generator of {classes} classes needs an embed_dim above 0, got {embed_dim}")
        self.z_dim = self.prior_dim = check_count("z_dim", z_dim)
        self.expansion, self.classes, self.embed_dim = check_count("expansion", expansion), classes, embed_dim
        self.latent_dim = z_dim + (embed_dim if classes else 0)
        side = 2 << len(self.channels)
        self.image_shape = (check_count("image_channels", image_channels), side, side)
        self.basis = nn.Parameter(torch.randn(self.channels[0], 4, 4))
        self.first = nn.Linear(self.latent_dim, self.channels[0], bias=False)
        self.between = nn.ModuleList(
            nn.Conv2d(i, o, 1, bias=False) if i != o else nn.Identity() for i, o in itertools.pairwise(self.channels)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(count, self.expansion, parts) for _ in range(number)))
            for count, parts, number in zip(self.channels, self.groups, self.blocks, strict=True)
        )
        self.to_image = nn.Conv2d(self.channels[-1], image_channels, 1, bias=False)
        taps = torch.tensor(_KERNEL)
        self.register_buffer("kernel", torch.outer(taps, taps) / 16, persistent=False)  # three of four pixels are new
        self.embed = nn.Embedding(classes, embed_dim) if classes else None
        self.num_classes = classes
        self.layer_names = tuple(f"stages.{i}" for i in range(len(self.channels)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        if label is not None:
            self.fix_label(label)

    @classmethod
    def tiny(cls) -> R3GAN:
        """A small instance for examples and contract tests."""
        return cls(5, [8, 6], [2, 1], [1, 1])

    def fix_label(self, label: int) -> None:
        super().fix_label(label)
        self.latent_dim = self.z_dim

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        z = z * self.check_condition(label, truncation)
        return z if label is None or self.embed is None else torch.cat((z, self.embed(label)), dim=1)

    def forward(self, latent: Tensor) -> Tensor:
        image: Tensor = (self.to_image(self._run(latent, len(self.stages))) + 1) / 2
        return image

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer) + 1)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        weights: Tensor = self.first.weight
        return weights[:, : self.latent_dim]

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        latent = self.check_latent(latent)
        if self.label is not None and self.embed is not None:
            latent = torch.cat((latent, self.embed.weight[self.label].expand(len(latent), -1)), dim=1)
        x: Tensor = self.basis * self.first(latent)[:, :, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        for index, stage in enumerate(self.stages[:depth]):
            if index:
                assert isinstance(self.kernel, Tensor)
                x = upsample(self.between[index - 1](x), self.kernel)
            x = stage(x)
        return x

    def arguments(self) -> dict[str, Any]:
        return {
            "z_dim": self.z_dim,
            "channels": self.channels,
            "groups": self.groups,
            "blocks": self.blocks,
            "expansion": self.expansion,
            "image_channels": self.image_shape[0],
            "classes": self.classes,
            "embed_dim": self.embed_dim,
            "label": self.label,
        }


def read(content: Any, settings: Settings) -> R3GAN | None:
    """The generator of a foreign checkpoint, None if it is no R3GAN.

    Raises:
        ValueError: an R3GAN that is incomplete, or one with another resampling filter.
    """
    candidates = [content.tensors] if isinstance(content, StoredModule) else state_dicts(content)
    for state in candidates:
        if "MainLayers.0.Layers.0.Basis" in state and state["MainLayers.0.Layers.0.Basis"].ndim == 3:
            return _from_state(state)
    return None


def _take(state: Mapping[str, Tensor], name: str) -> Tensor:
    return take(state, name, "R3GAN")


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({found[1] for name in state if (found := re.match(pattern, name))})


def _from_state(state: Mapping[str, Tensor]) -> R3GAN:
    sides = _count(state, r"MainLayers\.(\d+)\.")
    blocks = [_count(state, rf"MainLayers\.{i}\.Layers\.([1-9]\d*)\.") for i in range(sides)]
    weights = {
        "basis": _take(state, "MainLayers.0.Layers.0.Basis"),
        "first.weight": _take(state, "MainLayers.0.Layers.0.LinearLayer.weight"),
        "to_image.weight": _take(state, "AggregationLayer.Layer.weight"),
    }
    channels, groups, expansion = [], [], 2
    for i in range(sides):
        if i:
            _check_kernel(_take(state, f"MainLayers.{i}.Layers.0.Resampler.Kernel"))
            if f"MainLayers.{i}.Layers.0.LinearLayer.Layer.weight" in state:
                weights[f"between.{i - 1}.weight"] = _take(state, f"MainLayers.{i}.Layers.0.LinearLayer.Layer.weight")
        for j in range(blocks[i]):
            theirs, ours = f"MainLayers.{i}.Layers.{j + 1}", f"stages.{i}.{j}"
            for mine, layer, bias in (("widen", 1, 1), ("convolve", 2, 2), ("narrow", 3, 0)):
                weights[f"{ours}.{mine}.weight"] = _take(state, f"{theirs}.LinearLayer{layer}.Layer.weight")
                if bias:
                    weights[f"{ours}.{mine}.bias"] = _take(state, f"{theirs}.NonLinearity{bias}.Bias")
        wide, narrow = (_take(state, f"MainLayers.{i}.Layers.1.LinearLayer{n}.Layer.weight") for n in (1, 2))
        channels.append(wide.shape[1])
        groups.append(wide.shape[0] // max(narrow.shape[1], 1))
        expansion = wide.shape[0] // max(wide.shape[1], 1)
    classes = embed_dim = 0
    if "EmbeddingLayer.weight" in state:
        weights["embed.weight"] = _take(state, "EmbeddingLayer.weight").T
        classes, embed_dim = weights["embed.weight"].shape
    generator = R3GAN(
        weights["first.weight"].shape[1] - embed_dim,
        channels,
        groups,
        blocks,
        expansion,
        weights["to_image.weight"].shape[0],
        classes,
        embed_dim,
    )
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the R3GAN checkpoint's shapes do not fit together: {error}") from error
    return generator


def _check_kernel(kernel: Tensor) -> None:
    expected = torch.outer(torch.tensor(_KERNEL), torch.tensor(_KERNEL)) / 64
    if kernel.shape != expected.shape or not torch.allclose(kernel, expected, atol=1e-4):
        raise ValueError("the R3GAN checkpoint's resampling filter is not that of [1, 2, 1], the one supported")
