"""From other programs' names and scales to ours: what the layouts of StyleGAN's generations share."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from contrafact.generators._settings import Settings
from contrafact.generators._style_based import StyleBased, complete

Tensors = Mapping[str, Tensor]


class Translated(NamedTuple):
    """Arguments and state dict of a generator of ours, and what its note shall say."""

    arguments: dict[str, Any]
    tensors: dict[str, Tensor]
    note: Mapping[str, Any] = {}


Made = TypeVar("Made", bound=StyleBased)


def built(cls: type[Made], translated: Translated, optional: Collection[str] = ()) -> Made:
    """The generator that a checkpoint describes; noise images and the mean of W are made where it lacks them.

    Args:
        cls: its class.
        translated: what the checkpoint holds.
        optional: other tensors that it may lack, which keep their first values.

    Raises:
        ValueError: tensors that are missing or do not fit each other.
    """
    name = cls.__name__
    generator = cls(**translated.arguments)
    try:
        missing = generator.load_state_dict(translated.tensors, strict=False)[0]
    except RuntimeError as error:
        raise ValueError(f"the {name} checkpoint's shapes do not fit together: {error}") from error
    absent = [name for name in missing if name not in ("w_avg", *optional) and not name.endswith(".noise")]
    if absent:
        raise ValueError(f"the {name} checkpoint lacks {len(absent)} tensors: {', '.join(absent[:5])}")
    complete(generator, missing)
    generator.note |= translated.note
    return generator


def count_names(state: Tensors, pattern: str) -> int:
    """How many different numbers ``pattern``'s group matches among the names."""
    return len({match.group(1) for name in state if (match := re.fullmatch(pattern, name))})


def mapping_arguments(tensors: Tensors) -> dict[str, Any]:
    """Constructor arguments that follow from the shapes of our mapping network."""
    layers = count_names(tensors, r"mapping\.(\d+)\.weight")
    latent_dim = tensors[f"mapping.{layers - 1}.weight"].shape[0]
    prior_dim = tensors["mapping.0.weight"].shape[1]
    classes = 0
    if "embed.weight" in tensors:
        embed_dim, classes = tensors["embed.weight"].shape
        prior_dim -= embed_dim
    return {
        "latent_dim": latent_dim,
        "prior_dim": prior_dim,
        "mapping_layers": layers,
        "mapping_dim": tensors["mapping.0.weight"].shape[0] if layers > 1 else latent_dim,
        "classes": classes,
    }


def mapping_lr(settings: Settings, tensors: Tensors, *found: Any) -> float:
    """The mapping network's learning-rate multiplier, by which its weights are stored divided."""
    lr: float = settings.choose("mapping_lr", 0.01, *found)
    # They start with a spread of one over it, and hardly leave that in training.
    spread = float(tensors["mapping.0.weight"].detach().float().std()) if "mapping.0.weight" in tensors else 0.0
    if spread > 0 and not 1 / 3 < spread * 0.01 < 3:
        settings.doubt("mapping_lr", f"the spread of its weights, {spread:.3g}, suggests about {1 / spread:.1g}")
    return lr


def joint_embedding(weight_KZ: Tensor) -> Tensor:
    """Our embedding layer's weight: it divides by √classes when run, where these programs do not."""
    return weight_KZ.T * math.sqrt(weight_KZ.shape[0])


def check_grown(lod: Tensor | float | None, family: str) -> None:
    """Refuse a network whose last layers have not faded in (ValueError)."""
    if lod is not None and float(lod) != 0:
        raise ValueError(f"the {family} is not fully grown: its level of detail is {float(lod)}, not 0")


def noise_for_sides(count: int) -> list[Tensor]:
    """Noise images of 4, 8, … pixels, the same every time."""
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(4 << i, 4 << i, generator=rng) for i in range(count)]
