"""Hessian Penalty: an orthonormal frame whose directions a generator answers to independently (Peebles et al. 2020).

The Hessian Penalty: A Weak Prior for Unsupervised Disentanglement, Peebles, Peebles, Zhu, Efros & Torralba, ECCV 2020,
https://arxiv.org/abs/2008.10599, Section 5: directions of a frozen generator, learned by the penalty alone.

Moving along one direction shall not change what moving along another does: the mixed second derivatives of every output
are small. They are not computed: the variance of second differences along random corners of a cube is twice the sum of
their squares (Eqs 3 to 5).

Deviations: steps are in standard deviations of the edit space; the largest penalty is taken over the outputs of each
image and averaged over images. How many directions, how far they are moved and how long it learns are ours.

Shape suffixes: N latents, V corners, D directions, L latent dimensions, F outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.generator import IMAGE, Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Positive, Range, Rate, Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.nn.trainable import trainable_directions


@dataclass(frozen=True)
class HessianPenalty(Method):
    """An orthonormal frame that makes a generator's Hessian diagonal.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> run = cf.methods.HessianPenalty.preset("quick", num_directions=3, steps=1).fit(scene, "runs/hessian")
    >>> frame = run.directions.vectors()
    >>> bool((frame @ frame.T - torch.eye(3)).abs().max() < 1e-5)
    True
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"num_directions": 10, "steps": 200, "batch_size": 8, "learning_rate": 1e-2},
    }

    num_directions: Size = 32
    """Directions D of the frame; at most as many as latent dimensions."""
    layer: str | None = None
    """Layer whose activations count (contrafact show generator lists them); empty for the image."""
    corners: Annotated[int, Range(at_least=2, at_most=64)] = 2
    """Second differences k whose variance is the penalty (the paper's 2)."""
    epsilon: Positive = 0.1
    """Step ε of a second difference."""
    shift: Weight = 1.0
    """How far η along one of the directions, drawn for each image, the penalty is taken; 0 for the latents as drawn."""
    steps: Steps = 2000
    """Training steps."""
    batch_size: Size = 16
    """Latents per step; each costs 1 + 2k images."""
    learning_rate: Rate = 5e-3
    """Adam's learning rate."""

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse more directions than dimensions, and a layer that is not there."""
        trainable_directions(run, source, self.num_directions, "orthonormal")
        with torch.no_grad():
            self._outputs(source, source.sample(1, seed=0))

    def _outputs(self, source: Generator, latent: Tensor) -> Tensor:
        return source(latent) if self.layer in (None, IMAGE) else source.features(latent, str(self.layer))

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Minimise the penalty over orthonormal frames."""
        directions = trainable_directions(run, source, self.num_directions, "orthonormal")
        adam = torch.optim.Adam(directions.parameters(), lr=self.learning_rate)
        rng = run.rng("latents")
        state: dict[str, Any] = {"directions": directions, "adam": adam, "rng": rng}

        for _ in run.steps(self.steps, state):
            latent_NL = source.sample(self.batch_size, rng)
            index_N = torch.randint(self.num_directions, (self.batch_size,), generator=rng).to(run.device)
            signs = torch.randint(2, (self.corners, self.batch_size, self.num_directions), generator=rng)
            corners_VND = (2.0 * signs - 1).to(run.device)
            unit_DL = directions.scale * directions.vectors()  # type: ignore[operator]
            start_NL = latent_NL + self.shift * unit_DL[index_N]
            loss = penalty(lambda latent: self._outputs(source, latent), start_NL, corners_VND @ unit_DL, self.epsilon)
            adam.zero_grad(set_to_none=True)
            run.backward(loss, directions.parameters())
            adam.step()
            run.log(loss=loss)
        return Artefacts(directions=directions, generator=source)


def penalty(
    outputs: Callable[[Tensor], Tensor], start_NL: Tensor, corners_VNL: Tensor, epsilon: float, largest: bool = True
) -> Tensor:
    """Variance of second differences over corners, of an image's most affected output; mean over images (Eq. 5).

    All of a step's images are one batch. In float32: a second difference is small beside what it is taken of.

    Args:
        outputs: latents ``(n, L)`` to what counts, ``(n, ...)``.
        start_NL: where.
        corners_VNL: steps to corners of the cube that the directions span.
        epsilon: share of such a step that is made.
        largest: the most affected output (the paper's maximum); off for the mean over outputs.
    """
    moved_VNL = epsilon * corners_VNL
    every = torch.cat([start_NL[None], start_NL + moved_VNL, start_NL - moved_VNL])
    seen = outputs(every.flatten(0, 1)).float().flatten(1).unflatten(0, every.shape[:2])
    forth_VNF, back_VNF = seen[1:].chunk(2)
    curvature_VNF = (forth_VNF - 2 * seen[0] + back_VNF) / epsilon**2
    variance_NF = curvature_VNF.var(dim=0, unbiased=True)
    of_image_N: Tensor = variance_NF.amax(dim=1) if largest else variance_NF.mean(dim=1)
    return of_image_N.mean()
