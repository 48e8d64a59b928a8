"""Picture files, decoded: upright, laid on a background where they are see-through, in the channels asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Endings of picture files that are read."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode of so many channels: grey, colour, colour and opacity."""

MOST_NAMED = 20
"""Pictures that a message names; the others it counts."""

Item: TypeAlias = Path | bytes | npt.NDArray[Any]
"""A picture as it is found: a file, the bytes of one, or its pixels ``(H, W)`` or ``(H, W, C)``."""

_DEEPEST, _BEYOND = 2**16 - 1, 0.01
_ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")  # not MPO: a phone's second picture there is a depth map or a thumbnail


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
    """A picture with more than 16 bits a channel, or with numbers of another range."""


@dataclass(frozen=True)
class Decoded:
    """A decoded picture.

    Attributes:
        picture: upright, in the mode asked for.
        see_through: whether any of its pixels is not opaque.
        animated: whether it is the first frame, or page, of several.
        scaled: whether it had more than 8 bits a channel.
    """

    picture: Image
    see_through: bool
    animated: bool
    scaled: bool = False


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


def decode(
    item: Item, channels: int, background: str, smallest: int = 1, side: Callable[[Sequence[int]], int] = min
) -> Decoded:
    """One picture, turned as its EXIF orientation says; of an animation the first frame.

    Grey pictures of 16 bits, and of floats in [0, 1], are scaled to 8 bits.

    Args:
        item: the picture's file, the bytes of one, or its pixels ``(H, W)``, ``(H, W, C)``.
        channels: 1 for grey, 3 for RGB, both with see-through parts laid on ``background``; 4 for RGBA.
        background: ``#rrggbb``.
        smallest: least length of a side. JPEGs much larger are decoded at a fraction of their size.
        side: which side that is: the shorter one, or ``max``.

    Raises:
        UnusableError: it cannot be decoded, is too small, or has more than 16 bits a channel.
    """
    from PIL import ImageOps, UnidentifiedImageError

    try:
        if isinstance(item, np.ndarray):
            scaled = item.dtype != np.uint8
            whole = _of_pixels(item)
            if side(whole.size) < smallest:
                raise TooSmallError(whole.width, whole.height, smallest)
            return _laid(whole, channels, background, False, scaled)
        with _opened(item) as opened:
            if side(opened.size) < smallest:
                raise TooSmallError(opened.width, opened.height, smallest)
            animated = opened.format in _ANIMATED and getattr(opened, "is_animated", False)
            if smallest > 1:
                opened.draft("RGB", (2 * smallest, 2 * smallest))  # several times faster at a half or a quarter
            upright = ImageOps.exif_transpose(opened)
            scaled = upright.mode[0] in "IF"  # Pillow would cut these to 8 bits, not scale them
            if scaled:
                upright = _of_pixels(_deep(upright))
            return _laid(upright, channels, background, animated, scaled)
    except UnusableError:
        raise
    except UnidentifiedImageError as error:
        empty = not (item.stat().st_size if isinstance(item, Path) else len(item))
        raise UnusableError("is an empty file" if empty else "is no picture") from error
    except Exception as error:  # foreign bytes: on a damaged file Pillow's readers raise nearly anything
        raise UnusableError(f"cannot be decoded ({error or type(error).__name__})") from error


def _opened(item: Path | bytes) -> Image:
    from PIL import Image as pil

    if isinstance(item, Path) and not item.is_file():  # opening a named pipe would wait for ever
        if item.exists():
            raise UnusableError("is no file")
        raise UnusableError("is a link to nothing" if item.is_symlink() else "does not exist")
    return pil.open(item if isinstance(item, Path) else io.BytesIO(item))


def _deep(picture: Image) -> npt.NDArray[Any]:
    """Pixels of a grey picture of more than 8 bits, as 16 bits or floats."""
    pixels = np.asarray(picture)
    if pixels.dtype.kind == "f":
        return pixels
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > _DEEPEST:
        raise TooDeepError("has more than 16 bits a channel")
    return pixels.astype(np.uint16)


def _of_pixels(pixels: npt.NDArray[Any]) -> Image:
    """A picture of 8 bits, whose white is that of the pixels' type: 255, 65535, or 1 of floats."""
    from PIL import Image as pil

    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / (_DEEPEST / 255))
    elif pixels.dtype.kind == "f":
        low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
        if not (low >= -_BEYOND and high <= 1 + _BEYOND):  # also catches NaN
            raise TooDeepError(f"holds floats from {low:.3g} to {high:.3g}, not from 0 to 1")
        pixels = np.round(pixels.clip(0, 1) * 255)
    elif pixels.min(initial=0) < 0 or pixels.max(initial=0) > 255:
        raise TooDeepError(f"holds numbers from {pixels.min()} to {pixels.max()}, not bytes")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return pil.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))


def _laid(upright: Image, channels: int, background: str, animated: bool, scaled: bool) -> Decoded:
    """The picture in the channels asked for, see-through parts laid on the background."""
    from PIL import Image as pil

    mode = MODES[channels]
    if not upright.has_transparency_data:
        return Decoded(upright.convert("RGB").convert(mode), False, animated, scaled)
    seen = upright.convert("RGBA")
    if seen.getchannel("A").getextrema() == (255, 255):
        return Decoded(seen.convert("RGB").convert(mode), False, animated, scaled)
    if channels == 4:
        return Decoded(seen, True, animated, scaled)
    laid = pil.alpha_composite(pil.new("RGBA", seen.size, background), seen)
    return Decoded(laid.convert("RGB").convert(mode), True, animated, scaled)


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
