"""What somebody's module is called with: the latent in the shape it takes, one per layer or not, and a class besides.

Shape suffixes: N samples, L latent dimensions, K classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.dataset import check_count


@dataclass(frozen=True)
class Classes:
    """The classes of a module.

    Attributes:
        count: K, 0 for a module that takes none.
        label: the one that all images are of; None where it is a knob in the latent.
        form: how the module takes it.
    """

    count: int = 0
    label: int | None = None
    form: Literal["indices", "one-hot", "one-hot map"] = "indices"

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 0 or self.count == 1:
            raise ValueError(f"num_classes must be 0 or at least 2, got {self.count!r}")
        if self.label is not None and (
            isinstance(self.label, bool) or not isinstance(self.label, int) or not 0 <= self.label < self.count
        ):
            what = f"a class from 0 to {self.count - 1}" if self.count else "left out of a module without num_classes"
            raise ValueError(f"label must be {what}, got {self.label!r}")

    @property
    def columns(self) -> int:
        """Columns of the latent that hold the class."""
        return self.count if self.label is None else 0

    def argument(self, knob: Tensor, dtype: torch.dtype) -> Tensor:
        """What the module takes, for the latent's last columns ``(N, K)`` or, of a fixed class, ``(N, 0)``."""
        if self.label is not None:
            label = torch.full((len(knob),), self.label, device=knob.device)
            if self.form == "indices":
                return label
            knob = F.one_hot(label, self.count)
        elif self.form == "indices":
            return knob.argmax(dim=1)
        return knob.to(dtype) if self.form == "one-hot" else knob.to(dtype)[:, :, None, None]


class Given:
    """How latents ``(N, L)`` become a module's arguments.

    Args:
        noise_dim: dimensions of the noise.
        latent_shape: the shape the module takes one in, None where that is to be found.
        num_layers: how many of them it takes.
        classes: the classes it takes.

    Raises:
        ValueError: a shape of another size, layers and a shape, or layers and a knob.
    """

    def __init__(
        self,
        noise_dim: int,
        latent_shape: Sequence[int] | None = None,
        num_layers: int = 1,
        classes: Classes | None = None,
    ) -> None:
        self.noise_dim = check_count("latent_dim", noise_dim)
        self.num_layers = check_count("num_layers", num_layers)
        self.classes = classes or Classes()
        self.latent_dim = self.noise_dim + self.classes.columns
        self._is_open = latent_shape is None and num_layers == 1
        self.latent_shape = (noise_dim,) if latent_shape is None else tuple(latent_shape)
        if math.prod(self.latent_shape) != noise_dim:
            raise ValueError(
                f"latent_shape {self.latent_shape} holds {math.prod(self.latent_shape)} numbers, "
                f"latent_dim is {noise_dim}"
            )
        if num_layers > 1 and (latent_shape is not None or self.classes.columns):
            other = "latent_shape" if latent_shape is not None else "an open class: give label="
            raise ValueError(f"a latent for each of {num_layers} layers does not go together with {other}")

    def forms(self) -> Iterator[Given]:
        """Itself, and other forms to try where nobody has said which."""
        shapes = [self.latent_shape, (self.noise_dim, 1, 1)] if self._is_open else [self.latent_shape]
        for shape in shapes:
            for form in ("indices", "one-hot", "one-hot map") if self.classes.count else ("indices",):
                tried = Given(self.noise_dim, shape if self.num_layers == 1 else None, self.num_layers, self.classes)
                tried.classes = dataclasses.replace(self.classes, form=form)
                yield tried

    def arguments(self, latent: Tensor, dtype: torch.dtype | None) -> tuple[Tensor, ...]:
        """What the module is called with.

        Args:
            latent: ``(N, L)``, or ``(N, num_layers, L)`` where there are several.
            dtype: of the module's weights; None where it has none.
        """
        dtype = latent.dtype if dtype is None else dtype
        noise = latent[..., : self.noise_dim].to(dtype)
        if self.num_layers > 1:
            noise = noise if noise.ndim == 3 else noise[:, None].expand(-1, self.num_layers, -1)
        else:
            noise = noise.reshape(-1, *self.latent_shape)
        if not self.classes.count:
            return (noise,)
        knob = latent[:, self.noise_dim :] if latent.ndim == 2 else latent.new_zeros(len(latent), 0)
        return noise, self.classes.argument(knob, dtype)
