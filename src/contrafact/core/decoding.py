"""Picture files, decoded: upright, laid on a background where they are see-through, in the channels asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode of so many channels: grey, colour, colour and opacity."""

MOST_NAMED = 20
"""Pictures that a message names; the others it counts."""

_ANIMATED = ("GIF", "PNG", "WEBP")  # not MPO: a phone's second picture there is a depth map or a thumbnail


class UnusableError(ValueError):
    """A picture that cannot be used as it is; the text, which goes after the file's name, says why."""


class TooSmallError(UnusableError):
    """A picture with a shorter side than asked for.

    Attributes:
        side: its shorter side in pixels.
    """

    def __init__(self, width: int, height: int, asked: int) -> None:
        super().__init__(f"is {width} x {height}, smaller than size={asked}")
        self.side = min(width, height)


class TooDeepError(UnusableError):
    """A picture with more than 8 bits a channel."""


@dataclass(frozen=True)
class Decoded:
    """A decoded picture.

    Attributes:
        picture: upright, in the mode asked for.
        see_through: whether any of its pixels is not opaque.
        animated: whether it is the first frame of several.
    """

    picture: Image
    see_through: bool
    animated: bool


def parse_background(background: str) -> str:
    """A colour as ``#rrggbb``.

    Args:
        background: a name (``white``, ``lightgrey``) or a hexadecimal code (``#80ff00``).

    Raises:
        ValueError: no such colour, or one with an opacity.

    >>> parse_background("white"), parse_background("#08f")
    ('#ffffff', '#0088ff')
    """
    from PIL import ImageColor

    try:
        found = ImageColor.getrgb(str(background).strip())
    except ValueError as error:
        raise ValueError(
            f"background must be a colour's name (white, black, grey) or a code such as #80ff00, got {background!r}"
        ) from error
    if len(found) != 3:
        raise ValueError(f"background must be opaque, got {background!r}; leave its opacity out")
    return f"#{found[0]:02x}{found[1]:02x}{found[2]:02x}"


def decode(file: Path, channels: int, background: str, smallest: int = 1) -> Decoded:
    """One picture, turned as its EXIF orientation says; of an animation the first frame.

    Args:
        file: the picture.
        channels: 1 for grey, 3 for RGB, both with see-through parts laid on ``background``; 4 for RGBA.
        background: ``#rrggbb``.
        smallest: least length of the shorter side. JPEGs much larger are decoded at a fraction of their size.

    Raises:
        UnusableError: it cannot be decoded, is too small, or has more than 8 bits a channel.
    """
    from PIL import Image as pil
    from PIL import ImageOps, UnidentifiedImageError

    mode = MODES[channels]
    try:
        if not file.is_file():  # opening a named pipe would wait for ever
            raise UnusableError("is no file" if file.exists() else "is a link to nothing")
        with pil.open(file) as opened:
            if opened.mode[0] in "IF":  # Pillow would cut these to 8 bits, not scale them
                raise TooDeepError("has more than 8 bits a channel")
            if min(opened.size) < smallest:
                raise TooSmallError(opened.width, opened.height, smallest)
            animated = opened.format in _ANIMATED and getattr(opened, "is_animated", False)
            if smallest > 1:
                opened.draft("RGB", (2 * smallest, 2 * smallest))  # several times faster at a half or a quarter
            upright = ImageOps.exif_transpose(opened)
            if not upright.has_transparency_data:
                return Decoded(upright.convert("RGB").convert(mode), False, animated)
            seen = upright.convert("RGBA")
    except UnusableError:
        raise
    except UnidentifiedImageError as error:
        raise UnusableError("is no picture" if file.stat().st_size else "is an empty file") from error
    except Exception as error:  # foreign bytes: on a damaged file Pillow's readers raise nearly anything
        raise UnusableError(f"cannot be decoded ({error or type(error).__name__})") from error
    if seen.getchannel("A").getextrema() == (255, 255):
        return Decoded(seen.convert("RGB").convert(mode), False, animated)
    if channels == 4:
        return Decoded(seen, True, animated)
    laid = pil.alpha_composite(pil.new("RGBA", seen.size, background), seen)
    return Decoded(laid.convert("RGB").convert(mode), True, animated)


def concealed(picture: Image, background: str) -> Image:
    """An RGBA picture whose fully see-through pixels have the background's colour: what no one sees tells nothing."""
    from PIL import Image as pil

    alpha = picture.getchannel("A")
    result = picture.copy()
    result.paste(pil.new("RGBA", picture.size, background), mask=alpha.point([255, *[0] * 255]))
    result.putalpha(alpha)
    return result


def shown_name(name: str | Path) -> str:
    """A file's name for a message: as it is, or quoted and escaped where it would break the line.

    >>> shown_name("a picture.png"), shown_name("two\\nlines.png")
    ('a picture.png', "'two\\\\nlines.png'")
    """
    text = str(name)
    return text if text.isprintable() else repr(text)


def first_of(names: Iterable[str], separator: str = ", ") -> str:
    """The first names, and how many more there are."""
    every = list(names)
    more = f"{separator}and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return separator.join(every[:MOST_NAMED]) + more
