"""GANSpace: principal components of the latents a generator really uses, or of an early layer's activations.

GANSpace: Discovering Interpretable GAN Controls, Härkönen, Hertzmann, Lehtinen & Paris, NeurIPS 2020,
https://arxiv.org/abs/2004.02546.

Style-based generators: PCA of W; a step of 1 along a component is its standard deviation. Others: PCA of a layer's
activations, then least squares from the activations' coordinates back to the latent; directions of unit length, as in
the release. Deviations: mean and covariance are summed in float64 and so are exact, where the release merges batches
(IncrementalPCA); the regression needs no samples of its own, because coordinates along principal components are
uncorrelated, so that its solution is the covariance of latent and activations times the components.

Shape suffixes: N samples, L latent dimensions, F features of the layer, D directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import IMAGE, Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Count, Layer, Size
from contrafact.core.run import Run
from contrafact.nn.spectral import (
    PowerIteration,
    StreamedCovariance,
    check_fit,
    home_of,
    leading_eigenvectors,
    oriented,
)

EXACT_FEATURES = 4096
"""Layers of more features get their components by power iteration over several passes: F × F would be too much."""
_EXTRA_COLUMNS = 10


@dataclass(frozen=True)
class GANSpace(Method):
    """PCA over a million samples, none of which is kept.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic")
    >>> run = cf.methods.GANSpace(num_directions=4, num_samples=1000).fit(scene, "runs/ganspace")
    >>> run.directions.num_directions, run.directions.note["analysed"], run.directions.note["samples"]
    (4, 'factors', 1000)
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"num_samples": 100_000},
        "tiny": {"num_samples": 64, "batch_size": 24},
    }

    layer: str | None = None
    """Layer whose activations are analysed, or "image". Empty: W itself where it is the edit space, else the first."""
    num_directions: Size = 10
    """Directions D: the first so many components."""
    num_samples: Count = 1_000_000
    """Samples N of the edit space."""
    batch_size: Size = 2000
    """Samples at a time."""
    passes: Size = 4
    """Passes over the samples for a layer of more than 4096 features, whose components are found by power iteration."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""

    def check_options(self) -> None:
        """Refuse fewer samples than directions."""
        if self.num_samples <= self.num_directions:
            raise ValueError(
                f"{self.num_samples} samples vary along fewer than {self.num_directions} directions; "
                f"set num_samples to more than {self.num_directions}, better to a thousand times as many"
            )

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse more directions than dimensions, and layers that the generator does not have."""
        check_fit(self.num_directions, source.latent_dim)
        source.layer_range(self.first_layer, self.last_layer)
        if self.layer is not None:
            source.check_layer(self.layer)

    @torch.no_grad()
    def train(self, source: Generator, run: Run) -> Artefacts:
        """Stream the samples, then factorise."""
        layers = source.layer_range(self.first_layer, self.last_layer)
        scale = source.latent_scale()
        if self.layer is None and source.space == "w":
            variances_D, components_DL = self._components_of_w(source, run)
            vectors_DL = components_DL * variances_D.sqrt()[:, None] / scale
            constraint: Literal["unit", "free"] = "free"  # lengths say how far one standard deviation is
            note: dict[str, Any] = {"analysed": "w", "variances": variances_D.tolist()}
        else:
            layer = self.layer or (*source.layer_names, IMAGE)[0]
            vectors_DL, constraint, note = self._regressed(source, run, layer), "unit", {"analysed": layer}
        directions = GlobalDirections.of(
            vectors_DL.float(), scale, layers=layers, num_layers=source.num_layers, constraint=constraint
        )
        directions.note = {**note, "samples": self.num_samples}
        return Artefacts(directions=directions.to(run.device), generator=source)

    def _components_of_w(self, source: Generator, run: Run) -> tuple[Tensor, Tensor]:
        """Variances ``(D,)`` and principal components ``(D, L)`` of W."""
        covariance = StreamedCovariance(source.latent_dim, source.latent_dim).to(home_of(run.device))
        rng = run.rng("samples", shared=True)
        for step in run.steps(self._batches(), {"covariance": covariance, "rng": rng}, "sampling"):
            w_NL = source.sample(self._size(step), rng)
            covariance.add(w_NL, w_NL)
        return leading_eigenvectors(covariance.value(), self.num_directions, "W varies along")

    def _regressed(self, source: Generator, run: Run, layer: str) -> Tensor:
        """Directions ``(D, L)`` of the latent that go with the principal components of a layer's activations."""
        rng, seed = run.rng("samples", shared=True), run.rng("samples", shared=True).initial_seed()
        probe_NL = source.sample(1, run.rng("probe"))
        dim, features = source.latent_dim, source.activations(probe_NL, layer).numel()
        home = home_of(run.device)
        cross = StreamedCovariance(dim, features).to(home)
        state: dict[str, Any] = {"cross": cross, "rng": rng}
        power: PowerIteration | None = None
        if features > EXACT_FEATURES:
            columns = min(features, self.num_directions + _EXTRA_COLUMNS)
            state["power"] = power = PowerIteration(features, columns, run.rng("block", shared=True)).to(home)
        width = features if power is None else power.block_LB.shape[1]
        state["inner"] = inner = StreamedCovariance(features, width).to(home)
        batches = self._batches()

        for step in run.steps(batches * (1 if power is None else self.passes), state, "sampling"):
            position = step % batches
            if position == 0:
                rng.manual_seed(seed)  # every pass sees the same samples
                inner.forget()
                cross.forget()
            latent_NL = source.sample(self._size(position), rng)
            with run.autocast():
                activations_NF = source.activations(latent_NL, layer)
            cross.add(latent_NL, activations_NF)
            if power is None:
                inner.add(activations_NF, activations_NF)
                continue
            inner.add(activations_NF, activations_NF.to(home).double() @ power.block_LB)
            if position == batches - 1:
                power.advance(inner.value())
                run.log(residual=power.residual)

        if power is None:
            what = f"layer {layer} varies along"
            components_DF = leading_eigenvectors(inner.value(), self.num_directions, what)[1]
        else:
            components_DF = oriented(power.block_LB.T[: self.num_directions])
        return components_DF @ cross.value().T

    def _batches(self) -> int:
        return math.ceil(self.num_samples / self.batch_size)

    def _size(self, position: int) -> int:
        """Samples of a batch: the last one may be smaller."""
        return min(self.batch_size, self.num_samples - position * self.batch_size)
