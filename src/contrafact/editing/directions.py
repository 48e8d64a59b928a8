"""Directions of any origin: a run's, a file of contrafact's, or another program's, fitted to a generator.

Shape suffixes: D directions, K layers, L latent dimensions.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor

from contrafact.core import hub
from contrafact.core.artefact import save_artefact
from contrafact.core.describe import open_safetensors
from contrafact.core.direction_files import check_fit, claim_file
from contrafact.core.direction_files import load_directions as load_own
from contrafact.core.directions import Directions, GlobalDirections, LayeredDirections
from contrafact.core.generator import Generator
from contrafact.editing.foreign_directions import EXPECTED, Found, find_directions
from contrafact.editing.spaces import converted_path, looks_layered, settle_space


def load_directions(
    source: str | Path,
    generator: Generator | None = None,
    *,
    space: str | None = None,
    per_layer: bool | None = None,
) -> Directions:
    """Directions of a run folder, of a file of contrafact's, or of another program's file.

    Other programs' directions keep their lengths, so that a magnitude of 1 is what it is there; ``note["unit"]`` says
    what. Read are GANSpace's ``.npz``; vectors ``(D, L)`` and, one for each style layer, ``(K, L)`` or ``(D, K, L)``,
    as ``.npy``, ``.npz``, ``.pt``, ``.safetensors`` and text (SeFa, InterFaceGAN); rosinality's ``factor.pt``;
    LatentDiscovery's ``deformator_*.pt``; LatentCLR's models. Nothing of a file is run.

    Args:
        source: run folder or file, or ``hf://org/repo[/file][@revision]``.
        generator: the one they are for: it decides what the file leaves open, and is checked.
        space: edit space they belong to, ``z`` or ``w``, whatever the file says.
        per_layer: whether a plain array ``(K, L)`` is one direction with a vector for each layer, or K directions; by
            default the former where K is the number of the generator's layers.

    Warns:
        UserWarning: what was assumed because the file does not say it.

    Raises:
        ValueError: no such file or folder, none with directions (the message says what it holds), directions that do
            not fit the generator, or options that do not fit the file.

    >>> import contrafact as cf, numpy as np
    >>> np.save("smile_boundary.npy", np.eye(8)[:1])  # as InterFaceGAN does
    >>> smile = cf.load_directions("smile_boundary.npy", cf.load_generator("analytic"))
    >>> smile.names, smile.note["unit"]
    (['smile_boundary'], "a latent step of the vector's length")
    """
    path = hub.local(source, "directions")
    if is_own(path):
        if space is not None or per_layer is not None:
            raise ValueError(
                f"{path} is contrafact's own and says all about its directions: leave out space and per_layer"
            )
        directions = load_own(path)
    else:
        if not path.exists():
            raise ValueError(f"{path} does not exist; expected a run folder or a file of directions")
        found = find_directions(path)
        directions, remarks = _fitted(found, path, generator, space, per_layer)
        for remark in remarks:
            warnings.warn(f"{path}: {remark}", stacklevel=2)
    if generator is not None:
        check_fit(directions, generator)
    return directions


def is_own(path: Path) -> bool:
    """Whether directions are in contrafact's own form, whose names can be changed: a folder, or a file it wrote.

    Raises:
        ValueError: a file of latents, or a damaged one.
    """
    if path.is_dir():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return False
    kind = open_safetensors(path, EXPECTED)[0].get("format", "")
    if kind == "contrafact latents":
        raise ValueError(f"{path} is a file of latents, not of directions; it is for --latents, or load_latents")
    return kind == "contrafact"


def convert_directions(
    source: str | Path,
    target: str | Path,
    generator: Generator | None = None,
    *,
    space: str | None = None,
    per_layer: bool | None = None,
) -> Directions:
    """Write another program's directions to a file of contrafact's, which says all about them; returns them.

    Args:
        source: what :func:`load_directions` takes, as the other arguments.
        target: ``*.safetensors``.
        generator: the one they are for.
        space: their edit space.
        per_layer: whether a plain array ``(K, L)`` is one direction with a vector for each layer.

    Raises:
        ValueError: what :func:`load_directions` refuses, or a target of another name or that is the source.
    """
    path = converted_path(source, target)
    return _written(load_directions(source, generator, space=space, per_layer=per_layer), path)


def write_own_directions(generator: Generator, target: str | Path) -> Directions:
    """Write the directions that a generator's architecture itself has (:meth:`Generator.own_directions`); returns them.

    Args:
        generator: such as a StyleGAN3, whose images can be moved and turned.
        target: ``*.safetensors``.

    Raises:
        ValueError: it has none, or a target of another name or that is the generator's file.
    """
    path = converted_path(generator.name, target)
    return _written(generator.own_directions(), path)


def _written(directions: Directions, path: Path) -> Directions:
    with claim_file(path):
        save_artefact(directions, path)
    return directions


def _fitted(
    found: Found, path: Path, generator: Generator | None, space: str | None, per_layer: bool | None
) -> tuple[Directions, list[str]]:
    """Directions of what was found, and remarks on what was assumed."""
    remarks = list(found.remarks)
    content = found.content
    if per_layer is not None and not found.is_bare:
        raise ValueError(f"{path} ({found.program}) says how its directions lie: leave out per_layer")
    if isinstance(content, Directions):
        directions = content
    else:
        names = [name.strip()[:80] for name in found.names]
        if found.is_bare and (looks_layered(content, generator) if per_layer is None else per_layer):
            if per_layer is None:
                remarks.append(
                    f"read as one direction with a vector for each of {len(content)} layers; to read it as "
                    f"{len(content)} directions, contrafact convert --rows directions (per_layer=False)"
                )
            content = content[None]
        elif found.is_bare:
            names = []
        directions = _of_vectors(content, _as_names(names, len(content)), found.layers, path, generator)
    belongs = settle_space(path, found.program, "w" if directions.per_layer else found.space, generator, space, remarks)
    directions.note = {"read_from": path.name, "program": found.program, "unit": found.unit}
    if belongs is not None:
        directions.note["space"] = belongs
    if generator is not None and directions.latent_dim != generator.latent_dim == directions.num_directions:
        raise ValueError(
            f"{path}: its {directions.num_directions} directions have {directions.latent_dim} dimensions, and the "
            f"generator's latents {generator.latent_dim}: they seem to lie in columns; save the array's transpose"
        )
    return directions.requires_grad_(False).eval(), remarks


def _as_names(names: list[str], count: int) -> list[str] | None:
    """Names that directions may have; none where one would not do."""
    good = all(name.isprintable() and name and not re.fullmatch(r"[+-]*\d+", name) for name in names)
    return names if good and len(names) == len(set(names)) == count else None


def _of_vectors(
    vectors: Tensor, names: list[str] | None, layers: tuple[int, ...] | None, path: Path, generator: Generator | None
) -> Directions:
    if layers is not None and generator is None:
        raise ValueError(
            f"{path} acts on the style layers {', '.join(map(str, layers))} of a generator: name it (--generator, or "
            "load_directions(path, generator))"
        )
    if layers is not None and generator is not None:
        if layers[-1] >= generator.num_layers:
            raise ValueError(
                f"{path} acts on layer {layers[-1]}, but the generator has {generator.num_layers} (from 0)"
            )
        if len(layers) == generator.num_layers:
            layers = None
    if vectors.ndim == 3:
        if layers is not None:
            raise ValueError(f"{path} has a vector for each layer and names layers besides; leave out its layers")
        return LayeredDirections.of(vectors, names=names)
    if layers is None:
        return GlobalDirections.of(vectors, names=names, constraint="free")
    assert generator is not None
    if layers[-1] - layers[0] + 1 == len(layers):
        acts, count = (layers[0], layers[-1] + 1), generator.num_layers
        return GlobalDirections.of(vectors, names=names, layers=acts, num_layers=count, constraint="free")
    spread = torch.zeros(len(vectors), generator.num_layers, vectors.shape[1])
    spread[:, list(layers)] = vectors[:, None]
    return LayeredDirections.of(spread, names=names)
