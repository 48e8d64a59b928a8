"""Damage to HDF5, MATLAB and PNG files that knows their parts."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any


def damage_h5(rng: random.Random, victim: Path) -> tuple[bytes, str, bool]:
    """The file written anew with one array another: outside the file, virtual, linked, of another kind or size.

    Returns:
        content, what was done, and whether it leads outside the file and must be refused: then the array is the good
        one, so that a reader who follows it is believed.
    """
    import h5py
    import numpy as np

    out = io.BytesIO()
    with h5py.File(victim, "r") as source, h5py.File(out, "w") as file:
        keys = sorted(source)
        key = rng.choice(keys)
        for other in keys:
            if other != key:
                source.copy(other, file)
        good = source[key]
        shape, dtype = good.shape, good.dtype
        how = rng.choice(
            (
                "external storage",
                "external link",
                "virtual",
                "soft link",
                "group",
                "huge",
                "type",
                "unallocated",
                "filtered",
            )
        )
        if how == "external storage":
            raw = victim if good.id.get_offset() is not None else Path("/etc/passwd")
            size = int(np.prod(shape)) * dtype.itemsize
            file.create_dataset(key, shape, dtype, external=[(str(raw), good.id.get_offset() or 0, size)])
        elif how == "external link":
            file[key] = h5py.ExternalLink(str(victim), key)
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(victim), key, shape, dtype)
            file.create_virtual_dataset(key, layout)
        elif how == "soft link":
            file[key] = h5py.SoftLink(rng.choice(("/" + key, "/nothing", "/" + keys[0], "/x/" + key)))
        elif how == "group":
            file.create_group(key).create_group(key)
        elif how == "huge":
            big = rng.choice(((2**40, *shape[1:]), (2**62,), (*shape[:1], 2**50), (0, *shape[1:]), ()))
            chunks = None if not big or 0 in big else tuple(min(side, 64) for side in big)
            file.create_dataset(key, big, dtype, chunks=chunks)
        elif how == "type":
            file.create_dataset(key, shape, _type(rng), chunks=(1, *shape[1:]))
        elif how == "unallocated":
            file.create_dataset(key, shape, dtype, chunks=(1, *shape[1:]), compression="gzip")
        else:
            file.create_dataset(key, data=good[...], chunks=True, compression="gzip", shuffle=True, fletcher32=True)
    content = out.getvalue()
    if how == "filtered" and rng.random() < 0.7:
        place = rng.randrange(len(content))
        content = content[:place] + rng.randbytes(16) + content[place + 16 :]
    return content, f"{key}: {how}", how in ("external storage", "external link", "virtual")


def _type(rng: random.Random) -> Any:
    import h5py
    import numpy as np

    return rng.choice(
        (
            *(h5py.string_dtype(), h5py.vlen_dtype(np.uint8), h5py.ref_dtype, np.dtype([("a", "u1"), ("b", "f8")])),
            *(np.dtype(">f8"), np.dtype("S4"), np.dtype("c16"), np.dtype("bool"), np.dtype(("u1", (3,)))),
        )
    )


def damage_mat(rng: random.Random, data: bytes) -> bytes:
    """Another tag, class, size or name inside a MATLAB 5 file, its compressed parts opened for that."""
    head, body = data[:128], data[128:]
    if len(body) > 8 and struct.unpack("<I", body[:4])[0] == 15:
        try:
            inner = bytearray(zlib.decompress(body[8 : 8 + struct.unpack("<I", body[4:8])[0]]))
            packed = True
        except zlib.error:
            return data[: len(data) // 2]
    else:
        inner, packed = bytearray(body), False
    place = 4 * rng.randrange(0, max(1, min(len(inner) // 4 - 1, 24)))
    number = rng.choice((0, 1, 3, 6, 14, 15, 16, 17, 18, 0xFF, 2**31 - 1, 2**31, 2**32 - 1, 100, rng.randrange(2**32)))
    inner[place : place + 4] = struct.pack("<I", number)
    body = bytes(inner)
    if packed:
        body = zlib.compress(body, 1)
        body = struct.pack("<II", 15, rng.choice((len(body), len(body), len(body), 2**32 - 1))) + body
    return head + body


def damage_png(rng: random.Random, data: bytes) -> bytes:
    """A PNG with another chunk, checksums right: sizes that are not there, texts that unpack without end."""
    chunks, place = [], 8
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return data[: len(data) // 2]
    how, at = rng.random(), rng.randrange(len(chunks))
    kind, body = chunks[at]
    if how < 0.4 and len(chunks[0][1]) >= 13:
        width, height, depth, colour = struct.unpack(">IIBB", chunks[0][1][:10])
        side = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 30_000, 13_000, 65_535))
        width, height = rng.choice(((side, height), (width, side), (side, side)))
        depth, colour = rng.choice(((depth, colour), (16, colour), (1, 3), (16, 0), (8, 6), (3, 9)))
        chunks[0] = (chunks[0][0], struct.pack(">IIBB", width, height, depth, colour) + chunks[0][1][10:])
    elif how < 0.6:
        bomb = zlib.compress(bytes(rng.choice((2**16, 2**26))), 9)
        chunks.insert(
            1, rng.choice(((b"zTXt", b"x\0\0" + bomb), (b"iCCP", b"x\0\0" + bomb), (b"iTXt", b"x\0\1\0\0\0" + bomb)))
        )
    elif how < 0.7:
        chunks[at] = (kind, zlib.compress(bytes(rng.choice((10, 2**26)))))
    elif how < 0.8:
        chunks[at:at] = [(kind, body)] * rng.choice((1, 500))
    elif how < 0.9:
        chunks[at] = (rng.choice((b"IEND", b"acTL", b"fcTL", b"eXIf", b"PLTE", b"tRNS", b"XXXX")), body)
    else:
        del chunks[at]
    out = data[:8]
    for kind, body in chunks:
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out
