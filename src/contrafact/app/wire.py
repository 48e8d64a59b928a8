"""Messages between page and server: JSON as text; JSON and bytes together, its length in front, where there is a
picture."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

from contrafact.core.foreign import parse_json
from contrafact.core.pictures import ByteArray

MOST_TEXT = 8 * 2**20
MOST_UPLOAD = 32 * 2**20
_LENGTH = struct.Struct("<I")
_MOST_HEADER = 2**16


def packed(header: dict[str, Any], body: bytes) -> bytes:
    """Length of the header in four bytes, little-endian; the header as JSON; the body.

    >>> unpacked(packed({"id": 3}, b"picture"))
    ({'id': 3}, b'picture')
    """
    said = json.dumps(header, allow_nan=False).encode()
    return _LENGTH.pack(len(said)) + said + body


def unpacked(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body of :func:`packed` (ValueError for anything else)."""
    if len(message) < _LENGTH.size:
        raise ValueError("a binary message begins with the length of its header")
    length = _LENGTH.unpack_from(message)[0]
    if length > min(_MOST_HEADER, len(message) - _LENGTH.size):
        raise ValueError(f"a binary message's header has at most {_MOST_HEADER} bytes and lies inside it, got {length}")
    header = parsed(message[_LENGTH.size : _LENGTH.size + length])
    return header, message[_LENGTH.size + length :]


def parsed(text: str | bytes) -> dict[str, Any]:
    """The object that a message's text is (ValueError for another JSON value, or none)."""
    if len(text) > MOST_TEXT:
        raise ValueError(f"a message has at most {MOST_TEXT // 2**20} MiB of text")
    said = parse_json(text, "the message", "send an object with id and type")
    if not isinstance(said, dict):
        raise ValueError("a message is an object with id and type")
    return said


def webp(pixels: ByteArray) -> bytes:
    """A picture ``(H, W, 3)`` as lossless WebP, as quickly as it can be made."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="WEBP", lossless=True, quality=0, method=0)
    return stream.getvalue()
