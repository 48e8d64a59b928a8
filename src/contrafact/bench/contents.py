"""What a file or a folder that a recipe names holds, so that a cell made from other contents is another cell."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from contrafact.core.plugins import is_spelled_out

_BLOCK = 2**20
GENERATOR = "generator.safetensors"


def contents_of(name: str | None) -> str | None:
    """A digest of what ``name`` stands for, where it is a path; None for the name of something catalogued.

    A file counts by its bytes, and the file of ``FILE.py:NAME`` too; a run folder by its generator's weights, another
    folder by its weights, or by the names and sizes of what is in it, pictures for example.

    Args:
        name: a source, a method, a judge, as a recipe or a command names it.
    """
    if name is None:
        return None
    path = Path(name.rpartition(":")[0] if is_spelled_out(name) else name)
    if not path.exists():
        return None
    weights = path / GENERATOR
    files = [path] if path.is_file() else [weights] if weights.is_file() else sorted(path.glob("*.safetensors"))
    if files:
        return _digest(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))
    found = sorted(
        (file.relative_to(path).as_posix(), file.stat().st_size) for file in path.rglob("*") if file.is_file()
    )
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=256)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of the files' bytes; times and sizes are there to read each version once."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]
