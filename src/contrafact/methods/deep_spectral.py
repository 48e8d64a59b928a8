"""DeepSpectral: directions that a deeper layer answers to most, by its Jacobian instead of its weights.

Disentangled Representations from Non-Disentangled Models, Khrulkov, Mirvakhabova, Oseledets & Babenko, 2021,
https://arxiv.org/abs/2102.06204, where it extends ClosedForm (SeFa) beyond the first layer.

This is a reconstruction: no program was published. The method takes right singular vectors of the Jacobian J(w) of an
intermediate layer's activations with respect to the latent. Here they are the leading eigenvectors of the mean of
J(w)ᵀJ(w) over latents w, which are the right singular vectors of all those Jacobians stacked: unit steps that change
the activations most on average. No Jacobian is ever held: block power iteration needs J(w)ᵀJ(w)V only, forward mode
for the right factor and backward mode for the left, over all latents and columns of V at once.

Shape suffixes: N latents, L latent dimensions, B columns of the block, S = N·B, F features of the layer, D directions.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import IMAGE, Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Count, Layer, Size, SizeOrZero, Steps
from contrafact.core.run import Run
from contrafact.nn.spectral import PowerIteration, check_fit, check_rank, home_of, oriented
from contrafact.training.step_memory import graph_bytes, refuse_too_much

_FLOAT32_RANK = 1e-7
_NEAR = 1e-2
_FEW_PASSES = 200
_LONG = 120


@dataclass(frozen=True)
class DeepSpectral(Method):
    """Leading right singular vectors of a layer's Jacobian, averaged over latents; nothing is trained.

    >>> import torch
    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic")
    >>> run = cf.methods.DeepSpectral(num_directions=4, num_latents=4, steps=5).fit(scene, "runs/deep-spectral")
    >>> vectors = run.directions.vectors()
    >>> torch.allclose(vectors @ vectors.T, torch.eye(4), atol=1e-4)  # orthonormal
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"num_latents": 64, "steps": 10}}

    layer: str | None = None
    """Layer whose activations are differentiated, or "image". Empty: the middle one of the generator's layers."""
    num_directions: Size = 10
    """Directions D: the first so many, by singular value; at most as many as latent dimensions."""
    num_latents: Count = 512
    """Latents N that the Jacobian's Gram matrix is averaged over."""
    batch_size: Size = 16
    """Latents at a time; each of them is pushed through once for every column of the block."""
    extra_columns: SizeOrZero = 10
    """Columns of the block beyond D, which make the iteration converge faster."""
    steps: Steps = 20
    """Power iterations; only one, which is exact, where the block has as many columns as the latent has dimensions."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse more directions than dimensions, and layers that the generator does not have."""
        check_fit(self.num_directions, source.edit_dim)
        source.check_layer(self._layer(source))
        source.layer_range(self.first_layer, self.last_layer)

    def _layer(self, source: Generator) -> str:
        return self.layer or (*source.layer_names, IMAGE)[len(source.layer_names) // 2]

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Iterate on the mean of JᵀJ over a fixed set of latents."""
        layer = self._layer(source)
        layers = source.layer_range(self.first_layer, self.last_layer)
        latents_NL = source.sample(self.num_latents, run.rng("latents", shared=True))
        activations = _activations(source, layer, layers)
        columns = min(source.edit_dim, self.num_directions + self.extra_columns)
        power = PowerIteration(source.edit_dim, columns, run.rng("block", shared=True)).to(home_of(run.device))

        steps = 1 if columns == source.edit_dim else self.steps
        self._say_cost(activations, latents_NL, (source.edit_dim, columns), steps, run)
        for _ in run.steps(steps, {"power": power}, "iterating"):
            block_LB = power.block_LB.to(latents_NL.device, latents_NL.dtype)
            product_LB = torch.zeros_like(power.block_LB)
            for batch_NL in latents_NL.split(self.batch_size):
                product_LB += gram_product(activations, batch_NL, block_LB).to(product_LB.device).double()
            power.advance(product_LB / self.num_latents)
            run.log(residual=power.residual)

        values_D = power.values_B[: self.num_directions]
        check_rank(values_D, self.num_directions, f"layer {layer} answers to", _FLOAT32_RANK)
        vectors_DL = oriented(power.block_LB.T[: self.num_directions])
        directions = GlobalDirections.of(
            vectors_DL.float(),
            source.latent_scale(),
            layers=layers,
            num_layers=source.num_layers,
            columns=source.edit_columns,
        )
        directions.note = {"layer": layer, "singular_values": values_D.sqrt().tolist()}
        return Artefacts(directions=directions.to(run.device), generator=source)

    def _say_cost(
        self, activations: Activations, latents_NL: Tensor, block: tuple[int, int], steps: int, run: Run
    ) -> None:
        """Refuse a batch that does not fit (ValueError), and say how long all of them will take, if long."""
        width, columns = block
        zero_2L = latents_NL.new_zeros(2, width).requires_grad_()
        row = graph_bytes(lambda shift: activations(latents_NL[:1].expand(len(shift), -1), shift), zero_2L)
        rows = columns * min(self.batch_size, self.num_latents)
        refuse_too_much(row * rows, run.device, "set a smaller batch_size, to which memory is proportional")
        passes = self.num_latents * steps
        if passes < _FEW_PASSES:
            return
        begin = time.perf_counter()
        gram_product(activations, latents_NL[:1], torch.zeros(width, columns).to(latents_NL))
        seconds = (time.perf_counter() - begin) * passes
        if seconds > _LONG and run.is_main:
            print(
                f"{self.num_latents} latents × {columns} columns × {steps} iterations: up to {seconds / 3600:.2g} "
                "hours, by the time of one latent; num_latents and steps shorten it in proportion",
                file=sys.stderr,
            )


Activations = Callable[[Tensor, Tensor], Tensor]


def _activations(source: Generator, layer: str, layers: tuple[int, int] | None) -> Activations:
    """``(latents (N, L), shift (N, L)) -> (N, F)``: activations when the latents are shifted on the given layers.

    The shift is of the columns that edits move.
    """
    mask = torch.zeros(source.num_layers, 1, device=source.device)
    mask[slice(*(layers or (0, source.num_layers)))] = 1.0

    first, last = source.edit_columns or (0, source.latent_dim)

    def run(latents_NL: Tensor, shift_NL: Tensor) -> Tensor:
        shift_NL = F.pad(shift_NL, (first, source.latent_dim - last))
        moved = latents_NL + shift_NL if layers is None else latents_NL[:, None] + mask * shift_NL[:, None]
        return source.activations(moved, layer)

    return run


def gram_product(activations: Activations, latents_NL: Tensor, block_LB: Tensor) -> Tensor:
    """``Σ J(w)ᵀ J(w) V``, ``(L, B)``, over latents w and for the columns of V.

    Args:
        activations: of latents and a shift of them; J is the derivative with respect to the shift.
        latents_NL: where the Jacobians are taken.
        block_LB: V.
    """
    columns = block_LB.shape[1]
    # Every latent with every column is one row of a plain batch: vmap would share the forward pass, but knows no
    # channels-last, and a stranger's module may do what it does not know.
    base_SL = latents_NL.repeat_interleave(columns, dim=0)
    zero_SL = base_SL.new_zeros(len(base_SL), len(block_LB))

    def shifted(shift_SL: Tensor) -> Tensor:
        return activations(base_SL, shift_SL)

    steps_SL = block_LB.T.repeat(len(latents_NL), 1)
    try:
        changes_SF = torch.func.jvp(shifted, (zero_SL,), (steps_SL,))[1]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        # Fused attention has no forward mode, a group norm in channels-last a broken one. A central difference is as
        # good in float32, and needs the forward pass alone: where that is what failed, it fails here again.
        with torch.no_grad():
            changes_SF = (shifted(_NEAR * steps_SL) - shifted(-_NEAR * steps_SL)) / (2 * _NEAR)
    pull: Any = torch.func.vjp(shifted, zero_SL)[1]
    (product_SL,) = pull(changes_SF)
    total_LB: Tensor = product_SL.unflatten(0, (-1, columns)).sum(dim=0).T
    return total_LB
