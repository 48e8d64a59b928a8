"""What a file is that is not what was expected: a sentence for the error, from a bounded look at its header."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from contrafact.core.foreign import first_line, reading
from contrafact.core.inert_files import read_inert
from contrafact.core.npy import PACKINGS, read_npy_header
from contrafact.core.skeleton import Shapes, stored_shapes

_MOST_LISTED = 6
_MOST_READ = 2**28


def open_safetensors(path: Path, expected: str) -> tuple[dict[str, str], Shapes]:
    """Metadata of a safetensors file, and the shape of each tensor; no tensor is read.

    Args:
        path: the file.
        expected: what it should be, for the message: ``a .safetensors file of latents``.

    Raises:
        ValueError: a file cut short or damaged, or another kind of file; the message says what it is.
    """
    from safetensors import SafetensorError, safe_open

    with reading(path, "safetensors file"):
        try:
            with safe_open(path, framework="pt") as file:
                return dict(file.metadata() or {}), stored_shapes(file)
        except SafetensorError as error:
            with path.open("rb") as stream:
                is_ours = stream.read(9)[8:9] in (b"", b"{")
            if is_ours:
                raise ValueError(
                    f"{path} is not a whole safetensors file ({first_line(error)}); it may be cut short"
                ) from error
            raise ValueError(f"{path} is {what_is(path)}; expected {expected}") from error


def what_is(path: Path) -> str:
    """What a file seems to be, and what it holds as far as that can be told without loading it.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "components.npz"), lat_comp=np.zeros((6, 1, 24), np.float32))
    ...     what_is(Path(folder, "components.npz"))
    'a numpy archive of lat_comp float32 (6, 1, 24)'
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
            stream.seek(0)
            return _described(path, start, stream)
    except Exception as error:  # the documented border: it is unknown bytes that are looked at
        return f"unreadable ({first_line(error)})"


def is_numpy_archive(path: Path) -> bool:
    """Whether a file is a zip archive of ``.npy`` files alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def _described(path: Path, start: bytes, stream: IO[bytes]) -> str:
    if not start:
        return "empty"
    if start.startswith(b"\x93NUMPY"):
        shape, dtype, _ = read_npy_header(stream, "it")
        return f"a numpy array, {dtype} {shape}"
    if start.startswith(b"PK"):
        return _zip(path)
    if start[8:9] == b"{":
        _, shapes = open_safetensors(path, "a safetensors file")
        return f"a safetensors file of {listed(shapes)}"
    if start.startswith(b"\x80"):
        return _torch(path, "pickle")
    known = {
        b"\x89HDF": "an HDF5 file",
        b"\x89PNG": "a PNG picture",
        b"\xff\xd8\xff": "a JPEG picture",
        b"\x1f\x8b": "a gzip file",
    }
    for magic, name in known.items():
        if start.startswith(magic):
            return name
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, which stands for the file and is not it (git lfs pull fetches that)"
    if start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, such as a server sends instead of a file"
    return "a text file" if b"\0" not in start and start.isascii() else f"no file known here ({start[:8].hex(' ')} …)"


def _zip(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()[: _MOST_LISTED + 1]
        if any(info.filename.endswith("/data.pkl") for info in members):
            return _torch(path, "torch file")
        if not members or not all(
            info.filename.endswith(".npy") and info.compress_type in PACKINGS for info in members
        ):
            return f"a zip file of {_some([info.filename for info in members], len(archive.infolist()))}"
        parts = []
        for info in members:
            with archive.open(info) as stream:
                shape, dtype, _ = read_npy_header(stream, "it")
            parts.append(f"{info.filename.removesuffix('.npy')} {dtype} {shape}")
        return f"a numpy archive of {_some(parts, len(archive.infolist()))}"


def _torch(path: Path, kind: str) -> str:
    """The parts of a torch file or a pickle, read as inert records."""
    if path.stat().st_size > _MOST_READ:
        return f"a {kind}"
    content = read_inert(path).content
    if isinstance(content, Tensor):
        return f"a {kind} of a tensor {tuple(content.shape)}"
    if not isinstance(content, dict):
        return f"a {kind} of a {type(content).__name__}"
    parts = [
        f"{str(key)[:60]} {tuple(value.shape)}" if isinstance(value, Tensor) else str(key)[:60]
        for key, value in list(content.items())[:_MOST_LISTED]
    ]
    return f"a {kind} of {_some(parts, len(content))}"


def listed(shapes: Shapes | Mapping[str, Any]) -> str:
    """Tensors by name and shape, the first few."""
    return _some([f"{name} {shape}" for name, (shape, _) in list(shapes.items())[:_MOST_LISTED]], len(shapes))


def _some(parts: list[str], total: int) -> str:
    shown = ", ".join(parts[:_MOST_LISTED]) or "nothing"
    return f"{shown} and {total - _MOST_LISTED} more" if total > _MOST_LISTED else shown
