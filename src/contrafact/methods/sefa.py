"""SeFa (ClosedForm): directions that a layer's weights answer to most, found without a single sample.

Closed-Form Factorization of Latent Semantics in GANs, Shen & Zhou, CVPR 2021, https://arxiv.org/abs/2007.06600.

A step n of the latent changes the output of a linear layer A by A n; unit steps that change it most are the leading
eigenvectors of AᵀA. As in the released program, the rows of A are rescaled to length 1 first (``normalize_rows``).
Deviations: the release asks a solver for general matrices, whose eigenvectors come unsorted; here a symmetric one is
used, in float64, and the largest eigenvalue comes first.

Shape suffixes: R outputs, L latent dimensions, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Layer, Size
from contrafact.core.run import Run
from contrafact.nn.spectral import check_fit, leading_eigenvectors


@dataclass(frozen=True)
class SeFa(Method):
    """Closed-form factorisation of the weights that act on the latent; nothing is trained and nothing is drawn.

    >>> import contrafact as cf
    >>> generator = cf.load_generator("shapes3d")
    >>> run = cf.methods.SeFa(num_directions=3).fit(generator, "runs/sefa")
    >>> lengths = (generator.latent_weights() @ run.directions.vectors().T).norm(dim=0)
    >>> bool(lengths[0] >= lengths[1] >= lengths[2])  # the weights answer to the first the most
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {}}
    draws: ClassVar[bool] = False

    num_directions: Size = 10
    """Directions D: the first so many, by eigenvalue; at most as many as latent dimensions."""
    first_layer: Layer | None = None
    """First layer of a style-based generator whose weights count and that the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""
    normalize_rows: bool = True
    """Rescale each row of the weights to length 1 (released); off takes them as they are."""

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse more directions than dimensions, and a generator without such layers or weights."""
        check_fit(self.num_directions, source.latent_dim)
        source.latent_weights(source.layer_range(self.first_layer, self.last_layer))

    @torch.no_grad()
    def train(self, source: Generator, run: Run) -> Artefacts:
        """Factorise the weights."""
        layers = source.layer_range(self.first_layer, self.last_layer)
        weights_RL = source.latent_weights(layers).cpu().double()
        if self.normalize_rows:
            weights_RL = F.normalize(weights_RL, dim=1)
        gram_LL = weights_RL.T @ weights_RL
        values_D, vectors_DL = leading_eigenvectors(gram_LL, self.num_directions, "the weights answer to")
        directions = GlobalDirections.of(
            vectors_DL.float(), source.latent_scale(), layers=layers, num_layers=source.num_layers
        )
        directions.note = {"eigenvalues": values_D.tolist()}
        return Artefacts(directions=directions.to(run.device), generator=source)
