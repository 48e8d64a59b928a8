"""Where the members of a tar archive lie, by its headers alone (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

_RECORD = 512
_FILES = (b"0", b"\0", b"7")
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"L", b"K", b"x", b"g", b"S"
_MOST_DESCRIPTION = 2**16
_MOST_DESCRIPTIONS = 16
_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd"}


class Member(NamedTuple):
    """A file in an archive: its name, the byte it begins at, and how many it has."""

    name: str
    offset: int
    size: int


def members(read: Callable[[int, int], bytes], length: int, who: object) -> Iterator[Member]:
    """The files of an archive, in its order; nothing of them is read.

    Args:
        read: bytes from a place on, so many, or fewer at the end.
        length: of the archive.
        who: the archive, for messages.

    Raises:
        ValueError: no tar archive, one that is cut short or packed as a whole, or descriptions of more than 64 KiB.
    """
    place, name, size, described = 0, "", -1, 0
    while place + _RECORD <= length:
        header = read(place, _RECORD)
        if not header.strip(b"\0"):
            return
        kind, own_size = header[156:157], _checked_size(header, place, who)
        place += _RECORD
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            described += 1
            if own_size > _MOST_DESCRIPTION or described > _MOST_DESCRIPTIONS:
                raise ValueError(
                    f"{who} describes a member in more than {_MOST_DESCRIPTION // 1024} KiB; write it again"
                )
            text = read(place, own_size) if kind in (_LONG_NAME, _PAX) else b""
            place += _rounded(own_size)
            if kind == _LONG_NAME:
                name = _text(text)
            elif kind == _PAX:
                name, size = _pax(text, name, size, who)
            continue
        if kind == _SPARSE:
            raise ValueError(f"{who} holds a file with holes (GNU sparse); write the archive again without --sparse")
        full = name or "/".join(filter(None, [_prefix(header), _text(header[:100])]))
        used = size if size >= 0 else own_size
        if kind in _FILES:
            if place + used > length:
                raise ValueError(f"{who} is cut short: {full[:60]!r} goes on beyond its end; get it again")
            yield Member(full, place, used)
            place += _rounded(used)
        name, size, described = "", -1, 0
    if place == 0:
        raise ValueError(f"{who} is no tar archive; it has {length} bytes")


def _checked_size(header: bytes, place: int, who: object) -> int:
    """The size that a header gives, if the header's checksum is right."""
    try:
        claimed = _octal(header[148:156])
        plain = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
        signed = plain - 256 * sum(byte > 127 for byte in header[:148] + header[156:])
        if claimed not in (plain, signed):
            raise ValueError("its checksum is another")
        field = header[124:136]
        size = int.from_bytes(field[1:], "big") if field[0] == 0x80 else _octal(field)
    except ValueError as error:
        if place == 0 and (packing := _PACKED.get(header[:2])):
            raise ValueError(
                f"{who} is packed as a whole ({packing}), so that no part can be read alone; unpack it to a plain .tar"
            ) from error
        raise ValueError(f"{who} is damaged or no tar archive (no header at byte {place}); get it again") from error
    return size


def _octal(field: bytes) -> int:
    text = field.strip(b"\0 ")
    if text.strip(b"01234567"):
        raise ValueError("no octal number")
    return int(text or b"0", 8)


def _rounded(size: int) -> int:
    return -(-size // _RECORD) * _RECORD


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _prefix(header: bytes) -> str:
    return _text(header[345:500]) if header[257:263] == b"ustar\0" else ""  # GNU's has dates there


def _pax(text: bytes, name: str, size: int, who: object) -> tuple[str, int]:
    """Name and size by pax records, ``LENGTH KEY=VALUE`` and a line's end each."""
    while text.strip(b"\0"):
        digits, _, _ = text.partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits[:9]) <= len(text):
            raise ValueError(f"{who} is damaged (a description of a member cannot be read); get it again")
        record, text = text[len(digits) + 1 : int(digits) - 1], text[int(digits) :]
        key, _, value = record.partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "replace")
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise ValueError(f"{who} is damaged (a member of {value[:20]!r} bytes); get it again")
            size = int(value)
        elif key.startswith(b"GNU.sparse."):
            raise ValueError(f"{who} holds a file with holes (GNU sparse); write the archive again without --sparse")
    return name, size
