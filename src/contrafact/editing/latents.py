"""Latents kept in a file, with what they are latents of; other programs' latents; and moving them along directions.

Shape suffixes: N images, K layers, L latent dimensions.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from contrafact.core.artefact import fingerprint
from contrafact.core.checksum import check_tensors, write_tensors
from contrafact.core.command import without_home
from contrafact.core.describe import listed, open_safetensors
from contrafact.core.direction_files import check_fit, claim_file
from contrafact.core.directions import Directions
from contrafact.core.foreign import parse_json, reading
from contrafact.core.format_version import FORMAT_VERSION, check_format_version
from contrafact.core.generator import Generator
from contrafact.editing.foreign_latents import EXPECTED, find_latents
from contrafact.editing.spaces import converted_path, looks_layered, settle_space

FORMAT = "contrafact latents"


@dataclass(frozen=True)
class StoredLatents:
    """Latents and their origin.

    Attributes:
        latents: ``(N, L)``, or ``(N, num_layers, L)``.
        names: N names, such as the pictures' file names.
        space: edit space they lie in; empty where another program's file does not say.
        generator: name of the generator they belong to; empty where it is not known.
        weights: fingerprint of its weights; empty where they are not known.
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
        if self.space and self.space != generator.space:
            of = f" of {self.generator}" if self.generator else ""
            raise ValueError(
                f"the latents lie in the {self.space} space{of}, this generator is edited in {generator.space}"
            )
        if self.weights and self.weights != fingerprint(generator):
            raise ValueError(
                f"the latents belong to the generator {self.generator}, this one ({generator.name}) has other weights; "
                "invert the pictures again with `contrafact invert`"
            )
        generator.check_latent(self.latents)


def load_latents(
    path: str | Path,
    generator: Generator | None = None,
    *,
    space: str | None = None,
    per_layer: bool | None = None,
) -> StoredLatents:
    """Latents of a file of contrafact's, or of another program's projector or encoder.

    Read are arrays ``(N, L)`` and ``(N, K, L)``, alone, in lists or by picture, as ``.npy``, ``.npz`` (NVIDIA's
    ``projected_w.npz``), ``.pt`` (e4e's ``latents.pt``, rosinality's projections), ``.safetensors`` and text. Nothing
    of a file is run.

    Args:
        path: the file.
        generator: the one they are for: it decides what the file leaves open, and is checked.
        space: edit space of another program's latents, ``z`` or ``w``, whatever the file says.
        per_layer: whether a plain array ``(K, L)`` is one image with a latent for each style layer, or K images; by
            default the former where K is the number of the generator's layers.

    Warns:
        UserWarning: what was assumed because the file does not say it, or was left out of it.

    Raises:
        ValueError: no such file, cut short or damaged, not one of latents (the message says what it is), written by a
            newer version, latents that do not fit the generator, or options that do not fit the file.

    >>> import contrafact as cf, numpy as np
    >>> np.savez("projected_w.npz", w=np.zeros((1, 6, 12)))  # as NVIDIA's projector.py does
    >>> stored = cf.load_latents("projected_w.npz", cf.generators.StyleGAN2.tiny())
    >>> stored.latents.shape, stored.names, stored.space
    (torch.Size([1, 6, 12]), ['projected_w'], 'w')
    """
    source = Path(path)
    if is_own(source):
        if space is not None or per_layer is not None:
            raise ValueError(f"{source} is contrafact's own and says all about itself: leave out space and per_layer")
        stored = _load_own(source)
    else:
        stored, remarks = _foreign(source, generator, space, per_layer)
        for remark in remarks:
            warnings.warn(f"{source}: {remark}", stacklevel=2)
    if generator is not None:
        stored.check_fit(generator)
    return stored


def convert_latents(
    source: str | Path,
    target: str | Path,
    generator: Generator | None = None,
    *,
    space: str | None = None,
    per_layer: bool | None = None,
) -> StoredLatents:
    """Write another program's latents to a file of contrafact's; returns them. Arguments as for :func:`load_latents`.

    Raises:
        ValueError: what :func:`load_latents` refuses, or a target of another name than ``*.safetensors`` or that is the
            source.
    """
    path = converted_path(source, target)
    stored = load_latents(source, generator, space=space, per_layer=per_layer)
    with claim_file(path):
        stored.save(path)
    return stored


def is_own(path: Path) -> bool:
    """Whether a file of latents is contrafact's own (ValueError where it is missing or damaged)."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected {EXPECTED}")
    with reading(path, "file of latents"), path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return False
    header, shapes = open_safetensors(path, EXPECTED)
    if header.get("format") == "contrafact":
        raise ValueError(f"{path} holds no latents of contrafact's but {listed(shapes)}; expected {EXPECTED}")
    return header.get("format") == FORMAT


def _foreign(
    path: Path, generator: Generator | None, space: str | None, per_layer: bool | None
) -> tuple[StoredLatents, list[str]]:
    """Latents of another program, and remarks on what was assumed."""
    found = find_latents(path)
    latents, names, remarks = found.latents, list(found.names), list(found.remarks)
    if per_layer is not None and not found.is_bare:
        raise ValueError(f"{path} says how its latents lie: leave out per_layer")
    if found.is_bare and (looks_layered(latents, generator) if per_layer is None else per_layer):
        if per_layer is None:
            remarks.append(
                f"read as one image with a latent for each of {len(latents)} layers; to read it as {len(latents)} "
                "images, contrafact convert --rows images (per_layer=False)"
            )
        latents, names = latents[None], [path.stem]
    program = "its program"
    likely = "w" if latents.ndim == 3 and found.space is None else found.space
    belongs = settle_space(path, program, likely, generator, space, remarks) or ""
    facts: dict[str, object] = {"read_from": path.name}
    if generator is None or belongs != generator.space:
        return StoredLatents(latents, names, belongs, "", "", facts=facts), remarks
    return StoredLatents.of(generator, latents, names, facts=facts), remarks


def _load_own(source: Path) -> StoredLatents:
    from safetensors.torch import load_file

    expected = "a file of latents written by `contrafact invert`"
    header, shapes = open_safetensors(source, expected)
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
        ValueError: directions that do not fit the generator, no such direction, no steps, or layers out of range, or
            other ones than those of directions that act on their own alone (StyleGAN3's pose).
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
        ValueError: layers the generator does not have, or directions that can act on their own alone.
    """
    first, last = layers
    if not 0 <= first < last <= generator.num_layers or generator.num_layers == 1:
        raise ValueError(
            f"layers must be (first, last) with 0 <= first < last <= {generator.num_layers}, the generator's number "
            f"of layers; got ({first}, {last})"
            + ("; all of its layers take the same latent" if generator.num_layers == 1 else "")
        )
    if directions.own_layers and directions.layers not in (None, (first, last)):
        begin, end = directions.layers or (0, directions.num_layers)
        own = f"layer {begin}" if end == begin + 1 else f"layers {begin} to {end - 1}"
        raise ValueError(
            f"{', '.join(directions.names[:3])} mean something in {own} alone and cannot act on layers {first} to "
            f"{last - 1}: leave the layers out; they move nothing else"
        )
    other = copy.deepcopy(directions)
    other.layers, other.num_layers = (first, last), generator.num_layers
    return other
