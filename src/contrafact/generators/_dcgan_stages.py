"""The stages of a DCGAN: a layer, what comes before it and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
Sides = int | tuple[int, int]
"""Of height and width: a number for both, or one for each."""


def both(sides: Sides) -> tuple[int, int]:
    """That of the height and that of the width."""
    return (sides, sides) if isinstance(sides, int) else sides


def joined(height: int, width: int) -> Sides:
    """One number where both are the same."""
    return height if height == width else (height, width)


@dataclass(frozen=True)
class Stage:
    """A layer with what comes before and after it.

    Attributes:
        kind: ``dense``, ``transposed`` or ``convolution``.
        out: units or channels it makes.
        kernel: side of its kernel, or its height and width; of no meaning for a dense layer, like the next three, which
            may be two numbers, too.
        stride: of the kernel.
        padding: of a transposed convolution, what it cuts off.
        output_padding: rows and columns that a transposed convolution adds at the end.
        enlarge: how many times as large the map is made before, by repeating pixels.
        bias: whether the layer has one.
        norm: batch normalisation after it: over its ``units`` (dense), over its ``channels``, or ``none``.
        eps: added to the variance there.
        active: whether the generator's activation follows.
        map_shape: ``(C, H, W)`` that a dense layer's units are taken for, or None.

    >>> Stage("transposed", 64).kernel
    4
    """

    kind: Literal["dense", "transposed", "convolution"]
    out: int
    kernel: Sides = 4
    stride: Sides = 2
    padding: Sides = 1
    output_padding: Sides = 0
    enlarge: int = 1
    bias: bool = False
    norm: Literal["none", "units", "channels"] = "channels"
    eps: float = 1e-5
    active: bool = True
    map_shape: tuple[int, int, int] | None = None

    def build(self, shape: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]]:
        """The layer for an input of ``shape`` (without the batch), and the shape of what it makes."""
        if self.kind == "dense":
            out = tuple(self.map_shape or (self.out,))
            return nn.Linear(shape[0], self.out, bias=self.bias), out
        channels, *sides = shape if len(shape) == 3 else (*shape, 1, 1)
        sides = [side * self.enlarge for side in sides]
        if self.kind == "transposed":
            layer: Layer = nn.ConvTranspose2d(
                channels, self.out, self.kernel, self.stride, self.padding, self.output_padding, bias=self.bias
            )
            sides = [(side - 1) * s + k + o - 2 * p for side, k, s, p, o in zip(sides, *self._steps(), strict=True)]
        else:
            layer = nn.Conv2d(channels, self.out, self.kernel, self.stride, self.padding, bias=self.bias)
            sides = [(side + 2 * p - k) // s + 1 for side, k, s, p, _ in zip(sides, *self._steps(), strict=True)]
        if min(sides) < 1:
            raise ValueError(f"{self} leaves nothing of a map of {shape}")
        return layer, (self.out, *sides)

    def _steps(self) -> Iterator[tuple[int, int]]:
        return map(both, (self.kernel, self.stride, self.padding, self.output_padding))


class Block(nn.Module):
    """A stage's modules."""

    def __init__(self, stage: Stage, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.stage = stage
        self.layer, self.shape = stage.build(shape)
        self.norm: nn.BatchNorm1d | nn.BatchNorm2d | None = None
        if stage.norm == "units":
            self.norm = nn.BatchNorm1d(stage.out, stage.eps)
        elif stage.norm == "channels":
            self.norm = nn.BatchNorm2d(self.shape[0], stage.eps)

    def normalised(self, x: Tensor) -> Tensor:
        """What comes out before normalisation."""
        if self.stage.kind == "dense":
            x = self.layer(x)
            return x.unflatten(1, self.shape) if self.stage.norm != "units" and len(self.shape) == 3 else x
        x = x if x.ndim == 4 else x[:, :, None, None]
        if self.stage.enlarge > 1:
            x = F.interpolate(x, scale_factor=float(self.stage.enlarge), mode="nearest")
        out: Tensor = self.layer(x.contiguous(memory_format=torch.channels_last))
        return out

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance that the normalisation keeps of training, one for each unit or channel."""
        kept = (None, None) if self.norm is None else (self.norm.running_mean, self.norm.running_var)
        mean, variance = (torch.zeros(0) if part is None else part for part in kept)
        return mean, variance.clamp_min(1e-8)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, …)`` to ``(N, *shape)``, without the activation."""
        x = self.normalised(x)
        x = x if self.norm is None else self.norm(x)
        return x.unflatten(1, self.shape) if x.ndim == 2 and len(self.shape) == 3 else x


def stage_of(given: Stage | Mapping[str, Any]) -> Stage:
    """A stage from its fields by name, as a file has them.

    Raises:
        ValueError: fields that no stage has, or one missing.
    """
    if isinstance(given, Stage):
        return given
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    try:
        return Stage(**fields)
    except TypeError as error:
        raise ValueError(f"no stage of a DCGAN is described by {dict(given)}: {error}") from error
