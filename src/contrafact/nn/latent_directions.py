"""Directions that depend on the latent they start from: a network per direction, all of them in one batched product.

Shape suffixes: N samples, L latent dimensions, D directions, G groups, P places in a group, I inputs, O outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions


class LatentDirections(Directions):
    """Directions with a network each: ``z + ε·f_d(z) / ‖f_d(z)‖`` ("LatentCLR", Section 3.2).

    ``depth=1`` is the paper's linear model, ``f_d(z) = M_d z``; deeper ones are its nonlinear model, with ReLU between
    layers, biases in all but the last, and inputs in standard deviations. The networks' weights are stacked: moving
    every latent along every direction is one batched product per layer, whatever D is.

    Args:
        latent_dim: L.
        num_directions: D.
        depth: linear layers of each network.
        hidden_dim: width between them; L by default.
        batch_norm: batch normalisation before each ReLU, over the latents of a batch, one set per direction. Only
            :meth:`every` in training mode uses (and learns) the batch's statistics.
        scale: length of a unit step in the edit space.
        names: D names.
        layers: layer range the shift acts on.
        num_layers: layers of the generator.

    >>> directions = LatentDirections(latent_dim=4, num_directions=2, depth=1)
    >>> moved = directions(torch.ones(3, 4), index=1, magnitude=2.0)
    >>> torch.allclose((moved - 1).norm(dim=1), torch.tensor(2.0))
    True
    """

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        depth: int = 3,
        hidden_dim: int | None = None,
        batch_norm: bool = False,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
    ) -> None:
        super().__init__(latent_dim, num_directions, scale, names, layers, num_layers)
        self.depth = check_count("depth", depth)
        self.hidden_dim = check_count("hidden_dim", latent_dim if hidden_dim is None else hidden_dim)
        self.batch_norm = batch_norm
        sizes = [latent_dim, *[self.hidden_dim] * (depth - 1), latent_dim]
        self.weights_DIO = nn.ParameterList(
            _uniform((num_directions, inputs, outputs), inputs) for inputs, outputs in itertools.pairwise(sizes)
        )
        self.biases_D1O = nn.ParameterList(
            _uniform((num_directions, 1, self.hidden_dim), inputs) for inputs in sizes[: depth - 1]
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(num_directions * self.hidden_dim) for _ in range(depth - 1 if batch_norm else 0)
        )

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        # Rows of one direction form a group of one batched product; gathering weights for each row would copy far more.
        order = torch.argsort(index, stable=True)
        used_G, group_N, count_G = torch.unique_consecutive(index[order], return_inverse=True, return_counts=True)
        place_N = torch.arange(len(index), device=index.device) - (count_G.cumsum(0) - count_G)[group_N]
        grid_GPL = latent.new_zeros(len(used_G), int(count_G.max()) if len(index) else 0, self.latent_dim)
        grid_GPL[group_N, place_N] = latent[order]
        unit_GPL = self._unit(grid_GPL, None if len(used_G) == self.num_directions else used_G, learning=False)
        unit_NL = torch.empty_like(latent).index_copy(0, order, unit_GPL[group_N, place_N].to(latent.dtype))
        return magnitude[:, None] * unit_NL

    def shift_every(self, latent: Tensor, magnitude: Tensor) -> Tensor:
        copies_DNL = latent.expand(self.num_directions, -1, -1)
        return magnitude[:, None, None] * self._unit(copies_DNL, None, learning=self.training)

    def _unit(self, latent_GPL: Tensor, used_G: Tensor | None, learning: bool) -> Tensor:
        """Each group's latents through its own network, at unit length; ``used_G`` None means all, in order."""

        def of_used(stacked: Tensor) -> Tensor:
            return stacked if used_G is None else stacked[used_G]

        hidden = latent_GPL / self.scale
        for layer, weight_DIO in enumerate(self.weights_DIO):
            if layer:
                hidden = F.relu(hidden)
            if layer == self.depth - 1:
                hidden = torch.bmm(hidden, of_used(weight_DIO))
                break
            hidden = torch.baddbmm(of_used(self.biases_D1O[layer]), hidden, of_used(weight_DIO))
            if self.batch_norm:
                hidden = self._normalised(hidden, layer, used_G, learning)
        unit: Tensor = hidden / hidden.norm(dim=2, keepdim=True).clamp_min(1e-8)
        return unit

    def _normalised(self, hidden_GPO: Tensor, layer: int, used_G: Tensor | None, learning: bool) -> Tensor:
        norm = self.norms[layer]
        assert isinstance(norm, nn.BatchNorm1d)
        if learning:
            flat_NF: Tensor = norm(hidden_GPO.transpose(0, 1).flatten(1))
            normalised: Tensor = flat_NF.unflatten(1, (self.num_directions, -1)).transpose(0, 1)
            return normalised
        mean, variance, gain, offset = (
            t.view(self.num_directions, 1, -1)[slice(None) if used_G is None else used_G]
            for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            if t is not None
        )
        scaled: Tensor = (hidden_GPO - mean) * torch.rsqrt(variance + norm.eps) * gain + offset
        return scaled

    def arguments(self) -> dict[str, Any]:
        own = {"depth": self.depth, "hidden_dim": self.hidden_dim, "batch_norm": self.batch_norm}
        return {**self.common_arguments(), **own}


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    """Uniform in ±1/√inputs, as torch initialises linear layers."""
    return nn.Parameter(torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5))
