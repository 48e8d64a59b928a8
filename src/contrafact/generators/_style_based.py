"""What StyleGAN's generations share: a mapping network to W, truncation there, a latent per layer, noise images.

Shape suffixes: N samples, L latent (W) dimensions, Z prior dimensions, H, W sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.nn.activations import check_activation
from contrafact.nn.equalized import Dense

Noise = Literal["const", "random", "none"]
Space = Literal["w", "z"]
Conditioning = Literal["separate", "joint"]

_EPSILON = 1e-8


class StyleBased(Generator):
    """A generator whose layers take W, which a mapping network makes of prior noise.

    Args:
        latent_dim: L, dimensions of W.
        prior_dim: Z, dimensions of the prior; as W by default.
        mapping_layers: layers of the mapping network.
        mapping_lr: learning-rate multiplier of the mapping network (its weights are stored divided by it).
        mapping_dim: width of its hidden layers; as W by default.
        mapping_activation: what follows its layers.
        classes: number of classes of a conditional generator, 0 for none.
        conditioning: how class embeddings enter: normalised on their own and concatenated (``separate``), or
            concatenated and normalised with z, without a bias (``joint``).
        space: ``w``, or ``z`` to edit the prior's noise: it is mapped inside ``forward``.
        label: fix a conditional generator to this class.
        truncation: its own truncation.

    Raises:
        ValueError: unknown names, numbers out of range, or the Z space of a conditional generator whose class is open.
    """

    embed: nn.Module
    w_avg: Tensor
    convs: nn.ModuleList
    """The layers that take noise, each with its image ``noise (H, W)``; StyleGAN3 has none."""

    def __init__(
        self,
        latent_dim: int,
        prior_dim: int | None,
        mapping_layers: int,
        mapping_lr: float,
        mapping_dim: int | None,
        mapping_activation: str,
        classes: int,
        conditioning: Conditioning,
        space: Space,
        label: int | None,
        truncation: float,
    ) -> None:
        super().__init__()
        if conditioning not in ("separate", "joint"):
            raise ValueError(unknown_name_message("conditioning", conditioning, ["separate", "joint"]))
        if space not in ("w", "z"):
            raise ValueError(unknown_name_message("edit space", space, ["w", "z"]))
        check_positive("mapping_lr", mapping_lr)
        self.w_dim = check_count("latent_dim", latent_dim)
        self.prior_dim = latent_dim if prior_dim is None else check_count("prior_dim", prior_dim)
        self.mapping_lr, self.mapping_dim = mapping_lr, mapping_dim or latent_dim
        self.classes, self.conditioning = classes, conditioning
        self.mapping_activation = check_activation(mapping_activation)
        self.space: Space = space
        self.check_truncation(truncation)
        self.truncation, self.truncated_in = float(truncation), "images" if space == "z" else "latents"
        self.latent_dim = latent_dim if space == "w" else self.prior_dim

        embed_dim = 0
        if classes:
            embed_dim = self.prior_dim if conditioning == "joint" else latent_dim
            self.embed = Dense(classes, embed_dim, bias=conditioning == "separate")
        hidden = [self.mapping_dim] * (check_count("mapping_layers", mapping_layers) - 1)
        widths = [self.prior_dim + embed_dim, *hidden, latent_dim]
        self.mapping = nn.ModuleList(
            Dense(i, o, lr=mapping_lr, activated=True, activation=mapping_activation)
            for i, o in itertools.pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(latent_dim))
        self.num_classes = classes
        if label is not None:
            self.fix_label(label)
        if space == "z" and self.num_classes:
            name = type(self).__name__
            raise ValueError(f"the Z space of a conditional {name} needs its class fixed: give a label")

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        truncation = self.check_condition(label, truncation)
        if self.space == "z":
            return z
        return self.truncate(self.to_w(z, label), truncation)

    def to_w(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """The mapping network: prior noise ``(N, Z)`` to W ``(N, L)``, not truncated."""
        if self.classes:
            if self.label is not None:
                label = torch.full((len(z),), self.label, device=z.device)
            elif label is None:
                name = type(self).__name__
                raise ValueError(f"W of a conditional {name} needs class labels from 0 to {self.classes - 1}")
            embedded = self.embed(F.one_hot(label, self.classes).to(z.dtype))
            separate = self.conditioning == "separate"
            z = torch.cat((_normalized(z), _normalized(embedded)) if separate else (z, embedded), dim=1)
            x = z if separate else _normalized(z)
        else:
            x = _normalized(z)
        for layer in self.mapping:
            x = layer(x)
        return x

    def truncate(self, w: Tensor, truncation: float, layers: tuple[int, int] | None = None) -> Tensor:
        """Pull W latents towards their mean.

        Args:
            w: ``(N, L)`` or ``(N, num_layers, L)``.
            truncation: 1 leaves them, 0 is the mean.
            layers: ``(first, last)`` layers (last excluded) to truncate; the result is then ``(N, num_layers, L)``.

        Raises:
            ValueError: truncation outside [0, 1], or layers that are not there.
        """
        self.check_truncation(truncation)
        if layers is not None and not 0 <= layers[0] <= layers[1] <= self.num_layers:
            raise ValueError(f"layers must be (first, last) within 0 to {self.num_layers}, got {tuple(layers)}")
        middle = self.middle()
        if layers is None:
            return w if truncation == 1.0 else middle + truncation * (w - middle)
        layered = self._layered(w).clone()
        layered[:, slice(*layers)] = middle + truncation * (layered[:, slice(*layers)] - middle)
        return layered

    def middle(self) -> Tensor:
        """Where truncation pulls W to, ``(L,)``."""
        return self.w_avg

    def mix(self, coarse: Tensor, fine: Tensor, layer: int) -> Tensor:
        """Style mixing: ``coarse`` up to ``layer`` (excluded), ``fine`` from it on; ``(N, num_layers, L)``.

        Raises:
            ValueError: ``layer`` outside ``[0, num_layers]``.
        """
        if not 0 <= layer <= self.num_layers:
            raise ValueError(f"layer must lie in [0, {self.num_layers}], got {layer}")
        coarse, fine = (self._layered(self.check_latent(latent)) for latent in (coarse, fine))
        return torch.cat((coarse[:, :layer], fine[:, layer:]), dim=1)

    def _layered(self, latent: Tensor) -> Tensor:
        return latent if latent.ndim == 3 else latent[:, None].expand(-1, self.num_layers, -1)

    def mapping_weights(self) -> Tensor:
        """The mapping network's first weights ``(R, Z)``: what the latent meets first in Z."""
        dense = self.mapping[0]
        assert isinstance(dense, Dense)
        return dense.weight[:, : self.prior_dim] * dense.gain

    def styles(self, latent: Tensor) -> tuple[Tensor, ...]:
        """W of each layer ``(N, L)``, of latents of the edit space."""
        latent = self.check_latent(latent)
        if self.space == "z":
            latent = self.truncate(self.to_w(latent.flatten(0, -2)), self.truncation).unflatten(0, latent.shape[:-1])
        return self._layered(latent).unbind(1)

    @staticmethod
    def noise_for(layer: nn.Module, n: int, noise: Noise, rng: torch.Generator | None) -> Tensor | None:
        """What a layer of ``convs`` adds: its image ``(H, W)``, fresh ones ``(N, H, W)``, or None.

        Raises:
            ValueError: ``noise`` is none of the three.
        """
        if noise not in ("const", "random", "none"):
            raise ValueError(unknown_name_message("noise", noise, ["const", "random", "none"]))
        stored = layer.noise
        assert isinstance(stored, Tensor)
        if noise == "random":
            return torch.randn(n, *stored.shape, generator=rng, device=stored.device)
        return stored if noise == "const" else None


def check_positive(name: str, value: float) -> None:
    """Refuse what is no positive number (ValueError)."""
    number = isinstance(value, float | int) and not isinstance(value, bool)
    if not number or not 0 < value < 1e30:
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def _normalized(z: Tensor) -> Tensor:
    unit: Tensor = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + _EPSILON)
    return unit


@torch.no_grad()
def complete(generator: StyleBased, missing: Sequence[str]) -> None:
    """What some files leave out: the mean of W is estimated, noise images are drawn, both from a fixed seed."""
    rng = torch.Generator().manual_seed(0)
    for index, conv in enumerate(getattr(generator, "convs", ())):
        image = conv.noise
        assert isinstance(image, Tensor)
        drawn = torch.randn(image.shape, generator=rng)
        if f"convs.{index}.noise" in missing:
            image.copy_(drawn)
    if any(name.endswith(".noise") for name in missing):
        generator.note["noise"] = "drawn: the file holds none"
    if "w_avg" in missing:
        z = torch.randn(10_000, generator.prior_dim, generator=rng)
        label = torch.randint(generator.classes, (10_000,), generator=rng) if generator.classes else None
        generator.w_avg.copy_(generator.to_w(z, label).mean(dim=0))
        generator.note["w_avg"] = "estimated: the file holds none"
