"""SNGAN: a residual GAN, trained with spectral normalisation (Miyato et al. 2018).

Spectral Normalization for Generative Adversarial Networks, ICLR 2018, https://arxiv.org/abs/1802.05957. The generator
of GANLatentDiscovery: its checkpoints are folders of ``args.json`` and ``generator.pt``.

Shape suffixes: N samples, L latent dimensions, C channels, H, W sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._settings import Settings
from contrafact.generators._stored import state_dicts, take

SETTINGS = {"sn_resnet32": [256] * 4, "sn_resnet64": [1024, 512, 256, 128, 64]}
"""Channels of the published settings, from 4 pixels to the image's side."""


class ResidualBlock(nn.Module):
    """Doubles the sides: normalise, rectify, upsample, convolve, twice; beside it an upsampling bypass."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.bypass = nn.Conv2d(before, after, 3, padding=1) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, 2H, 2W)``."""
        grown = F.interpolate(x, scale_factor=2.0, mode="nearest")
        hidden = F.interpolate(F.relu(self.norm1(x)), scale_factor=2.0, mode="nearest")
        hidden = self.conv2(F.relu(self.norm2(self.conv1(hidden))))
        out: Tensor = hidden + (grown if self.bypass is None else self.bypass(grown))
        return out


class SNGAN(Generator):
    """SNGAN's residual generator; its latent is standard normal.

    Args:
        latent_dim: L.
        channels: channel count at 4, 8, … pixels up to the image's side, or a setting: ``sn_resnet32``,
            ``sn_resnet64``.
        image_channels: C.

    >>> SNGAN(128, "sn_resnet32").image_shape
    (3, 32, 32)
    """

    def __init__(
        self, latent_dim: int = 128, channels: Sequence[int] | str = "sn_resnet32", image_channels: int = 3
    ) -> None:
        super().__init__()
        if isinstance(channels, str):
            if channels not in SETTINGS:
                raise ValueError(unknown_name_message("SNGAN setting", channels, SETTINGS))
            channels = SETTINGS[channels]
        if len(channels) < 2:
            raise ValueError(f"channels must list at least 2 counts, at 4 and 8 pixels, got {list(channels)}")
        self.channels = [check_count("channels", count) for count in channels]
        self.latent_dim = self.prior_dim = check_count("latent_dim", latent_dim)
        side = 2 << len(self.channels)
        self.image_shape = (image_channels, side, side)
        self.dense = nn.Linear(latent_dim, 16 * self.channels[0])
        self.blocks = nn.ModuleList(ResidualBlock(i, o) for i, o in itertools.pairwise(self.channels))
        self.norm = nn.BatchNorm2d(self.channels[-1])
        self.to_image = nn.Conv2d(self.channels[-1], image_channels, 3, padding=1)
        self.layer_names = tuple(f"blocks.{i}" for i in range(len(self.blocks)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                is_inner = module.weight.ndim == 4 and module is not self.to_image
                nn.init.xavier_uniform_(module.weight, 2**0.5 if is_inner else 1.0)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    @classmethod
    def tiny(cls) -> SNGAN:
        """A small instance for examples and contract tests."""
        return cls(5, [6, 6, 4])

    def forward(self, latent: Tensor) -> Tensor:
        x = self._run(latent, len(self.blocks))
        return (torch.tanh(self.to_image(F.relu(self.norm(x)))) + 1) / 2

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, self.layer_names.index(layer) + 1)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        return self.dense.weight

    def _run(self, latent: Tensor, depth: int) -> Tensor:
        x: Tensor = self.dense(self.check_latent(latent)).unflatten(1, (-1, 4, 4))
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:depth]:
            x = block(x)
        return x

    def arguments(self) -> dict[str, Any]:
        return {"latent_dim": self.latent_dim, "channels": self.channels, "image_channels": self.image_shape[0]}


def read(content: Any, settings: Settings) -> SNGAN | None:
    """The generator of a foreign checkpoint, None if it is no SNGAN.

    Raises:
        ValueError: an SNGAN that is incomplete.
    """
    for state in state_dicts(content):
        state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
        if "0.weight" in state and "2.conv1.weight" in state and "2.model.0.running_mean" in state:
            return _from_state(state)
    return None


def _from_state(state: dict[str, Tensor]) -> SNGAN:
    # 0 dense, 1 reshape, 2… residual blocks, then norm, relu, convolution, tanh; blocks name their convolutions twice.
    blocks = sum(name.endswith(".conv1.weight") for name in state)
    modules = {"dense": "0", "norm": f"{blocks + 2}", "to_image": f"{blocks + 4}"}
    for i in range(blocks):
        inner = {"norm1": "model.0", "conv1": "conv1", "norm2": "model.4", "conv2": "conv2"}
        modules |= {f"blocks.{i}.{ours}": f"{i + 2}.{theirs}" for ours, theirs in inner.items()}
        if f"{i + 2}.bypass.1.weight" in state:
            modules[f"blocks.{i}.bypass"] = f"{i + 2}.bypass.1"
    weights = {}
    for ours, theirs in modules.items():
        parts = ["weight", "bias"] + (["running_mean", "running_var"] if "norm" in ours else [])
        for part in parts:
            weights[f"{ours}.{part}"] = take(state, f"{theirs}.{part}", "SNGAN")
    channels = [weights[f"blocks.{i}.conv1.weight"].shape[1] for i in range(blocks)]
    channels.append(weights["norm.weight"].shape[0])
    generator = SNGAN(weights["dense.weight"].shape[1], channels, weights["to_image.weight"].shape[0])
    counters = {name: t for name, t in generator.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        generator.load_state_dict(weights | counters)
    except RuntimeError as error:
        raise ValueError(f"the SNGAN checkpoint's shapes do not fit together: {error}") from error
    return generator
