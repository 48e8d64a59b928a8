"""One picture, decoded and made square."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from contrafact.core.catalog import unknown_name_message
from contrafact.core.decoding import MODES, Decoded, Item, UnusableError, concealed, decode

Fit = Literal["crop", "pad", "squeeze"]
"""How a picture becomes square: its centre, with margins, or distorted."""


def check_look(fit: str, channels: int) -> None:
    """Refuse other ways to become square, and other channels, than there are (ValueError)."""
    if fit not in get_args(Fit):
        raise ValueError(unknown_name_message("fit", str(fit), get_args(Fit)))
    if isinstance(channels, bool) or channels not in MODES:
        raise ValueError(f"channels must be 3 (RGB), 1 (grey) or 4 (RGB and opacity), got {channels!r}")


class Fitted(NamedTuple):
    """A picture made square: its pixels ``(size, size, channels)``, what was found of it, and the share cut off."""

    pixels: npt.NDArray[np.uint8]
    picture: Decoded
    cut: float


def decode_square(
    item: Item | UnusableError, channels: int, background: str, size: int, fit: Fit
) -> Fitted | UnusableError:
    """The picture made square, or what is wrong with it.

    Args:
        item: the picture, or what is wrong with it already.
        channels: 1 (grey), 3 (RGB) or 4 (RGB and opacity).
        background: ``#rrggbb``, below see-through parts and in margins.
        size: side in pixels.
        fit: how it becomes square.
    """
    from PIL import Image, ImageColor, ImageOps

    if isinstance(item, UnusableError):
        return item
    try:
        decoded = decode(item, channels, background, smallest=size, side=max if fit == "pad" else min)
    except UnusableError as error:
        return error
    picture, square = decoded.picture, (size, size)
    cut = 0.0
    if fit == "squeeze":
        fitted = picture.resize(square, Image.Resampling.LANCZOS)
    elif fit == "pad":
        margin = (*ImageColor.getrgb(background), 0) if channels == 4 else background
        fitted = ImageOps.pad(picture, square, Image.Resampling.LANCZOS, color=margin, centering=(0.5, 0.5))
    else:
        fitted = ImageOps.fit(picture, square, Image.Resampling.LANCZOS, centering=(0.5, 0.5))
        cut = 1 - min(picture.size) / max(picture.size)
    if channels == 4:
        fitted = concealed(fitted, background)
    return Fitted(np.asarray(fitted).reshape(size, size, channels), decoded, cut)
