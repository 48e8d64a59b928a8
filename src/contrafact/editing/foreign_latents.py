"""Latents as other programs' projectors and encoders leave them.

Read are plain arrays ``(L,)``, ``(N, L)``, ``(K, L)``, ``(N, K, L)`` (pSp, e4e's ``latents.pt``, PTI's pivots,
genforce's ``wp.npy``), alone, in lists, or by picture; NVIDIA's ``projected_w.npz`` (``w``); and rosinality's
projections (``{picture: {"latent", "img", "noise"}}``), whose noise inputs are left out: they are the
generator's own here.

Shape suffixes: N images, K layers, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.core.decoding import PICTURES
from contrafact.core.describe import what_is
from contrafact.editing.foreign_content import is_array, numbers, read_content, refuse_styleclip, texts

EXPECTED = (
    "a file of latents written by `contrafact invert`, or another program's: an array (N, L) or (N, layers, L), alone, "
    "by picture or in a list, as .npy, .npz (NVIDIA's projected_w.npz), .pt (e4e, rosinality), .safetensors or text"
)

_OF_W = ("w", "wp", "ws", "projected_w", "w_plus", "wplus")
_KNOWN = (*_OF_W, "latents", "latent", "latent_codes", "codes", "z")


@dataclass(frozen=True)
class FoundLatents:
    """Latents of a file.

    Attributes:
        latents: ``(N, L)`` or ``(N, K, L)``.
        names: N names.
        space: edit space that the file names; None where it does not.
        is_bare: whether rows ``(N, L)`` may as well be the layers of one image.
        remarks: what a reader should know.
    """

    latents: Tensor = field(repr=False)
    names: tuple[str, ...]
    space: str | None = None
    is_bare: bool = False
    remarks: tuple[str, ...] = ()


def find_latents(path: Path) -> FoundLatents:
    """The latents in another program's file.

    Raises:
        ValueError: no such file, damaged, of no kind known here (the message says what it holds), or of numbers that
            cannot be latents.
    """
    content = read_content(path, EXPECTED)
    refuse_styleclip(content, path)
    found = _of_mapping(content, path) if isinstance(content, Mapping) else _plain(content, path, str(path))
    if found is None:
        raise ValueError(f"{path} holds no latents known here: it is {what_is(path)}; expected {EXPECTED}")
    return found


def _of_mapping(content: Mapping[Any, Any], path: Path) -> FoundLatents | None:
    known = [name for name in _KNOWN if name in content and _is_latent(content[name])]
    if known:
        found = _plain(content[known[0]], path, f"{path}, {known[0]}")
        if found is None:
            return None
        space = "w" if known[0] in _OF_W else "z" if known[0] == "z" else None
        noise = ("its noise inputs are left out: the generator's own are used",) if "noise" in content else ()
        names = texts(content.get("names"), len(found.latents))
        space = space or ("w" if noise else None)
        return FoundLatents(found.latents, names or found.names, space, found.is_bare and names is None, noise)
    pictures = {str(name): value for name, value in content.items()}
    if pictures and all(isinstance(value, Mapping) and "latent" in value for value in pictures.values()):
        has_noise = any("noise" in value for value in pictures.values())
        remarks = ("its noise inputs are left out: the generator's own are used",) if has_noise else ()
        each = {name: numbers(value["latent"], f"{path}, {name}") for name, value in pictures.items()}
        return FoundLatents(_together(each, path), _stems(each), "w", remarks=remarks)
    if pictures and all(_is_latent(value) and _may_be_picture(name) for name, value in pictures.items()):
        # ReStyle keeps a list for each picture, from its first step to its last.
        lasts = {n: value[-1] if isinstance(value, list | tuple) else value for n, value in pictures.items()}
        each = {name: numbers(value, f"{path}, {name}") for name, value in lasts.items()}
        if len(each) == 1 and (only := next(iter(each))).startswith("arr_"):
            return _plain(each[only], path, f"{path}, {only}")
        return FoundLatents(_together(each, path), _stems(each))
    return None


def _may_be_picture(name: str) -> bool:
    """Not a network's weight, ``mlp.0.weight``."""
    return "." not in Path(name).name or Path(name).suffix.lower() in PICTURES


def _is_latent(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_latent, value))
    return is_array(value) and 1 <= value.ndim <= 4


def _plain(value: Any, path: Path, what: str) -> FoundLatents | None:
    if not _is_latent(value):
        return None
    if isinstance(value, list | tuple):
        each = {f"{path.stem} {number}": numbers(part, f"{what}, {number}") for number, part in enumerate(value)}
        return FoundLatents(_together(each, path), tuple(each))
    found = numbers(value, what)
    is_bare = found.ndim == 2 and len(found) > 1
    found = _batched(found, what)
    names = (path.stem,) if len(found) == 1 else tuple(f"{path.stem} {number}" for number in range(len(found)))
    return FoundLatents(found, names, is_bare=is_bare)


def _batched(found: Tensor, what: str) -> Tensor:
    """``(N, L)`` or ``(N, K, L)`` of an array with or without an axis of images, or with axes of height and width 1."""
    shape = tuple(found.shape)
    if found.ndim == 4 and shape[2:] == (1, 1):  # a DCGAN's noise
        found = found[:, :, 0, 0]
    if found.ndim == 4 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 3 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 1:
        found = found[None]
    if found.ndim not in (2, 3) or found.shape[-1] < 2:
        raise ValueError(f"{what}: expected latents (L,), (N, L) or (N, layers, L), got {shape}")
    return found.contiguous()


def _together(each: Mapping[str, Tensor], path: Path) -> Tensor:
    """Latents of one image each, with or without an axis of one, as one batch."""
    flat = {}
    for name, latent in each.items():
        latent = latent[0] if latent.ndim == 3 and len(latent) == 1 else latent
        if latent.ndim == 2 and len(latent) == 1:
            latent = latent[0]
        if latent.ndim not in (1, 2) or latent.shape[-1] < 2:
            raise ValueError(
                f"{path}, {name}: expected one image's latent (L,) or (layers, L), got {tuple(latent.shape)}"
            )
        flat[name] = latent
    shapes = {tuple(latent.shape) for latent in flat.values()}
    if len(shapes) > 1:
        listed = ", ".join(f"{name} {tuple(latent.shape)}" for name, latent in list(flat.items())[:6])
        raise ValueError(f"{path}: expected latents of one shape, got {listed}")
    return torch.stack(list(flat.values()))


def _stems(each: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of pictures without their folders, where they still differ."""
    short = [Path(name).name for name in each]
    return tuple(short if len(set(short)) == len(short) and all(short) else each)
