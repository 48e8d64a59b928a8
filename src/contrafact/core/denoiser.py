"""What a method may ask of a generator that makes images by removing noise, whatever architecture it has.

Shape suffixes: N samples, L latent dimensions, E numbers of an edit, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

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
    >>> latent = generator.sample(2, seed=0)
    >>> x = generator.approach(latent, 1)  # after one step of generator.steps
    >>> generator.effect(x, 1, torch.ones(2, generator.edit_dim)).shape == x.shape
    True
    """

    steps: int

    def approach(self, latent: Tensor, step: int) -> Tensor:
        """What the network sees before a step ``(N, C, H, W)`` on the way to images of latents ``(N, L)``; 0: noise."""

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        """What an edit ``(N, E)`` changes in what the network says of ``x`` at a step: of the shape of ``x``."""
