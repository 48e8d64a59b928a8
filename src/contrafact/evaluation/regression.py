"""The representation that directions alone give: an encoder trained to read a latent's coordinates along them.

Khrulkov et al., "Disentangled Representations from Non-Disentangled Models", 2021, https://arxiv.org/abs/2102.06204, as
used for LD, CF, GS and DS in DisCo's Table 1: the top 10 directions, and the same light encoder.

Shape suffixes: N samples, L latent dimensions, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator, images_at_once
from contrafact.core.ranges import Rate, Share, Size, Steps, Width, check_ranges
from contrafact.core.run import Run
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.nn.encoders import SLOPE
from contrafact.nn.trainable import fresh_encoder


@dataclass(frozen=True)
class RegressionSettings:
    """How the regression encoder is trained.

    Attributes:
        steps: training steps.
        batch_size: generated images per step.
        learning_rate: Adam's.
        num_directions: the first so many directions are read.
        width: multiplies the encoder's channel counts.
        network: DisCo's light encoder, or the smaller one of Locatello et al. 2019.
        slope: of the light encoder's leaky ReLU; DisCo's released program has 0.01.
        older: settings that folders of older versions do not name, with the values they had.
    """

    older: ClassVar[Mapping[str, Any]] = {"network": "conv", "slope": SLOPE}

    steps: Steps = 10_000
    batch_size: Size = 256
    learning_rate: Rate = 1e-3
    num_directions: Size = 10
    width: Width = 1.0
    network: Literal["conv", "locatello"] = "conv"
    slope: Share = SLOPE

    def __post_init__(self) -> None:
        """Refuse values out of range (ValueError)."""
        check_ranges(self, spelled=False)

    def recorded(self) -> dict[str, Any]:
        """What a run's folder notes; what came later is left out where it is as it was, so that older folders fit."""
        return {name: value for name, value in asdict(self).items() if self.older.get(name, ...) != value}


@torch.no_grad()
def coordinates_along(directions: Directions, latent: Tensor, center: Tensor) -> Tensor:
    """Coordinates ``(N, D)`` of latents along the directions, counted in the directions' own unit steps.

    A latent that a step of ε moved from the mean has coordinate ε: for direction vectors ``a_d`` that is
    ``(w − w̄)·a_d / (scale·‖a_d‖²)``. A curved direction counts as its unit step. One with a vector per layer counts by
    least squares over the layers, which all have the same latent. On a circle it is the angle, in radians.

    Args:
        directions: D directions.
        latent: ``(N, L)``, as :meth:`Generator.edit_coordinates` gives them.
        center: their mean ``(L,)``.
    """
    if isinstance(directions, WhitenedDirections):
        return directions.positions(latent)
    every = torch.arange(directions.num_directions, device=latent.device)
    vectors = directions.shift(center.expand(len(every), -1), every, torch.ones_like(every, dtype=latent.dtype))
    vectors_DKL = vectors if vectors.ndim == 3 else vectors[:, None]
    if vectors.ndim == 3 and directions.layers is not None:
        vectors_DKL = vectors_DKL[:, slice(*directions.layers)]
    vectors_DL = vectors_DKL.sum(dim=1) / vectors_DKL.square().sum(dim=(1, 2))[:, None]
    return (latent - center) @ vectors_DL.T / directions.scale


@torch.no_grad()
def _center(generator: Generator, rng: torch.Generator) -> Tensor:
    latents = generator.sample(4096, rng)
    if generator.edit_layer is None:
        return generator.edit_coordinates(latents).mean(dim=0)
    few = latents[:1024].split(images_at_once(generator))  # each costs as much as an image
    return torch.cat([generator.edit_coordinates(part) for part in few]).mean(dim=0)


def regress_encoder(generator: Generator, directions: Directions, run: Run, settings: RegressionSettings) -> Encoder:
    """Train an encoder to read latents' coordinates along directions from the generated images.

    Args:
        generator: the frozen generator.
        directions: directions found on it.
        run: supplies seed, device, log and checkpoints.
        settings: how long and how wide.

    Returns:
        the encoder, one code per direction, in evaluation mode.

    Raises:
        ValueError: a setting out of range, or directions of another latent size.
    """
    if directions.latent_dim != generator.edit_dim:
        raise ValueError(
            f"the directions live in {directions.latent_dim} latent dimensions, the generator has "
            f"{generator.edit_dim}; use the generator they were found on"
        )
    num_codes = min(settings.num_directions, directions.num_directions)
    generator, directions = generator.to(run.device), directions.to(run.device)
    center = _center(generator, run.rng("center", shared=True))
    with run.seeded_init("encoder"):
        kind = (settings.network, generator.image_shape, num_codes, settings.width)
        encoder = fresh_encoder(*kind, slope=settings.slope).to(run.device)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=settings.learning_rate)
    rng = run.rng("latents")
    state = {"encoder": encoder, "optimizer": optimizer, "rng": rng}
    for _ in run.steps(settings.steps, state, "regression"):
        latent = generator.sample(settings.batch_size, rng)
        with run.autocast():
            with torch.no_grad():
                images, places = generator(latent), generator.edit_coordinates(latent)
            codes = encoder(images.float())
        target = coordinates_along(directions, places.float(), center)[:, :num_codes]
        loss = (codes.float() - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        run.backward(loss, encoder.parameters())
        optimizer.step()
        run.log(loss=loss)
    return encoder.eval().requires_grad_(False)
