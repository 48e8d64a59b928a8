"""A user's own network as an encoder: any torch module that turns images into codes.

Shape suffixes: N images, D codes.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.encoder import Encoder

Backbone = nn.Module | None
"""A setting: a module of one's own in the place of a method's network, or none."""


def own_argument(own: Backbone) -> dict[str, Backbone]:
    """What an encoder's arguments say of a module that stands in it: nothing where there is none.

    A dictionary, kept as it is, holds a module without making it a part of the encoder.
    """
    return {} if own is None else {"own": own}


class OwnEncoder(Encoder):
    """A copy of somebody's module, whose weights are where training starts.

    Args:
        module: takes images ``(N, C, H, W)`` in [0, 1] and returns codes ``(N, D)``.
        image_shape: ``(C, H, W)``.
        code_dim: D, if it is known; None takes what the module returns.

    Raises:
        ValueError: a module that refuses such images, returns something else, or another number of codes.
    """

    def __init__(self, module: nn.Module, image_shape: tuple[int, int, int], code_dim: int | None = None) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.image_shape, self._given = (channels, height, width), (module, code_dim)
        self.module = copy.deepcopy(module).requires_grad_()
        self.code_dim = self._probe()
        if code_dim not in (None, self.code_dim):
            raise ValueError(
                f"code_dim is {code_dim}, but the encoder given returns {self.code_dim} codes an image; leave code_dim "
                "empty, or give a module that returns as many"
            )

    @torch.no_grad()
    def _probe(self) -> int:
        training, expected = self.module.training, f"the encoder given must take images (N, {self._shape()})"
        self.module.eval()
        weight = next(self.module.parameters(), torch.zeros(()))
        try:
            codes = self.module(torch.zeros(2, *self.image_shape, device=weight.device))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{expected}; given two of them it failed: {error}") from error
        finally:
            self.module.train(training)
        if not isinstance(codes, Tensor) or codes.ndim != 2 or len(codes) != 2 or not codes.is_floating_point():
            what = f"shape {tuple(codes.shape)}" if isinstance(codes, Tensor) else f"a {type(codes).__name__}"
            raise ValueError(
                f"{expected} and return codes (N, D), one row of real numbers an image; for two images it returned "
                f"{what}; pool and flatten its output (nn.AdaptiveAvgPool2d(1), nn.Flatten()), or wrap it"
            )
        return int(codes.shape[1])

    def _shape(self) -> str:
        return ", ".join(map(str, self.image_shape))

    def encode(self, images: Tensor) -> Tensor:
        codes: Tensor = self.module(images)
        return codes

    def arguments(self) -> dict[str, Any]:
        module, code_dim = self._given
        return {"module": module, "image_shape": self.image_shape, "code_dim": code_dim}


class HeadedEncoder(nn.Module):
    """A copy of somebody's module, and a linear layer that makes what a method asks for of its features.

    Args:
        module: takes images ``(N, C, H, W)`` in [0, 1] and returns features ``(N, D)``, whatever D.
        image_shape: ``(C, H, W)``.
        outputs: numbers the method asks for.
        groups: how many times so many, each in a row of its own; None for once, and no rows.

    Raises:
        ValueError: as of :class:`OwnEncoder`.

    >>> encoder = HeadedEncoder(nn.Flatten(), (1, 4, 4), outputs=3, groups=2)
    >>> encoder(torch.rand(5, 1, 4, 4)).shape, encoder.encode(torch.rand(5, 1, 4, 4)).shape
    (torch.Size([5, 2, 3]), torch.Size([5, 6]))
    """

    def __init__(
        self, module: nn.Module, image_shape: tuple[int, int, int], outputs: int, groups: int | None = None
    ) -> None:
        super().__init__()
        self.trunk = OwnEncoder(module, image_shape)
        self.image_shape, self.groups = self.trunk.image_shape, groups
        self.head = nn.Linear(self.trunk.code_dim, (groups or 1) * outputs)

    def encode(self, images: Tensor) -> Tensor:
        """Outputs in one row ``(N, groups · outputs)``."""
        made: Tensor = self.head(self.trunk.encode(images))
        return made

    def forward(self, images: Tensor) -> Tensor:
        """Outputs ``(N, outputs)``, or ``(N, groups, outputs)``."""
        made = self.encode(images)
        return made if self.groups is None else made.unflatten(1, (self.groups, -1))
