"""Files that know their own SHA-256: a byte that flips on a disk or on the way is noticed when they are read.

Tensor files (safetensors) carry it in their header; checkpoints, which are zip archives, in the archive's comment.
Other programs read both as before. A checksum tells damage, not forgery: who can change a file can change its checksum.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from torch import Tensor

from contrafact.core.files import write_bytes
from contrafact.core.foreign import reading

_BLOCK_BYTES = 1 << 22
_HEX_DIGITS = 64
_KEY = "contrafact_sha256"
_FIELD = re.compile(rb'"%s":"([^"]*)"' % _KEY.encode())
_MOST_HEADER_BYTES = 100 * 2**20  # as safetensors itself allows
_MARK = b"contrafact-sha256:"
_DAMAGED = "its checksum does not fit: some bytes are not those that were written"


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with a checksum, atomically; equal content gives equal bytes.

    Args:
        path: file to write.
        tensors: contiguous, on the CPU, without shared memory.
        metadata: texts for the header.
    """
    from safetensors.torch import save

    whole = memoryview(save(dict(tensors)))
    size = int.from_bytes(whole[:8], "little")
    # safetensors writes metadata in another order each time; ours is sorted.
    entries = {key: value for key, value in json.loads(bytes(whole[8 : 8 + size])).items() if key != "__metadata__"}
    described = dict(sorted({**metadata, _KEY: "0" * _HEX_DIGITS}.items()))
    text = json.dumps({"__metadata__": described, **entries}, separators=(",", ":")).encode()
    header = text + b" " * (-len(text) % 8)
    digest = hashlib.sha256(len(header).to_bytes(8, "little") + header)
    digest.update(whole[8 + size :])
    signed = _FIELD.sub(rb'"%s":"%s"' % (_KEY.encode(), digest.hexdigest().encode()), header, count=1)
    write_bytes(path, len(header).to_bytes(8, "little") + signed, whole[8 + size :])


def check_tensors(path: str | Path) -> None:
    """Refuse a safetensors file whose bytes are not those that were written; one without a checksum passes.

    Raises:
        ValueError: the checksum does not fit.
    """
    with open(path, "rb") as file:
        start = file.read(8)
        size = int.from_bytes(start, "little")
        if size > _MOST_HEADER_BYTES:
            return  # no safetensors file: its reader says so
        header = file.read(size)
        found = _FIELD.search(header)
        if found is None:
            return
        blank = header[: found.start(1)] + b"0" * _HEX_DIGITS + header[found.end(1) :]
        if _digest(file, start + blank) != found[1].decode("ascii", "replace"):
            raise ValueError(f"{path} is damaged: {_DAMAGED}; get it again")


def write_archive(path: str | Path, archive: memoryview) -> None:
    """Write a zip archive (without a comment so far) with a checksum for its comment, atomically."""
    tail = (len(_MARK) + _HEX_DIGITS).to_bytes(2, "little") + _MARK
    digest = hashlib.sha256(archive[:-2])
    digest.update(tail)
    write_bytes(path, archive[:-2], tail, digest.hexdigest().encode())


def check_archive(path: str | Path, what: str, remedy: str, required: bool = True) -> None:
    """Refuse an archive that :func:`write_archive` did not write just so.

    Args:
        path: the archive.
        what: what it should be, for the messages.
        remedy: what to do.
        required: refuse one without a checksum too, as versions before checksums wrote them.

    Raises:
        ValueError: no checksum though one is required, or it does not fit.
    """
    with reading(path, what, remedy), open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _HEX_DIGITS - len(_MARK)))
        end = file.read()
        if not end.startswith(_MARK):
            if not required:
                return
            raise ValueError(
                f"{path} is no whole {what} (it has no checksum: cut short, or written by an older version or another "
                f"program); {remedy}"
            )
        file.seek(0)
        if _digest(file, b"", size - _HEX_DIGITS) != end[len(_MARK) :].decode("ascii", "replace"):
            raise ValueError(f"{path} is no whole {what} ({_DAMAGED}); {remedy}")


def _digest(file: IO[bytes], before: bytes, size: int | None = None) -> str:
    """SHA-256 of ``before`` and the next ``size`` bytes of ``file`` (None: all)."""
    digest = hashlib.sha256(before)
    left = size
    while block := file.read(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES)):
        digest.update(block)
        left = None if left is None else left - len(block)
    return digest.hexdigest()
