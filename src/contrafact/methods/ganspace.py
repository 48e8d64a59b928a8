"""GANSpace: principal components of the latents a generator really uses, or of an early layer's activations.

GANSpace: Discovering Interpretable GAN Controls, Härkönen, Hertzmann, Lehtinen & Paris, NeurIPS 2020,
https://arxiv.org/abs/2004.02546.

Style-based generators: PCA of W; a step of 1 along a component is its standard deviation. Others: PCA of a layer's
activations, then least squares from the activations' coordinates back to the latent; directions of unit length, as in
the release. Deviations: mean and covariance are summed in float64 and so are exact, where the release merges batches
(IncrementalPCA); the regression needs no samples of its own, because coordinates along principal components are
uncorrelated, so that its solution is the covariance of latent and activations times the components. A diffusion model
that is edited in its bottleneck (h) gets the components of h itself, as Haas et al. do (2303.11073). Where a class is
left open and edits leave it as it is, samples are of all classes.

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
from contrafact.core.generator import IMAGE, Generator, sample_latents
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
    """Layer whose activations are analysed, or "image". Empty: W or a diffusion model's h themselves where they are the
    edit space, else the first."""
    num_directions: Size = 10
    """Directions D: the first so many components."""
    num_samples: Count | None = None
    """Samples N of the edit space; empty: a million, or of a diffusion model's h, where each costs an image, 5,000."""
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
        if self.num_samples is not None and self.num_samples <= self.num_directions:
            raise ValueError(
                f"{self.num_samples} samples vary along fewer than {self.num_directions} directions; "
                f"set num_samples to more than {self.num_directions}, better to a thousand times as many"
            )

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse more directions than dimensions, and layers that the generator does not have."""
        check_fit(self.num_directions, source.edit_dim)
        source.layer_range(self.first_layer, self.last_layer)
        if self.layer is not None:
            source.check_layer(self.layer)

    @torch.no_grad()
    def train(self, source: Generator, run: Run) -> Artefacts:
        """Stream the samples, then factorise."""
        layers = source.layer_range(self.first_layer, self.last_layer)
        scale = source.latent_scale()
        if self.layer is None and (source.space == "w" or source.edit_layer is not None):
            variances_D, components_DL = self._components_of_edit_space(source, run)
            vectors_DL = components_DL * variances_D.sqrt()[:, None] / scale
            constraint: Literal["unit", "free"] = "free"  # lengths say how far one standard deviation is
            note: dict[str, Any] = {"analysed": source.space, "variances": variances_D.tolist()}
        else:
            layer = self.layer or (*source.layer_names, IMAGE)[0]
            vectors_DL = self._regressed(source, run, layer)
            constraint, note = "unit", {"analysed": layer}
        directions = GlobalDirections.of(
            vectors_DL.float(),
            scale,
            layers=layers,
            num_layers=source.num_layers,
            constraint=constraint,
            columns=source.edit_columns,
        )
        directions.note = {**note, "samples": self._samples(source)}
        return Artefacts(directions=directions.to(run.device), generator=source)

    def _components_of_edit_space(self, source: Generator, run: Run) -> tuple[Tensor, Tensor]:
        """Variances ``(D,)`` and principal components ``(D, L)`` of where samples stand in the edit space."""
        if source.edit_layer is not None:
            values_D, components_DL, _ = self._components_of_layer(source, run, source.edit_layer, crossed=False)
            return values_D, components_DL
        covariance = StreamedCovariance(source.edit_dim, source.edit_dim).to(home_of(run.device))
        rng = run.rng("samples", shared=True)
        for step in run.steps(self._batches(source), {"covariance": covariance, "rng": rng}, "sampling"):
            w_NL = source.edit_coordinates(_drawn(source, self._size(source, step), rng))
            covariance.add(w_NL, w_NL)
        return leading_eigenvectors(covariance.value(), self.num_directions, "W varies along")

    def _regressed(self, source: Generator, run: Run, layer: str) -> Tensor:
        """Directions ``(D, L)`` of the latent that go with the principal components of a layer's activations.

        Raises:
            ValueError: a generator all of whose samples stand at one place of the edit space.
        """
        if source.edit_layer is not None:
            raise ValueError(
                f"this {type(source).__name__} is edited in {source.space}, which is the same for all of its samples, "
                f"so that nothing of it goes with the layer {layer!r}: leave the layer out"
            )
        _, components_DF, cross_LF = self._components_of_layer(source, run, layer, crossed=True)
        return components_DF @ cross_LF.T

    def _components_of_layer(
        self, source: Generator, run: Run, layer: str, crossed: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Variances ``(D,)`` and components ``(D, F)`` of a layer's activations; if asked, latents' covariance with it.

        Args:
            source: the generator.
            run: supplies samples, progress and device.
            layer: its name.
            crossed: whether the covariance ``(L, F)`` of edit space and activations is wanted; ``(1, F)`` of zeros if
                it is not.
        """
        rng, seed = run.rng("samples", shared=True), run.rng("samples", shared=True).initial_seed()
        probe_NL = _drawn(source, 1, run.rng("probe"))
        features = source.activations(probe_NL, layer).numel()
        home = home_of(run.device)
        cross = StreamedCovariance(source.edit_dim if crossed else 1, features).to(home)
        state: dict[str, Any] = {"cross": cross, "rng": rng}
        power: PowerIteration | None = None
        if features > EXACT_FEATURES:
            columns = min(features, self.num_directions + _EXTRA_COLUMNS)
            state["power"] = power = PowerIteration(features, columns, run.rng("block", shared=True)).to(home)
        width = features if power is None else power.block_LB.shape[1]
        state["inner"] = inner = StreamedCovariance(features, width).to(home)
        batches = self._batches(source)

        for step in run.steps(batches * (1 if power is None else self.passes), state, "sampling"):
            position = step % batches
            if position == 0:
                rng.manual_seed(seed)  # every pass sees the same samples
                inner.forget()
                cross.forget()
            latent_NL = _drawn(source, self._size(source, position), rng)
            with run.autocast():
                activations_NF = source.activations(latent_NL, layer)
            if crossed:
                cross.add(source.edit_coordinates(latent_NL), activations_NF)
            if power is None:
                inner.add(activations_NF, activations_NF)
                continue
            inner.add(activations_NF, activations_NF.to(home).double() @ power.block_LB)
            if position == batches - 1:
                power.advance(inner.value())
                run.log(residual=power.residual)

        cross_LF = cross.value() if crossed else torch.zeros(1, features)
        if power is None:
            what = f"layer {layer} varies along"
            return *leading_eigenvectors(inner.value(), self.num_directions, what), cross_LF
        values_D = power.values_B[: self.num_directions]
        return values_D, oriented(power.block_LB.T[: self.num_directions]), cross_LF

    def _samples(self, source: Generator) -> int:
        if self.num_samples is not None:
            return self.num_samples
        return 1_000_000 if source.edit_layer is None else max(5_000, 10 * self.num_directions)

    def _batches(self, source: Generator) -> int:
        return math.ceil(self._samples(source) / self.batch_size)

    def _size(self, source: Generator, position: int) -> int:
        """Samples of a batch: the last one may be smaller."""
        return min(self.batch_size, self._samples(source) - position * self.batch_size)


def _drawn(source: Generator, n: int, rng: torch.Generator) -> Tensor:
    """Latents ``(n, L)``: of all classes where edits cannot move the class; elsewhere it has to be fixed."""
    return source.sample(n, rng) if source.edit_columns is None else sample_latents(source, n, rng)
