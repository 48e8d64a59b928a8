"""Latents kept in a file, with what they are latents of; and moving them along directions.

Shape suffixes: N images, L latent dimensions.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from contrafact.core.artefact import fingerprint
from contrafact.core.checksum import check_tensors, write_tensors
from contrafact.core.command import without_home
from contrafact.core.describe import listed, open_safetensors
from contrafact.core.direction_files import check_fit
from contrafact.core.directions import Directions
from contrafact.core.foreign import parse_json, reading
from contrafact.core.format_version import FORMAT_VERSION, check_format_version
from contrafact.core.generator import Generator

FORMAT = "contrafact latents"


@dataclass(frozen=True)
class StoredLatents:
    """Latents and their origin.

    Attributes:
        latents: ``(N, L)``, or ``(N, num_layers, L)``.
        names: N names, such as the pictures' file names.
        space: edit space they lie in.
        generator: name of the generator they belong to.
        weights: fingerprint of its weights.
        targets: the photographs they were found for ``(N, C, H, W)``, if any.
        facts: anything else, JSON-ready: how near their images come.
    """

    latents: Tensor
    names: list[str]
    space: str
    generator: str
    weights: str
    targets: Tensor | None = None
    facts: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        generator: Generator,
        latents: Tensor,
        names: Sequence[str],
        targets: Tensor | None = None,
        facts: dict[str, object] | None = None,
    ) -> StoredLatents:
        """Latents of a generator.

        Raises:
            ValueError: latents that do not fit the generator, or another number of names.
        """
        latents = generator.check_latent(latents).detach().cpu()
        if len(names) != len(latents):
            raise ValueError(f"expected one name per latent ({len(latents)}), got {len(names)}")
        maker, weights = without_home(generator.name), fingerprint(generator)
        return cls(latents, list(names), generator.space, maker, weights, targets, dict(facts or {}))

    def save(self, path: str | Path) -> Path:
        """Write to one ``.safetensors`` file, atomically; returns its path."""
        tensors = {"latents": self.latents.contiguous()}
        if self.targets is not None:
            tensors["targets"] = self.targets.detach().cpu().contiguous()
        header = {
            "format": FORMAT,
            "version": str(FORMAT_VERSION),
            "names": json.dumps(self.names),
            "space": self.space,
            "generator": self.generator,
            "weights": self.weights,
            "facts": json.dumps(self.facts),
        }
        write_tensors(path, tensors, header)
        return Path(path)

    def check_fit(self, generator: Generator) -> None:
        """Refuse a generator these latents do not belong to (ValueError)."""
        if self.space != generator.space:
            raise ValueError(
                f"the latents lie in the {self.space} space of {self.generator}, this generator is edited in "
                f"{generator.space}"
            )
        if self.weights != fingerprint(generator):
            raise ValueError(
                f"the latents belong to the generator {self.generator}, this one ({generator.name}) has other weights; "
                "invert the pictures again with `contrafact invert`"
            )
        generator.check_latent(self.latents)


def load_latents(path: str | Path) -> StoredLatents:
    """Read latents back.

    Raises:
        ValueError: no such file, cut short or damaged, not one of latents (the message says what it is), or written by
            a newer version.
    """
    from safetensors.torch import load_file

    source, expected = Path(path), "a file of latents written by `contrafact invert`"
    if not source.is_file():
        raise ValueError(f"{source} does not exist; expected {expected}")
    header, shapes = open_safetensors(source, expected)
    if header.get("format") != FORMAT:
        raise ValueError(f"{source} holds no latents of contrafact's but {listed(shapes)}; expected {expected}")
    check_format_version(header.get("version"), source)
    with reading(source, "whole file of latents", "make it again with `contrafact invert`"):
        names, facts = (
            parse_json(header[key], f"{source} has a damaged header: {key!r}", "make it again with `contrafact invert`")
            for key in ("names", "facts")
        )
        check_tensors(source)
        tensors = load_file(source)
        latents, targets = tensors["latents"].float(), tensors.get("targets")
        stored = StoredLatents(latents, names, header["space"], header["generator"], header["weights"], targets, facts)
    if (
        latents.ndim not in (2, 3)
        or not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(names) != len(latents)
        or not isinstance(facts, dict)
        or (targets is not None and (targets.ndim != 4 or len(targets) != len(latents)))
    ):
        raise ValueError(
            f"{source} is no whole file of latents: expected latents (N, L) or (N, layers, L) with N names, found "
            f"{listed(shapes)} and names {str(names)[:60]}; make it again with `contrafact invert`"
        )
    return stored


@torch.no_grad()
def edit(
    generator: Generator,
    directions: Directions,
    latents: Tensor,
    steps: Sequence[tuple[str | int, float]],
    layers: tuple[int, int] | None = None,
) -> Tensor:
    """Move latents along directions, one step after the other.

    Args:
        generator: whose latents they are.
        directions: found on it, or on one with the same latent space.
        latents: ``(N, L)`` or ``(N, num_layers, L)``.
        steps: name or number of each direction, and how far in standard deviations.
        layers: ``(first, last)`` style layers to act on (last excluded) instead of the directions' own.

    Returns:
        Moved latents; ``(N, num_layers, L)`` where only some layers move.

    Raises:
        ValueError: directions that do not fit the generator, no such direction, no steps, or layers out of range.
    """
    check_fit(directions, generator)
    if not steps:
        raise ValueError("name at least one direction to move along")
    if layers is not None:
        directions = on_layers(directions, layers, generator)
    moved = generator.check_latent(latents)
    home = next(directions.parameters(), moved).device
    moved = moved.to(home)
    for which, magnitude in steps:
        moved = directions(moved, directions.index(which), float(magnitude))
    return moved


def on_layers(directions: Directions, layers: tuple[int, int], generator: Generator) -> Directions:
    """The same directions, acting on other style layers.

    Raises:
        ValueError: layers the generator does not have.
    """
    first, last = layers
    if not 0 <= first < last <= generator.num_layers or generator.num_layers == 1:
        raise ValueError(
            f"layers must be (first, last) with 0 <= first < last <= {generator.num_layers}, the generator's number "
            f"of layers; got ({first}, {last})"
            + ("; all of its layers take the same latent" if generator.num_layers == 1 else "")
        )
    other = copy.deepcopy(directions)
    other.layers, other.num_layers = (first, last), generator.num_layers
    return other
