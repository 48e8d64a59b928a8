"""What another program's file holds, for who converts it: a generator, directions or latents."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from contrafact.core.describe import is_numpy_archive, open_safetensors
from contrafact.core.direction_files import load_directions as load_own
from contrafact.core.foreign import reading
from contrafact.editing.directions import is_own
from contrafact.editing.foreign_directions import find_directions
from contrafact.editing.foreign_latents import find_latents
from contrafact.editing.latents import FORMAT

Kind = Literal["generator", "directions", "latents"]


def kinds_of(source: str | Path) -> tuple[Kind, ...]:
    """What a source may hold, to be tried in this order.

    A name and a folder are a generator's, arrays and texts are directions or else latents; a torch file may be any.
    """
    path = Path(source)
    if not path.is_file() or path.suffix == ".py":
        return ("generator",)
    with reading(path, "file"), path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"\x93NUMPY") or is_numpy_archive(path) or (start and start.isascii() and b"\0" not in start):
        return ("directions", "latents")
    return ("generator", "directions", "latents")


def holds(source: str | Path, kind: Kind) -> bool:
    """Whether a file (of directions, a run folder, too) holds directions, or latents, that can be read."""
    path = Path(source)
    try:
        if kind == "latents":
            find_latents(path)
        else:
            load_own(path) if is_own(path) else find_directions(path)
    except ValueError:
        return False
    return True


def is_latents(path: Path) -> bool:
    """Whether a file is one of latents, as far as it says: contrafact's own, or no directions but latents.

    Raises:
        ValueError: a damaged file.
    """
    with reading(path, "file"), path.open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    if is_safetensors:
        said = open_safetensors(path, "directions or latents")[0].get("format", "")
        if said.startswith("contrafact"):
            return said == FORMAT
    return not holds(path, "directions") and holds(path, "latents")
