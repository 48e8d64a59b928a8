"""What a method may ask of a generator that makes images by removing noise, whatever architecture it has.

Shape suffixes: N samples, L latent dimensions, E numbers of an edit, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Denoiser(Protocol):
    """A generator whose images are the end of a way of several steps from noise, and whose edits act along it.

    Attributes:
        steps: of the way.

    >>> import torch
    >>> from contrafact.generators import TokenDiffusion, DCGAN
    >>> generator = TokenDiffusion.tiny().freeze()
    >>> isinstance(generator, Denoiser), isinstance(DCGAN.tiny(), Denoiser)
    (True, False)
    >>> noise, edits = generator.split(generator.sample(2, seed=0))
    >>> x = generator.walk(noise, edits[:1])  # after one step of generator.steps
    >>> generator.effect(x, 1, torch.ones(2, generator.edit_dim)).shape == x.shape
    True
    """

    steps: int

    def split(self, latent: Tensor) -> tuple[Tensor, list[Any]]:
        """The noise ``(N, C, H, W)`` that images of latents ``(N, L)`` begin with, and the edit of every step."""

    def walk(self, x: Tensor, edits: Sequence[Any]) -> Tensor:
        """Go on from ``x``, the noise, for as many steps as there are edits."""

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        """What an edit ``(N, E)`` changes in what the network says of ``x`` at a step: of the shape of ``x``."""
