"""What lies in other programs' files of directions and latents, as tensors and plain values; nothing of a file is run.

A file's kind is told by its first bytes, whatever it is called.
"""

from __future__ import annotations

import math
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.describe import is_numpy_archive, open_safetensors, what_is
from contrafact.core.foreign import reading
from contrafact.core.inert_files import is_legacy, read_inert
from contrafact.core.inert_records import InertError
from contrafact.core.npy import NpzFile, read_npy
from contrafact.core.rows import UTF_16, read_rows
from contrafact.core.table import cell_number

_NUMPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_OBJECTS = b"'|O'"
_MAPPER = re.compile(r"(mapper\.)?(course|coarse|medium|fine)_mapping\.mapping\.\d+\.|mapper\.mapping\.\d+\.")
"""Names in StyleCLIP's mappers, beside a generator and alone."""


def read_content(path: Path, expected: str) -> Any:
    """What a file holds: tensors, numpy arrays, plain values, and dicts and lists of them.

    Args:
        path: ``.npy`` (also of pickled objects), ``.npz``, a torch file, a pickle, ``.safetensors``, or a text file of
            numbers: a row for each line, between commas, semicolons, tabs or spaces; after a name where it begins with
            one. The name says nothing, the first bytes do.
        expected: what the file should be, for the message.

    Raises:
        ValueError: no such file, a damaged one, or another kind; the message says what it is.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected {expected}")
    with reading(path, "file"), path.open("rb") as stream:
        start = stream.read(512)
    if start.startswith(_NUMPY):
        return _read_objects(path, start) if _OBJECTS in start[:256] else read_npy(path)
    if start[8:9] == b"{":
        return _read_safetensors(path, expected)
    if start.startswith(_ZIP) and is_numpy_archive(path):
        archive = NpzFile(path)
        return {name: archive.read(name) for name in archive.members}
    if start.startswith((_ZIP, b"\x80")) or is_legacy(start[:24]):
        return _read_pickled(path, path)
    if start and (b"\0" not in start or start.startswith(UTF_16)):
        return _read_text(path, expected)
    raise ValueError(f"{path} is {what_is(path)}; expected {expected}")


def _read_objects(path: Path, start: bytes) -> Any:
    """What ``np.save`` made of a dict or a list: a pickle behind the header; the object itself of an array of one."""
    length = int.from_bytes(start[8:10] if start[6] == 1 else start[8:12], "little") + (10 if start[6] == 1 else 12)
    with reading(path, "array saved by numpy"):
        content = path.read_bytes()[length:]
    record = _read_pickled(path, content)
    # An array of objects is more than the inert reader makes: its record holds the list of them.
    state = getattr(record, "state", None)
    items = state[-1] if isinstance(state, tuple) and state else None
    if not isinstance(items, list):
        raise ValueError(f"{path} is an array of objects that cannot be told without running it; save plain numbers")
    return items[0] if len(items) == 1 else items


def _read_pickled(path: Path, source: Path | bytes) -> Any:
    try:
        with reading(path, "torch file or pickle"):
            return read_inert(source).content
    except InertError as error:
        raise ValueError(f"{path} is not a whole torch file or pickle: {error}") from error


def _read_safetensors(path: Path, expected: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    open_safetensors(path, expected)
    with reading(path, "safetensors file"):
        return load_file(path)


def _read_text(path: Path, expected: str) -> Any:
    """A table of numbers, or ``{name: row}``."""
    names: list[str] = []
    values, width = array("d"), 0
    for line, row in read_rows(path):
        between = next((mark for mark in ";\t," if mark in row[0]), None) if len(row) == 1 else ";"
        cells = row[0].split(between) if len(row) == 1 else row
        found = [cell.strip(" \t'\"") for cell in cells if cell.strip()]
        if not found or found[0].startswith("#"):
            continue
        first_is_name = cell_number(found[0], ";") is None
        read = [cell_number(cell, ";") for cell in found[first_is_name:]]
        if not width and (not read or None in read):
            continue  # what columns are called
        numbers = [value for value in read if value is not None]
        if len(numbers) < len(read) or (width and (len(read) != width or first_is_name != bool(names))):
            raise ValueError(
                f"{path}, line {line}: expected {f'{width} numbers' if width else 'numbers'}"
                f"{' after a name' if names else ''}, got {' '.join(found)[:60]!r}; expected {expected}"
            )
        width = len(numbers)
        values.extend(numbers)
        if first_is_name:
            names.append(found[0])
    if not width:
        raise ValueError(f"{path} is {what_is(path)}, and holds no row of numbers; expected {expected}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path} names two rows alike: {', '.join(names)[:80]}; give each its own name")
    rows = np.array(values, dtype=np.float64).reshape(-1, width)
    return dict(zip(names, rows, strict=True)) if names else rows


def refuse_styleclip(content: Any, path: Path) -> None:
    """Say of StyleCLIP's files what they are: none holds a way to move latents by itself (ValueError)."""
    what = _of_styleclip(content, path)
    if what is not None:
        raise ValueError(
            f"{path} is StyleCLIP's: {what}. Edit in its program and give the latents of W+ before and after, an array "
            "(N, layers, L); or let a method find directions on the generator, such as contrafact fit sefa"
        )


def _of_styleclip(content: Any, path: Path) -> str | None:
    if isinstance(content, dict):
        state = content.get("state_dict", content)
        names = [str(name) for name in state] if isinstance(state, dict) else []
        if any(_MAPPER.match(name) for name in names):
            return "a mapper, a network that makes a step for each picture's latent of W+"
    if isinstance(content, list | tuple) and len(content) == 2:
        texts_or_means, arrays = content
        if isinstance(arrays, list | tuple) and arrays and all(is_array(part) for part in arrays):
            widths = {part.shape[-1] for part in arrays if part.ndim}
            listed = isinstance(texts_or_means, list | tuple) and len(texts_or_means) == len(arrays) > 1
            if listed and len(widths) > 1:
                return "styles of the StyleSpace, a number for each channel of every layer, with their names or spread"
    if is_array(content) and content.ndim == 2 and path.stem.lower().startswith("fs3"):
        return (
            f"a table of what each of {len(content)} style channels does to CLIP's embedding, from which it makes "
            "directions of the StyleSpace for a text"
        )
    return None


def is_array(value: object) -> bool:
    """Whether a value is a tensor or a numpy array."""
    return isinstance(value, Tensor | np.ndarray)


def texts(value: Any, count: int) -> tuple[str, ...] | None:
    """``count`` texts of a list or an array of them; None where it is something else.

    >>> texts(np.array(["age", "smile"]), 2), texts(["age"], 2)
    (('age', 'smile'), None)
    """
    listed = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(listed, list | tuple) or len(listed) != count or not all(isinstance(t, str) for t in listed):
        return None
    return tuple(listed) if len(set(listed)) == count else None


def numbers(value: Any, what: object) -> Tensor:
    """A tensor, an array, a number, or equally long lists of them, as a float32 tensor on the CPU.

    Args:
        value: what a file holds.
        what: the file and the part of it, for the message.

    Raises:
        ValueError: no numbers, none at all, complex ones, or some that are NaN or infinite.

    >>> numbers([torch.ones(2), np.zeros(2)], "latents.pt")
    tensor([[1., 1.],
            [0., 0.]])
    """
    if isinstance(value, list | tuple):
        parts = [numbers(part, what) for part in value]
        if len({part.shape for part in parts}) != 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in parts[:6]) or "nothing"
            raise ValueError(f"{what}: expected a list of arrays of one shape, got {shapes}")
        return torch.stack(parts)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiubc":
            raise ValueError(f"{what}: expected numbers, got {value.dtype}")
        # Byte order and layout as torch wants them, in a type it has.
        value = torch.from_numpy(np.array(value, dtype=complex if value.dtype.kind == "c" else np.float64))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = torch.tensor(float(value), dtype=torch.float64)
    if not isinstance(value, Tensor):
        raise ValueError(f"{what}: expected numbers, got {type(value).__name__}")
    if value.is_complex():
        imaginary = float(value.imag.abs().max()) if value.numel() else 0.0
        raise ValueError(
            f"{what}: expected real numbers, got complex ones, imaginary parts up to {imaginary:.2g}"
            f"{'; save the real part (array.real)' if imaginary < 1e-6 else ''}"
        )
    if value.is_quantized or value.layout != torch.strided:
        raise ValueError(f"{what}: expected a plain tensor, got a quantised or sparse one")
    found = value.detach().to("cpu", torch.float32)
    if found.numel() == 0:
        raise ValueError(f"{what}: holds nothing, its shape is {tuple(found.shape)}")
    bad = ~torch.isfinite(found)
    if bad.any():
        raise ValueError(
            f"{what}: {int(bad.sum())} of {math.prod(found.shape)} numbers are NaN, infinite or beyond 3.4e38; get the "
            "file again, or make it anew"
        )
    return found
