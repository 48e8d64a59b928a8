"""Glow: a normalising flow, run from noise to image (Kingma & Dhariwal 2018).

Generative Flow with Invertible 1×1 Convolutions, NeurIPS 2018, https://arxiv.org/abs/1807.03039. Reads the checkpoints
of rosinality's glow-pytorch. Only the generating direction is here, so each step's 1×1 convolution is inverted once
and merged with its activation normalisation, and learned output scales are folded into the weights before them.

Shape suffixes: N samples, L latent dimensions, C channels, H, W sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._settings import Settings
from contrafact.generators._stored import state_dicts, take


class Step(nn.Module):
    """One step of flow, reversed: coupling, then a 1×1 convolution."""

    def __init__(self, channels: int, filters: int, affine: bool) -> None:
        super().__init__()
        self.affine = affine
        self.mix = nn.Conv2d(channels, channels, 1)
        self.net = nn.ModuleList(
            [
                nn.Conv2d(channels // 2, filters, 3, padding=1),
                nn.Conv2d(filters, filters, 1),
                nn.Conv2d(filters, channels if affine else channels // 2, 3),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same."""
        kept, changed = x.chunk(2, dim=1)
        hidden = F.relu(self.net[1](F.relu(self.net[0](kept))))
        shift = self.net[2](_pad(hidden))
        if self.affine:
            log_scale, shift = shift.chunk(2, dim=1)
            changed = changed / torch.sigmoid(log_scale + 2)
        out: Tensor = self.mix(torch.cat((kept, changed - shift), dim=1))
        return out


class Block(nn.Module):
    """The steps at one scale, and the distribution its noise has given what coarser scales made."""

    def __init__(self, channels: int, steps: int, filters: int, affine: bool, coarsest: bool) -> None:
        super().__init__()
        given = channels if coarsest else channels // 2
        self.prior = nn.Conv2d(given, 2 * channels if coarsest else channels, 3)
        self.steps = nn.ModuleList(Step(channels, filters, affine) for _ in range(steps))
        self.coarsest = coarsest

    def forward(self, given: Tensor, noise: Tensor) -> Tensor:
        """``given`` from the coarser scale (zeros at the coarsest) and standard normal noise to maps twice as big."""
        mean, log_deviation = self.prior(_pad(given)).chunk(2, dim=1)
        drawn = mean + torch.exp(log_deviation) * noise
        x = drawn if self.coarsest else torch.cat((given, drawn), dim=1)
        for step in reversed(self.steps):
            x = step(x)
        return F.pixel_shuffle(x, 2)


def _pad(x: Tensor) -> Tensor:
    """A border of ones tells the convolution where the image ends."""
    return F.pad(x, (1, 1, 1, 1), value=1.0)


class Glow(Generator):
    """Glow; its latent is the standard normal noise of all scales, finest first, as many numbers as the image has.

    Args:
        size: image side; it must halve evenly once per block.
        num_blocks: scales.
        num_steps: steps of flow per scale.
        filters: channels within the couplings.
        affine: whether couplings scale as well as shift.
        image_channels: C.

    Raises:
        ValueError: a size that does not halve evenly.

    >>> Glow(16, num_blocks=2, num_steps=2, filters=8).latent_dim
    768
    """

    def __init__(
        self,
        size: int = 64,
        num_blocks: int = 4,
        num_steps: int = 32,
        filters: int = 512,
        affine: bool = False,
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        if check_count("size", size) % (1 << check_count("num_blocks", num_blocks)):
            raise ValueError(
                f"with {num_blocks} blocks the image side must be a multiple of {1 << num_blocks}, got {size}"
            )
        check_count("num_steps", num_steps)
        self.size, self.num_steps, self.filters, self.affine = size, num_steps, filters, affine
        self.image_shape = (image_channels, size, size)
        self.latent_dim = self.prior_dim = image_channels * size * size
        widths = [image_channels * 4 << i for i in range(num_blocks)]
        self.blocks = nn.ModuleList(
            Block(width, num_steps, filters, affine, i == num_blocks - 1) for i, width in enumerate(widths)
        )
        self.noise_shapes = [
            (width if i == num_blocks - 1 else width // 2, size >> (i + 1), size >> (i + 1))
            for i, width in enumerate(widths)
        ]
        self.layer_names = tuple(f"blocks.{i}" for i in reversed(range(num_blocks)))

    @classmethod
    def tiny(cls) -> Glow:
        """A small instance for examples and contract tests."""
        return cls(8, num_blocks=2, num_steps=2, filters=6, affine=True)

    def forward(self, latent: Tensor) -> Tensor:
        return self._run(latent, 0) + 0.5

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self._run(latent, len(self.blocks) - 1 - self.layer_names.index(layer))

    def _run(self, latent: Tensor, last: int) -> Tensor:
        """From the coarsest scale through block ``last``."""
        sizes = [c * h * w for c, h, w in self.noise_shapes]
        parts = self.check_latent(latent).split(sizes, dim=1)
        noises = [part.unflatten(1, shape) for part, shape in zip(parts, self.noise_shapes, strict=True)]
        x = torch.zeros_like(noises[-1])
        for index in reversed(range(last, len(self.blocks))):
            x = self.blocks[index](x, noises[index])
        return x

    def arguments(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "num_blocks": len(self.blocks),
            "num_steps": self.num_steps,
            "filters": self.filters,
            "affine": self.affine,
            "image_channels": self.image_shape[0],
        }


def read(content: Any, settings: Settings) -> Glow | None:
    """The generator of a foreign checkpoint, None if it is no Glow.

    The image's size is not in such a file; 64, what the program trains at by default, is assumed. Another one is given
    by ``load_generator(path, {"size": 128})``.

    Raises:
        ValueError: a Glow that is incomplete.
    """
    for state in state_dicts(content):
        if "blocks.0.flows.0.actnorm.loc" in state:
            return _from_state(state, settings)
    return None


def _from_state(state: Mapping[str, Tensor], settings: Settings) -> Glow:
    found = [m for name in state if (m := re.match(r"blocks\.(\d+)\.flows\.(\d+)\.", name))]
    num_blocks = 1 + max(int(m.group(1)) for m in found)
    num_steps = 1 + max(int(m.group(2)) for m in found)
    channels = take(state, "blocks.0.flows.0.actnorm.loc", "Glow").shape[1]
    filters = take(state, "blocks.0.flows.0.coupling.net.0.weight", "Glow").shape[0]
    affine = take(state, "blocks.0.flows.0.coupling.net.4.conv.weight", "Glow").shape[0] == channels
    usual = 64 if 64 % (1 << num_blocks) == 0 else 1 << num_blocks
    size = settings.choose("size", usual, settings.beside("img_size"))
    generator = Glow(size, num_blocks, num_steps, filters, affine, channels // 4)
    weights: dict[str, Tensor] = {}
    for b in range(num_blocks):
        weights |= _scaled_conv(state, f"blocks.{b}.prior", f"blocks.{b}.prior")
        for f in range(num_steps):
            theirs, ours = f"blocks.{b}.flows.{f}", f"blocks.{b}.steps.{f}"
            for i, layer in enumerate(("net.0", "net.2")):
                for part in ("weight", "bias"):
                    weights[f"{ours}.net.{i}.{part}"] = take(state, f"{theirs}.coupling.{layer}.{part}", "Glow")
            weights |= _scaled_conv(state, f"{theirs}.coupling.net.4", f"{ours}.net.2")
            scale = take(state, f"{theirs}.actnorm.scale", "Glow").flatten()
            inverse = torch.linalg.inv(_mixing(state, f"{theirs}.invconv").double()).float()
            weights[f"{ours}.mix.weight"] = (inverse / scale[:, None])[:, :, None, None]
            weights[f"{ours}.mix.bias"] = -take(state, f"{theirs}.actnorm.loc", "Glow").flatten()
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the Glow checkpoint's shapes do not fit together: {error}") from error
    return generator


def _scaled_conv(state: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    gain = torch.exp(3 * take(state, f"{theirs}.scale", "Glow")).flatten()
    return {
        f"{ours}.weight": take(state, f"{theirs}.conv.weight", "Glow") * gain[:, None, None, None],
        f"{ours}.bias": take(state, f"{theirs}.conv.bias", "Glow") * gain,
    }


def _mixing(state: Mapping[str, Tensor], name: str) -> Tensor:
    """The 1×1 convolution ``(C, C)``, stored whole or as its LU factors."""
    if f"{name}.weight" in state:
        return take(state, f"{name}.weight", "Glow")[:, :, 0, 0]
    part = {p: take(state, f"{name}.{p}", "Glow").double() for p in ("w_p", "w_l", "w_s", "w_u", "s_sign")}
    lower = part["w_l"].tril(-1) + torch.eye(len(part["w_l"]), dtype=torch.double)
    upper = part["w_u"].triu(1) + torch.diag(part["s_sign"] * torch.exp(part["w_s"]))
    return part["w_p"] @ lower @ upper
