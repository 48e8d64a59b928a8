"""Activation functions by name, with the gain that keeps the scale of what passes through.

Names and gains are those of StyleGAN2-ADA's ``bias_act`` (Karras et al. 2020), https://arxiv.org/abs/2006.06676.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.catalog import unknown_name_message

SLOPE = 0.2
"""Slope of the leaky ReLU."""


def _leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "lrelu": (_leaky_relu, math.sqrt(2)),
    "relu": (F.relu, math.sqrt(2)),
    "linear": (_identity, 1.0),
    "tanh": (torch.tanh, 1.0),
    "sigmoid": (torch.sigmoid, 1.0),
    "elu": (F.elu, 1.0),
    "selu": (F.selu, 1.0),
    "softplus": (F.softplus, 1.0),
    "swish": (F.silu, math.sqrt(2)),
}
"""Function and gain of each; ``lrelu`` has slope 0.2."""


def check_activation(name: str) -> str:
    """``name`` if there is such an activation.

    Raises:
        ValueError: there is none; the message lists the known ones.
    """
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(unknown_name_message("activation", str(name), ACTIVATIONS))
    return name
