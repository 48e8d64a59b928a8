"""Directions and latents in files: contrafact's own, plain arrays, and as other programs read them.

A step of 1 in the file is a magnitude of 1 here: vectors keep their lengths, in the latent's own units. No file needs
anything of contrafact's to be read, nor a pickle to be trusted: ``torch.load(path, weights_only=True)`` reads the torch
files, ``numpy.load`` the others.

Shape suffixes: N images, D directions, K layers, L latent dimensions.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.artefact import save_artefact
from contrafact.core.catalog import unknown_name_message
from contrafact.core.direction_files import claim_file
from contrafact.core.directions import Directions, GlobalDirections, LayeredDirections
from contrafact.core.files import write_bytes
from contrafact.core.generator import Generator, sample_latents
from contrafact.editing.latents import StoredLatents

OWN = ".safetensors"
_SUFFIXES = (OWN, ".npy", ".npz", ".pt")
_DIRECTION_SUFFIXES = {
    "ganspace": (".npz",),
    "interfacegan": (".npy", ".pt"),
    "sefa": (".npy", ".npz"),
    "rosinality": (".pt",),
}
_LATENT_SUFFIXES = {"nvidia": (".npz",), "e4e": (".pt",), "rosinality": (".pt",)}
_MEAN_SAMPLES = 4096


def write_directions(
    directions: Directions, path: str | Path, form: str | None = None, generator: Generator | None = None
) -> list[str]:
    """Write directions to ``.safetensors``; those that are vectors to ``.npy``, ``.npz`` or ``.pt`` too.

    Arrays without a form: ``(D, L)``, or ``(D, K, L)`` where layers are moved differently; in ``.npz`` and ``.pt`` as
    ``directions``, beside ``names``. Forms: ``ganspace`` (``.npz``: ``lat_comp``, ``lat_stdev``, ``lat_mean``, and
    ``act_…`` the same, as where it analyses W), ``interfacegan`` (one boundary ``(1, L)`` of length 1, ``.npy`` or
    ``.pt``), ``sefa`` (rows, ``.npy``; ``.npz`` with ``boundaries`` and ``layers``), ``rosinality`` (``.pt``:
    ``eigvec``, a direction in each column).

    Args:
        directions: what to write.
        path: file to write.
        form: the program that shall read it.
        generator: the one they are of; ``ganspace`` needs the mean of its latents.

    Returns:
        Remarks: what the form cannot hold.

    Raises:
        ValueError: directions that are more than vectors, another kind of file name, no such form, or directions that
            the form cannot hold.

    >>> axes = GlobalDirections.of(torch.eye(2), scale=0.5, names=["left", "up"])
    >>> write_directions(axes, "axes.npz"), np.load("axes.npz")["directions"].tolist()
    ([], [[0.5, 0.0], [0.0, 0.5]])
    >>> write_directions(axes, "factor.pt", "rosinality")
    ['the names are left out: left, up']
    """
    target = _checked(path, form, _DIRECTION_SUFFIXES)
    if target.suffix == OWN:
        with claim_file(target):
            save_artefact(directions, target)
        return []
    vectors, remarks = _vectors(directions, form), []
    content: Any
    if form is None:
        content = {"directions": vectors, "names": directions.names} if target.suffix != ".npy" else vectors
    elif form == "ganspace":
        content = _ganspace(vectors, _mean(directions, generator))
    elif form == "interfacegan":
        if len(vectors) != 1:
            raise ValueError(
                f"InterFaceGAN reads one boundary from a file, got {len(vectors)} directions; choose one (--directions)"
            )
        length = float(vectors.double().norm())
        if abs(length - 1) > 1e-6:
            vectors = (vectors.double() / length).float()
            remarks.append(f"a boundary has length 1: distance {length:.4g} there is magnitude 1 here")
        content = vectors
    elif form == "sefa":
        layers = list(range(*(directions.layers or (0, directions.num_layers))))
        content = vectors if target.suffix == ".npy" else {"boundaries": vectors, "layers": torch.tensor(layers)}
    else:
        content = {"ckpt": "", "eigvec": vectors.T.contiguous()}
    if form is not None and directions.layers is not None and target.suffix != ".npz":
        first, last = directions.layers
        remarks.append(f"they act on style layers {first} to {last - 1} (of {directions.num_layers}): say so there")
    if (form is not None or target.suffix == ".npy") and any(not n.startswith("direction ") for n in directions.names):
        remarks.append(f"the names are left out: {', '.join(directions.names)[:200]}")
    _write(content, target)
    return remarks


def write_latents(
    stored: StoredLatents, path: str | Path, form: str | None = None, num_layers: int | None = None
) -> list[str]:
    """Write latents to ``.safetensors``, ``.npy``, ``.npz`` or ``.pt``.

    Arrays without a form: ``(N, L)`` or ``(N, K, L)``; in ``.npz`` and ``.pt`` as ``latents``, beside ``names``.
    Forms: ``nvidia`` (``.npz``: ``w (N, K, L)``, for ``generate.py --projected-w``), ``e4e`` (``.pt``: a tensor
    ``(N, K, L)``), ``rosinality`` (``.pt``: a dict by picture of ``{"latent"}``).

    Args:
        stored: what to write.
        path: file to write.
        form: the program that shall read it.
        num_layers: K, for forms with a latent per layer where all layers have the same.

    Returns:
        Remarks: what the form cannot hold.

    Raises:
        ValueError: another kind of file name, no such form, or a form that needs the number of layers.
    """
    target = _checked(path, form, _LATENT_SUFFIXES)
    if target.suffix == OWN:
        with claim_file(target):
            stored.save(target)
        return []
    latents = stored.latents
    if form in ("nvidia", "e4e") and latents.ndim == 2:
        if num_layers is None or num_layers < 2:
            raise ValueError(
                f"{form} reads a latent for every style layer: name the generator that says how many (--generator)"
            )
        latents = latents[:, None].repeat(1, num_layers, 1)
    remarks = []
    if form in ("nvidia", "e4e") or (form is None and target.suffix == ".npy"):
        remarks.append(f"the names are left out: {', '.join(stored.names)[:200]}")
    content: Any = latents
    if form == "nvidia":
        content = {"w": latents}
    elif form == "rosinality":
        content = {name: {"latent": latent.clone()} for name, latent in zip(stored.names, latents, strict=True)}
    elif form is None and target.suffix != ".npy":
        content = {"latents": latents, "names": stored.names}
    _write(content, target)
    return remarks


def _checked(path: str | Path, form: str | None, suffixes: Mapping[str, tuple[str, ...]]) -> Path:
    target = Path(path)
    if form is not None and form not in suffixes:
        raise ValueError(unknown_name_message("form", form, suffixes))
    fitting = _SUFFIXES if form is None else suffixes[form]
    if target.suffix not in fitting:
        what = "a file" if form is None else f"a file in {form}'s form"
        raise ValueError(f"{what} must be called {' or '.join(f'*{s}' for s in fitting)}, got {target.name!r}")
    return target


def _vectors(directions: Directions, form: str | None) -> Tensor:
    """``(D, L)``, or ``(D, K, L)`` where no form is asked for and layers are moved differently."""
    if type(directions) is LayeredDirections:
        if form is not None:
            raise ValueError(
                f"these directions have a vector for each of {directions.num_layers} layers, which {form}'s form "
                "cannot hold; leave the form out and write .npy, .npz or .pt"
            )
        first, last = directions.layers or (0, directions.num_layers)
        layered = torch.zeros_like(directions.vectors())
        layered[:, first:last] = directions.vectors().detach()[:, first:last]
        return (directions.scale * layered).detach().cpu()
    if type(directions) is not GlobalDirections:
        raise ValueError(
            f"directions of the kind {type(directions).__name__} are no vectors: where they lead depends on the latent "
            "or the magnitude, which no array can hold; export them to *.safetensors"
        )
    vectors = (directions.scale * directions.vectors()).detach().cpu()
    if form is not None or directions.layers is None:
        return vectors
    spread = torch.zeros(len(vectors), directions.num_layers, directions.latent_dim)
    spread[:, slice(*directions.layers)] = vectors[:, None]
    return spread


def _mean(directions: Directions, generator: Generator | None) -> Tensor:
    """Mean latent ``(L,)``, which GANSpace takes off before it steps."""
    if generator is None:
        raise ValueError("ganspace's form needs the mean of the generator's latents: name it (--generator)")
    if generator.latent_dim != directions.latent_dim:
        raise ValueError(
            f"the directions live in {directions.latent_dim} latent dimensions, the generator in {generator.latent_dim}"
        )
    with torch.no_grad():
        latents = sample_latents(generator.truncated(1.0), _MEAN_SAMPLES, torch.Generator().manual_seed(0))
    return latents.double().mean(dim=0).float().cpu()


def _ganspace(vectors: Tensor, mean: Tensor) -> dict[str, Any]:
    deviations = vectors.double().norm(dim=1)
    components = (vectors.double() / deviations[:, None]).float()[:, None]
    unknown = torch.full((len(vectors),), torch.nan)  # shares of variance, its own and random ones', are not measured
    stdev = deviations.float()
    return {
        "act_comp": components,
        "act_mean": mean[None],
        "act_stdev": stdev,
        "lat_comp": components,
        "lat_mean": mean[None],
        "lat_stdev": stdev,
        "var_ratio": unknown,
        "random_stdevs": unknown,
    }


def _write(content: Any, target: Path) -> None:
    buffer = io.BytesIO()
    if target.suffix == ".pt":
        torch.save(content, buffer)
    elif target.suffix == ".npz":
        arrays = {name: np.asarray(value) for name, value in content.items()}
        np.savez(buffer, **arrays)  # type: ignore[arg-type] # its stubs take every array for the switch they name
    else:
        np.save(buffer, np.asarray(content), allow_pickle=False)
    with claim_file(target):
        write_bytes(target, buffer.getbuffer())
