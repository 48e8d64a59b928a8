"""Layers with equalised learning rate (Karras et al. 2018): weights are standard normal and scaled when used.

Progressive Growing of GANs, ICLR 2018, https://arxiv.org/abs/1710.10196, section 4.1. Adam's steps do not depend on a
gradient's scale, so scaling by He's constant at run time lets every weight learn equally fast.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.nn.activations import ACTIVATIONS, SLOPE, check_activation


class Dense(nn.Module):
    """Linear layer with equalised learning rate, and an activation with its gain where ``activated``.

    Args:
        in_dim: inputs.
        out_dim: outputs.
        bias: whether there is a bias.
        bias_init: its first value.
        lr: learning-rate multiplier; the weights are stored divided by it.
        activated: whether an activation follows.
        activation: which (see :mod:`contrafact.nn.activations`); a leaky ReLU of gain √2 by default.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        bias: bool = True,
        bias_init: float = 0.0,
        lr: float = 1.0,
        activated: bool = False,
        activation: str = "lrelu",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr)
        self.bias = nn.Parameter(torch.full((out_dim,), float(bias_init))) if bias else None
        self.gain, self.lr, self.activated = lr / math.sqrt(in_dim), lr, activated
        self.activation = check_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        out = F.linear(x, self.weight * self.gain, None if self.bias is None else self.bias * self.lr)
        if not self.activated:
            return out
        activate, gain = ACTIVATIONS[self.activation]
        return activate(out) * gain


class Convolution(nn.Module):
    """Convolution with equalised learning rate; with a bias, a leaky ReLU of gain √2 follows.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        side: kernel side.
        stride: step of the kernel.
        padding: zeros on each side; by default what keeps an image's side at stride 1.
        bias: a bias and the leaky ReLU, or neither.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        side: int,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, side, side))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain, self.stride = 1 / math.sqrt(in_channels * side**2), stride
        self.padding = side // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        out = F.conv2d(x, self.weight * self.gain, self.bias, self.stride, self.padding)
        return out if self.bias is None else F.leaky_relu(out, SLOPE) * math.sqrt(2)
