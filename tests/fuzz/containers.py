"""Damage to archives and array files that knows where they keep their sizes, names and headers."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import json
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from contrafact.core.artefact import Artefact
from tests.fuzz.texts import bomb_text, change_value, strange_value

Inside = Callable[[random.Random, str, bytes], bytes]

_SHAPES = (
    *(
        (),
        (0,),
        (-1,),
        (2**40,),
        (2**62, 2**62),
        (2**31, 2**31, 2**31),
        (True,),
        (1.5,),
        (None,),
        (2**63,),
        (-(2**63), 2),
    ),
    *((0, 2**62), (2**62, 0), (1,) * 32, (1,) * 64, (1,) * 100, ("x",), ((1, 2),), (10**30,)),
)
_TYPES = (
    *(
        "|O",
        "O",
        "<U4",
        "|V8",
        "<f2",
        "<f16",
        "<c16",
        ">i8",
        "|b1",
        "<M8[s]",
        "|S0",
        "<x9",
        "",
        "|V0",
        "<U99999999",
        "f8,i4",
    ),
    *(
        ("a", "<f4"),
        [("a", "|O")],
        [("a", "<f4", (2**40,))],
        None,
        3,
        {"names": ["a"], "formats": ["O"]},
        [("a", "<i4")] * 2,
    ),
)


def damage_npy(rng: random.Random, data: bytes) -> bytes:
    """Another header before the same values."""
    try:
        length = struct.unpack("<H", data[8:10])[0]
        header = ast.literal_eval(data[10 : 10 + length].decode("latin-1"))
    except (struct.error, ValueError, SyntaxError, MemoryError, RecursionError):
        return data[: len(data) // 2]
    if not isinstance(header, dict):
        return data[: len(data) // 2]
    shape, what = header.get("shape", ()), rng.randrange(8)
    if what <= 1:
        header["shape"] = rng.choice(_SHAPES)
    elif what == 2 and isinstance(shape, tuple) and shape:
        place = rng.randrange(len(shape))
        number = shape[place] if isinstance(shape[place], int) else 1
        other = rng.choice((-number, number + 1, number * 2**32, 0, number * 2**40))
        header["shape"] = (*shape[:place], other, *shape[place + 1 :])
    elif what == 3:
        header["descr"] = rng.choice(_TYPES)
    elif what == 4:
        header["fortran_order"] = rng.choice((True, 1, None, "no"))
    elif what == 5:
        header.pop(rng.choice(sorted(header)), None)
    elif what == 6:
        header[rng.choice(("x", 3, "shape "))] = 1
    text = repr(header)
    if what == 7:
        text = rng.choice(
            (
                "(" * 5000,
                "-" * 9000 + "1",
                "[" * 200 + "]" * 200,
                "__import__('os').system('touch PWNED')",
                text * 2,
                "9" * 9000,
            )
        )
    encoded = text.encode("latin-1", "replace") + b"\n"
    version = rng.choice((1, 1, 1, 1, 2, 3, 9))
    size = struct.pack("<H", len(encoded) % 2**16) if version == 1 else struct.pack("<I", len(encoded))
    return b"\x93NUMPY" + bytes([version, 0]) + size + encoded + data[10 + length :]


def _classes() -> list[type[Any]]:
    """Every artefact class there is: a header may name each."""
    found, rest = [], [Artefact]
    while rest:
        cls = rest.pop()
        found.append(cls)
        rest += cls.__subclasses__()
    unique = {f"{cls.__module__}:{cls.__qualname__}": cls for cls in found if cls.__module__.startswith("contrafact.")}
    return [unique[name] for name in sorted(unique)]


def damage_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Another header before the same tensors: the format's own, or what contrafact keeps in it."""
    try:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        metadata = dict(header.get("__metadata__", {}))
        names = sorted(name for name in header if name != "__metadata__")
    except (struct.error, ValueError, RecursionError, AttributeError, OverflowError):
        return data[: len(data) // 2]
    body, how = data[8 + length :], rng.random()
    if how < 0.6 and metadata:
        header["__metadata__"] = _other_metadata(rng, metadata)
    elif names and how < 0.9:
        name = rng.choice(names)
        entry = dict(header[name]) if isinstance(header[name], dict) else {}
        what = rng.randrange(7)
        if what == 0:
            entry["data_offsets"] = rng.choice(
                ([0, len(body)], [0, 2**63], [-1, 4], [8, 0], [0], "x", [0, 0], [0, 2**64])
            )
        elif what == 1:
            entry["shape"] = rng.choice(([2**40], [2**32, 2**32], [-1], [], [0], "x", [1.5], [2**63, 2], [1] * 100))
        elif what == 2:
            entry["dtype"] = rng.choice(("F64", "F16", "BF16", "I8", "U64", "BOOL", "F8_E4M3", "C64", "X", "", 3))
        elif what == 3:
            del header[name]
        elif what == 4:
            header[rng.choice(("", "x", name + ".x", name.upper(), "a.b.c"))] = header.pop(name)
        elif what == 5 and len(names) > 1:
            entry = header[rng.choice(names)]  # two tensors in one place
        else:
            header = change_value(rng, header)
        if isinstance(header, dict) and name in header:
            header[name] = entry
    elif how < 0.95:
        text = bomb_text(rng).encode("utf-8", "surrogatepass")
        return struct.pack("<Q", len(text)) + text + body
    else:
        length = rng.choice((0, 1, 2**63, 2**64 - 1, len(data), len(data) - 8, 100_000_001, length + 1, length - 1))
        return struct.pack("<Q", length) + data[8:]
    text = json.dumps(header, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return _signed_tensors(struct.pack("<Q", len(text)) + text, body)


_SIGNATURE = re.compile(rb'"contrafact_sha256":"([0-9a-f]{64})"')
_COMMENT = b"contrafact-sha256:"


def _signed_tensors(header: bytes, body: bytes) -> bytes:
    """A checksum tells damage, not forgery: who writes a hostile file writes the right one."""
    if found := _SIGNATURE.search(header):
        before, after = header[: found.start(1)], header[found.end(1) :]
        digest = hashlib.sha256(before + b"0" * 64 + after + body).hexdigest()
        header = before + digest.encode() + after
    return header + body


def _signed_archive(before: bytes, data: bytes) -> bytes:
    """``data`` with the checksum ``before`` had in its comment, made right again."""
    if before[-64 - len(_COMMENT) : -64] != _COMMENT or data[-2:] != b"\0\0":
        return data
    signed = data[:-2] + struct.pack("<H", len(_COMMENT) + 64) + _COMMENT
    return signed + hashlib.sha256(signed).hexdigest().encode()


def _other_metadata(rng: random.Random, metadata: dict[str, Any]) -> dict[str, Any]:
    how, key = rng.random(), rng.choice(sorted(metadata))
    if how < 0.1:
        metadata.pop(key)
    elif how < 0.2:
        metadata[key] = rng.choice(
            ("", "x", "null", "[]", "3", bomb_text(rng), 3, None, {}, "{}", '{"a": 1}', "x" * 100_000)
        )
    elif how < 0.35 and "class" in metadata:
        cls = rng.choice(_classes())
        dotted = f"{cls.__module__}:{cls.__qualname__}"
        metadata["class"] = rng.choice(
            (
                dotted,
                dotted,
                dotted,
                "os:system",
                "contrafact.cli:main",
                "contrafact.core.artefact:Artefact",
                "contrafact..:x",
                "contrafact.core.files:os",
                "contrafact.nothing:Here",
                "contrafact.__main__:main",
                ":",
                "contrafact.:x",
                dotted + ".x",
            )
        )
        if rng.random() < 0.5:
            names = cls.__init__.__code__.co_varnames[1 : cls.__init__.__code__.co_argcount]
            metadata["arguments"] = json.dumps({name: strange_value(rng) for name in names})
    else:
        inside = [name for name in sorted(metadata) if metadata[name][:1] in "{["] or [key]
        key = "arguments" if "arguments" in metadata and rng.random() < 0.7 else rng.choice(inside)
        try:
            value = json.loads(metadata[key])
        except ValueError:
            value = metadata[key]
        for _ in range(rng.choice((1, 1, 2))):
            value = change_value(rng, value)
        metadata[key] = json.dumps(value)
    return metadata


def damage_zip(rng: random.Random, data: bytes, inside: Inside) -> bytes:
    """The archive packed anew with one member changed, gone, doubled, renamed or a bomb; or with wrong sizes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError, zlib.error, NotImplementedError, ValueError, EOFError, RuntimeError):
        return data[: len(data) // 2]
    if not members:
        return data[:-1]
    how, place = rng.random(), rng.randrange(len(members))
    if rng.random() < 0.5:  # the one that says what the others are
        place = next((i for i, (name, _, _) in enumerate(members) if name.endswith("data.pkl")), place)
    name, content, packing = members[place]
    if how < 0.6:
        members[place] = (name, inside(rng, name, content), packing)
    elif how < 0.65:
        del members[place]
    elif how < 0.7:
        members.append((name, inside(rng, name, content), packing))
    elif how < 0.75:
        other = rng.choice(("../../PWNED", "/tmp/PWNED", name + "/x", "x" * 60_000, "\0", name.upper(), "x.npy"))
        members[place] = (other, content, packing)
    elif how < 0.8:
        members[place] = (name, content[:64] + bytes(rng.choice((10**5, 30 * 10**6))), zipfile.ZIP_DEFLATED)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content, packing in members:
            method = packing if how < 0.85 else rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            archive.writestr(zipfile.ZipInfo(name), content, method)
    packed = bytearray(out.getvalue())
    if how >= 0.85:
        _lie(rng, packed)
    return _signed_archive(data, bytes(packed))


def _lie(rng: random.Random, packed: bytearray) -> None:
    """Another size, offset, method, flag or checksum in a member's header or its entry in the directory."""
    signature, fields = rng.choice(
        ((b"PK\x01\x02", (8, 10, 16, 20, 24, 28, 30, 42)), (b"PK\x03\x04", (6, 8, 14, 18, 22, 26, 28)))
    )
    starts = [i for i in range(len(packed) - 46) if packed[i : i + 4] == signature]
    if starts:
        place = rng.choice(starts) + rng.choice(fields)
        packed[place : place + 4] = struct.pack(
            "<I", rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFF, 2**30, rng.randrange(2**32)))
        )


_ZEROS = gzip.compress(bytes(2**24), mtime=0)


def damage_gzip(rng: random.Random, data: bytes, inside: Inside) -> bytes:
    """Other content, packed again; or a bomb: 4 GiB of zeros in 4 MB."""
    try:
        content = zlib.decompressobj(31).decompress(data, 2**24)  # its first member; a bomb's no further than that
    except zlib.error:
        return data[: len(data) // 2]
    how = rng.random()
    if how < 0.1:
        return gzip.compress(content[:16], mtime=0) + _ZEROS * 256
    if how < 0.15:
        return _ZEROS * 256
    if how < 0.2:
        return data + rng.choice((data, b"\0" * 100, b"x" * 100))
    return gzip.compress(inside(rng, "", content), 1, mtime=0)


def damage_tar(rng: random.Random, data: bytes) -> bytes:
    """The archive packed anew with one member another: changed, renamed, a link, a device, or of a lying size."""
    from tests.fuzz.mutate import damage_inside

    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = [(member, archive.extractfile(member)) for member in archive]
            contents = [(member, stream.read() if stream else b"") for member, stream in members]
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError):
        return data[: len(data) // 2]
    if not contents:
        return data[:-1]
    place, how = rng.randrange(len(contents)), rng.random()
    member, content = contents[place]
    if how < 0.6:
        content = damage_inside(rng, member.name, content)
    elif how < 0.7:
        member.name = rng.choice(
            ("../../PWNED", "/etc/passwd", "data/cars/car_999_mesh.mat", "data/cars/list.txt", "\0")
        )
    elif how < 0.8:
        member.type, member.linkname = (
            rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)),
            rng.choice(("/etc/passwd", member.name)),
        )
    elif how < 0.85:
        member.type = rng.choice((tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S", b"x", b"L"))
    contents[place] = (member, content)
    if how > 0.95:
        contents += contents[place : place + 1] * min(500, 2**26 // max(1, len(content)))  # may be damaged once more
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for member, content in contents:
            member.size = len(content) + (rng.choice((1, 2**20, 2**33)) if 0.85 < how < 0.95 and content else 0)
            archive.addfile(member)
            if archive.fileobj is not None:
                archive.fileobj.write(content + bytes(-len(content) % 512))
    return out.getvalue()
