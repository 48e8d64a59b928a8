"""What generators share whose image is the end of a path of several steps: diffusion models of every kind.

A latent is ``[x_T, edit]``: the noise that the path starts at, which stays as it is in an edit, and what edits add
along the path (to the network's bottleneck, to a prompt), for every step alike or for each step its own. Where edits
move the noise itself, the latent is the noise alone. A network that is told a class has the class after the noise, one
column each, unless it is fixed to one; it stays as it is in an edit too.

Shape suffixes: N samples, L latent dimensions, Z numbers of noise, E numbers of an edit, K steps, C, H, W sides.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator

_AT_ONCE = 2**16
"""Numbers of noise in the images made in one go where no gradients are kept: larger batches are no faster."""
_SPAN_OF_H = 8.0
"""As much as samples differ by changes little in h: later layers and later steps make up for it."""


class Sampled(Generator):
    """Noise to images in steps, each of which may be edited.

    Attributes:
        noise_shape: ``(C, H, W)`` of the noise.
        steps: K.
        spaces: what may be edited.
        checkpointed: keep only the images between steps for the gradients, and compute each step again.
        gradient_steps: how many of the last steps gradients go through; None for all.
    """

    noise_shape: tuple[int, int, int]
    steps: int
    spaces: tuple[str, ...] = ("h", "noise")
    checkpointed: bool
    gradient_steps: int | None
    truncated_in = "nowhere"

    def settle(
        self,
        noise_shape: tuple[int, int, int],
        steps: int,
        edit_dim: int = 0,
        checkpointed: bool = False,
        gradient_steps: int | None = None,
    ) -> None:
        """Say how large latents are and what of them edits move; 0 is the noise itself. Classes that are open count."""
        self.noise_shape = (noise_shape[0], noise_shape[1], noise_shape[2])
        self.prior_dim = self.sphere_dim = math.prod(noise_shape)
        first = self.prior_dim + self.num_classes
        self.latent_dim = first + edit_dim
        in_noise = (0, self.prior_dim) if self.num_classes else (0, 0)
        self.edit_range = (first, self.latent_dim) if edit_dim else in_noise
        self.steps = check_count("steps", steps)
        self.num_layers = self.steps if edit_dim else 1
        self.figure_span = _SPAN_OF_H if self.space == "h" else Generator.figure_span
        self.checkpointed = checkpointed
        self.gradient_steps = None if gradient_steps is None else check_count("gradient_steps", gradient_steps)

    def fix_label(self, label: int) -> None:
        edit_dim = self.edit_dim if self.edit_range[0] else 0
        super().fix_label(label)
        self.settle(self.noise_shape, self.steps, edit_dim, self.checkpointed, self.gradient_steps)

    @abstractmethod
    def ask(self, x: Tensor, step: int, edit: Tensor | None) -> Tensor:
        """What the network says at ``x (N, C, H, W)`` in a step, under an edit: noise, velocity or image.

        The edit is one of those that :meth:`split` gives.
        """

    @abstractmethod
    def go(self, said: Tensor, x: Tensor, step: int, solver: Any) -> Tensor:
        """Where a path goes from ``x`` in a step, the network having said so."""

    def solver(self) -> Any:
        """What a walk carries from step to step beside its place; None where that is nothing."""
        return None

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        """What an edit ``(N, E)`` changes in what the network says at ``x`` in a step: of the shape of ``x``."""
        return self.ask(x, step, edit) - self.ask(x, step, None)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        self.check_condition(label, truncation)
        if label is not None:
            z = torch.cat([z, F.one_hot(label.to(z.device), self.num_classes).to(z.dtype)], dim=1)
        return F.pad(z, (0, self.latent_dim - z.shape[1]))

    def split(self, latent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """Noise ``(N, C, H, W)`` of latents, and what else of them every step takes.

        The edit ``(N, E)``, after the class ``(N, K)`` where that is open; None where there is neither.
        """
        latent = self.check_latent(latent)
        rows = latent if latent.ndim == 2 else latent[:, 0]
        noise = rows[:, : self.prior_dim].unflatten(1, self.noise_shape)
        if self.latent_dim == self.prior_dim:
            return noise, [None] * self.steps
        if latent.ndim == 2:
            return noise, [latent[:, self.prior_dim :]] * self.steps
        return noise, [latent[:, step, self.prior_dim :] for step in range(self.steps)]

    def walk(self, x: Tensor, edits: Sequence[Tensor | None]) -> Tensor:
        """Go on from ``x`` for as many steps as there are edits."""
        solver = self.solver()
        for step, edit in enumerate(edits):
            far = self.gradient_steps is not None and step < self.steps - self.gradient_steps
            with torch.set_grad_enabled(torch.is_grad_enabled() and not far):
                # The solver stays outside of what is computed again: those of several steps remember the last ones.
                if self.checkpointed and torch.is_grad_enabled():
                    said = checkpoint(self.ask, x, step, edit, use_reentrant=False)
                else:
                    said = self.ask(x, step, edit)
                x = self.go(said, x, step, solver)
        return x

    def in_parts(self, function: Callable[[Tensor], Tensor], latent: Tensor) -> Tensor:
        """``function`` of latents, a part at a time where no gradients are kept."""
        size = max(1, _AT_ONCE // self.prior_dim)
        if torch.is_grad_enabled() or len(latent) <= size:
            return function(latent)
        return torch.cat([function(part) for part in latent.split(size)])

    def latent_scale(self, samples: int = 4096) -> float:
        """1: noise is standard normal, and edits are in units of their own spread."""
        return 1.0

    def check_truncates(self, truncation: float) -> None:
        """Refuse a truncation below 1 (ValueError): noise shorter than noise is leads to grey images."""
        if truncation != 1.0:
            raise ValueError(
                f"this {type(self).__name__} has no truncation: its noise must be as long as noise is, or images turn "
                f"grey; use truncation 1, got {truncation:g}"
            )


def unit_of(h: Tensor) -> Tensor:
    """The unit of activations ``(N, C, …)`` of an even number of samples: ``(C, 1, …)``.

    A channel's deviation, times what makes a unit vector as long as samples differ along the ways that they differ in:
    the variance there, weighted by itself, is tr C² / tr C of the covariance C. Differences of pairs have it without
    the mean, and inner products of different pairs without a bias, however few there are.

    >>> long = torch.zeros(4000, 2, 1)
    >>> long[:, :] = torch.randn(4000, 1, 1, generator=torch.Generator().manual_seed(0))  # two channels, one way
    >>> (unit_of(long) / 2**0.5).flatten().round(decimals=1).tolist()
    [1.0, 1.0]
    """
    h = h.double()
    others = tuple(number for number in range(h.ndim) if number != 1)
    deviation = h.std(dim=others).clamp_min(1e-6).view(-1, *[1] * (h.ndim - 2))
    pairs = ((h[0::2] - h[1::2]) / (math.sqrt(2) * deviation)).flatten(1)
    inner = (pairs @ pairs.T).square()
    apart = (inner.sum() - inner.trace()) / (len(pairs) * (len(pairs) - 1))
    whole = pairs.square().sum(dim=1).mean()
    return (deviation * (apart / whole).sqrt().clamp_min(1e-6)).float()
