"""Font files, the faces in them, and their characters as pictures; read by FreeType, through Pillow.

A family is drawn in four faces: regular and bold, upright and slanted. What a face is called decides which it is;
other weights (light, black) are no face of the four, and other widths are families of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import ImageFont

from contrafact.core.decoding import PICTURES
from contrafact.core.foreign import first_line

ENDINGS = (".ttf", ".otf", ".ttc", ".otc", ".woff", ".woff2")

_SLANTED = {"italic", "oblique", "slanted", "inclined"}
_REGULAR = {"regular", "book", "roman", "normal"}
_OTHER_WEIGHTS = {
    *("thin", "hairline", "extralight", "ultralight", "light", "semilight", "demilight", "retina", "medium"),
    *("semibold", "demibold", "demi", "extrabold", "ultrabold", "heavy", "black", "extrablack", "ultrablack", "ultra"),
}
_ABSENT = "\U0010fffe"
"""No character: what a font draws for it, it draws for every character that it lacks."""
_PROBE_PIXELS = 32
_MOST_FACES = 1000
"""In one file: a collection that claims more is none."""


@dataclass(frozen=True)
class Face:
    """One face of a font file.

    Attributes:
        file: the file.
        index: which of its faces.
        family: what its designer calls the family, and its width where it is not the usual one.
        bold: whether it is the bold weight, else the regular one.
        slanted: whether it is italic or oblique.
    """

    file: Path
    index: int
    family: str
    bold: bool
    slanted: bool

    def font(self, pixels: int) -> ImageFont.FreeTypeFont:
        """The face at ``pixels`` an em."""
        return _open(self.file, pixels, self.index)


def _open(file: Path, pixels: int, index: int) -> ImageFont.FreeTypeFont:
    # Without the layout library that only some builds of Pillow have; old ones take no Path.
    return ImageFont.truetype(str(file), pixels, index, layout_engine=ImageFont.Layout.BASIC)


def find_files(path: Path) -> list[Path]:
    """Font files in a folder and its subfolders, by name; the file itself if it is one."""
    if path.is_file():
        return [path]
    found = [Path(parent) / name for parent, _, names in os.walk(path) for name in names]
    return sorted(file for file in found if file.name.lower().endswith(ENDINGS))


def are_fonts(path: Path) -> bool:
    """Whether it is a font file, or a folder that holds some, with its subfolders, and no pictures."""
    if path.is_file():
        return path.name.lower().endswith(ENDINGS)
    found = False
    for _, _, names in os.walk(path):
        lower = [name.lower() for name in names]
        if any(name.endswith(PICTURES) for name in lower):
            return False
        found = found or any(name.endswith(ENDINGS) for name in lower)
    return found


def faces_of(file: Path) -> Iterator[Face]:
    """The faces of a file that are one of a family's four.

    Raises:
        ValueError: FreeType cannot read it; the caller says which file.
    """
    for index in range(_MOST_FACES):
        try:
            font = _open(file, _PROBE_PIXELS, index)
        except Exception as error:  # the documented border: a damaged font makes FreeType fail in any way
            if index:
                return
            raise ValueError(f"cannot be read as a font ({first_line(error)})") from error
        face = _named(file, index, *font.getname())
        if face is not None:
            yield face
        if file.suffix.lower() not in (".ttc", ".otc"):  # other files hold one face and give it for any index
            return


def _named(file: Path, index: int, family: str | None, style: str | None) -> Face | None:
    """The face by its family's and its style's name (``DejaVu Sans``, ``Condensed Bold Oblique``)."""
    name = _words(family or "", r"\s") or [file.stem]
    words = _words(style or "", r"(?<=[a-z])(?=[A-Z])|[-_,\s]")
    lows = {word.lower() for word in words}
    # Where only four styles may have one family name, another weight is part of it: "Lora Medium", "Regular".
    if lows & _OTHER_WEIGHTS or name[-1].lower() in _OTHER_WEIGHTS:
        return None
    name += [word for word in words if word.lower() not in _SLANTED | _REGULAR | {"bold"} and word not in name]
    return Face(file, index, " ".join(name), "bold" in lows, bool(lows & _SLANTED))


def _words(text: str, gap: str) -> list[str]:
    """The words of a name, ``Semi Bold`` and its like as one."""
    spaced = " ".join(word for word in re.split(gap, text) if word)
    return re.sub(r"(?i)\b(semi|demi|extra|ultra) (?=bold|light|black|thin)", r"\1", spaced).split()


def lacking(face: Face, characters: str) -> str:
    """Those of ``characters`` that a face has no picture of, or for which it draws what it draws for any it lacks."""
    font = face.font(_PROBE_PIXELS)
    absent = _mask(font, _ABSENT)
    pictures = {character: _mask(font, character) for character in characters}
    if len(characters) > 1 and len({(p.shape, p.tobytes()) for p in pictures.values()}) == 1:
        return characters  # a font of last resort has one picture for all
    return "".join(c for c, p in pictures.items() if not p.any() or np.array_equal(p, absent))


def too_large(face: Face, characters: str, pixels: int, side: int) -> str:
    """Those of ``characters`` whose box is wider or higher than ``side`` at ``pixels`` an em."""
    font = face.font(pixels)
    boxes = {character: font.getbbox(character) for character in characters}
    return "".join(c for c, (left, top, right, bottom) in boxes.items() if max(right - left, bottom - top) > side)


def draw(face: Face, characters: str, sizes: Sequence[int], side: int, fineness: int) -> npt.NDArray[np.uint8]:
    """Characters of a face as pictures ``(characters, sizes, side, side)``, the ink's box in the middle.

    Args:
        face: the face.
        characters: what to draw, none of them :func:`too_large`.
        sizes: pixels an em.
        side: of the pictures, in pixels.
        fineness: they are drawn this many times as large and averaged: the places of edges are no whole pixels, and
            what fonts do to look crisp at small sizes does not show.
    """
    fine = side * fineness
    pictures = []
    for pixels in sizes:
        font = face.font(pixels * fineness)
        canvas = np.zeros((len(characters), fine, fine), dtype=np.uint8)
        for place, character in zip(canvas, characters, strict=True):
            ink = _mask(font, character)
            top, left = ((fine - extent) // 2 for extent in ink.shape)
            place[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
        means = F.avg_pool2d(torch.from_numpy(canvas)[:, None].float(), fineness)
        pictures.append(means[:, 0].round_().byte().numpy())
    return np.stack(pictures, axis=1)


def _mask(font: ImageFont.FreeTypeFont, character: str) -> npt.NDArray[np.uint8]:
    """What a font draws for a character ``(H, W)``, cut to its ink."""
    mask = font.getmask(character, mode="L")
    width, height = mask.size
    ink = np.frombuffer(bytes(mask), dtype=np.uint8).reshape(height, width)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else ink[:0, :0]
