"""A user's own network as an encoder: any torch module that turns images into codes.

Shape suffixes: N images, D codes.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from contrafact.core.encoder import Encoder


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
        self.image_shape = (channels, height, width)
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
