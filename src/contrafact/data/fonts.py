"""Fonts: characters of typefaces, whose factors are known: character, family, weight, slant, size, position.

Real shapes with a content (the character) and a style (all else), for methods that tell the two apart (LORD,
ContraLORD, ZeroDIM, SubInfoMax). Glyphs have been such a test since Tenenbaum & Freeman, "Separating Style and Content
with Bilinear Models", Neural Computation 12(6), 2000. Drawn from font files when asked for: by default from those that
matplotlib brings along, so they are the same everywhere.

Shape suffixes: N images, K factors, H height, W width.
"""

from __future__ import annotations

import hashlib
import string
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import FactorDataset, IntArray, check_indices
from contrafact.core.foreign import first_line
from contrafact.data._files import PathLike, data_folder
from contrafact.data._pixels import check_size, shrink
from contrafact.data._typefaces import ENDINGS, Face, are_fonts, draw, faces_of, find_files, lacking, too_large

SIDE = 64
EM_PIXELS = (18, 22, 26, 30, 34, 38)
SHIFTS = (-8, -4, 0, 4, 8)
"""Of the middle of the ink's box from the middle of the image, in pixels."""
VARIANTS: Mapping[str, tuple[tuple[bool, bool], ...]] = {
    "styles": ((False, False), (False, True), (True, False), (True, True)),
    "families": ((False, False),),
}
"""The faces (bold, slanted) a family must have."""

_BOX = SIDE - SHIFTS[-1] + SHIFTS[0]
_FINENESS = 4
_NAMED = 6
"""Families that a message names."""


class Fonts(FactorDataset):
    """Characters of fonts, a full grid of grey images ``(1, size, size)``, white on black.

    With the fonts that matplotlib brings along (DejaVu Sans, Sans Mono and Serif, STIX) 62,400 images: 26 characters, 4
    families, 2 weights, 2 slants, 6 sizes, 5 × 5 positions. A family that lacks a face or a character is left out.

    Args:
        path: a font file, or a folder of them with its subfolders, such as ``/usr/share/fonts``: TrueType, OpenType,
            collections, WOFF; of variable fonts the weight they open with. By default the data folder's ``fonts``,
            where there is one, else matplotlib's fonts.
        size: image side: 64, 32 or 16; below 64, pixels are area averages.
        variant: ``styles``: families of four faces, regular and bold, upright and slanted; or ``families``: every
            family with a regular upright face, without the factors weight and slant.
        characters: what to draw, each once. The default leaves out what another capital looks like at another size
            (most small letters) and what it looks like itself (the nought).

    Attributes:
        characters: in the order of the factor's values.
        families: names, in the order of the factor's values.
        left_out: why, by the name of each family that is left out.

    Warns:
        UserWarning: fonts of ``path`` are left out; the message names some, and why.

    Raises:
        ValueError: another size or variant, a character twice or none, no such file or folder, no font file there, or
            none that has all faces and characters (the message says what they lack).

    >>> fonts = Fonts(size=32)
    >>> dict(zip(fonts.factor_names, fonts.factor_sizes))["position x"], "DejaVu Serif" in fonts.families
    (5, True)
    >>> fonts.images(np.array([[25, 0, 1, 0, 5, 2, 2]])).shape  # a bold Z in the middle
    torch.Size([1, 1, 32, 32])
    """

    name = "fonts"
    factors_of_interest = ("character", "family")
    destroyed_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "crop": ("size", "position x", "position y"),
        "flip": ("character", "slant", "position x"),
    }

    def __init__(
        self,
        path: PathLike | None = None,
        size: int = SIDE,
        variant: str = "styles",
        characters: str = string.ascii_uppercase,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(unknown_name_message("variant of fonts", variant, list(VARIANTS)))
        if not characters or len(set(characters)) < len(characters):
            raise ValueError(f"fonts: characters must be some, each once; got {characters!r}")
        self.image_shape = (1, check_size(self.name, size, (SIDE, 32, 16)), size)
        self.variant, self.characters = variant, characters
        given = data_folder() / self.name if path is None else Path(path).expanduser()
        own = path is not None or given.is_dir()
        place = given if own else _matplotlibs_fonts()
        found, self.left_out = _families(place, VARIANTS[variant], characters)
        if not found:
            raise ValueError(_none_found(place, variant, self.left_out))
        if own and self.left_out:
            warnings.warn(f"fonts: of {place} are left out: {_listed(self.left_out)}", stacklevel=2)
        self.source = str(place) if own else "matplotlib's fonts"
        self.families = tuple(found)
        self._faces = [face for faces in found.values() for face in faces]
        # Per face, its characters in all sizes, drawn when one of them is first asked for.
        self._pictures: dict[int, npt.NDArray[np.uint8]] = {}
        styles = variant == "styles"
        self.factor_names = ("character", "family", *(("weight", "slant") if styles else ()), "size")
        self.factor_names += ("position x", "position y")
        self.factor_sizes = (len(characters), len(found), *((2, 2) if styles else ()), len(EM_PIXELS))
        self.factor_sizes += (len(SHIFTS),) * 2

    def fingerprint(self) -> str:
        """Hash of the font files used, of which of their faces, and of the characters drawn."""
        digest = hashlib.sha256(f"{self.name} {self.image_shape} {self.variant} {self.characters}".encode())
        for face in self._faces:
            digest.update(f"\0{face.index}\0".encode())
            digest.update(hashlib.sha256(face.file.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def batch(self, indices: IntArray | Sequence[int] | Tensor) -> Tensor:
        factors_NK = self.factors_of(check_indices(self, indices))
        characters, sizes, across, down = (factors_NK[:, k] for k in (0, -3, -2, -1))
        styles_N = factors_NK[:, 2] * 2 + factors_NK[:, 3] if self.variant == "styles" else 0
        faces_N = factors_NK[:, 1] * len(VARIANTS[self.variant]) + styles_N
        canvas_NHW = np.zeros((len(factors_NK), SIDE, SIDE), dtype=np.uint8)
        places = np.lib.stride_tricks.sliding_window_view(canvas_NHW, (_BOX, _BOX), axis=(1, 2), writeable=True)
        shifts = np.asarray(SHIFTS) - SHIFTS[0]
        for face in np.unique(faces_N):
            of_it = np.flatnonzero(faces_N == face)
            pictures = self._drawn(int(face))[characters[of_it], sizes[of_it]]
            places[of_it, shifts[down[of_it]], shifts[across[of_it]]] = pictures
        return shrink(torch.from_numpy(canvas_NHW).float().div_(255)[:, None], self.image_shape[1])

    def _drawn(self, face: int) -> npt.NDArray[np.uint8]:
        """A face's pictures ``(characters, sizes, H, W)``."""
        if face not in self._pictures:
            self._pictures[face] = draw(self._faces[face], self.characters, EM_PIXELS, _BOX, _FINENESS)
        return self._pictures[face]


def holds(path: Path) -> bool:
    """Whether a path leads to fonts: they have no published names to be known by."""
    return are_fonts(path)


def _matplotlibs_fonts() -> Path:
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf"


def _families(
    place: Path, styles: Sequence[tuple[bool, bool]], characters: str
) -> tuple[dict[str, list[Face]], dict[str, str]]:
    """Faces of every family that has them all, by its name; and why the others are left out.

    Raises:
        ValueError: no such file or folder, or no font file in it.
    """
    if not place.exists():
        raise ValueError(f"fonts: {place} does not exist; expected a font file or a folder of them")
    files = find_files(place)
    if not files:
        raise ValueError(f"fonts: {place} and its subfolders hold no {', '.join(ENDINGS)} files")
    faces: dict[str, dict[tuple[bool, bool], list[Face]]] = {}
    left_out: dict[str, str] = {}
    for file in files:
        try:
            for face in faces_of(file):
                faces.setdefault(face.family, {}).setdefault((face.bold, face.slanted), []).append(face)
        except ValueError as error:
            left_out[file.relative_to(place).as_posix() if place.is_dir() else file.name] = str(error)
    found: dict[str, list[Face]] = {}
    for family, by_style in sorted(faces.items()):
        missing = [_NAMES[style] for style in styles if style not in by_style]
        if missing:
            left_out[family] = f"has no {' or '.join(missing)} face"
            continue
        # A family may come in several files, one for each alphabet: the first that has the characters is taken.
        chosen = [min(by_style[style], key=lambda face: bool(_unfit(face, characters))) for style in styles]
        reasons = [reason for face in chosen if (reason := _unfit(face, characters))]
        if reasons:
            left_out[family] = reasons[0]
        else:
            found[family] = chosen
    return found, left_out


def _unfit(face: Face, characters: str) -> str:
    """Why a face cannot be drawn, empty where it can."""
    called = _NAMES[face.bold, face.slanted]
    try:
        if absent := lacking(face, characters):
            return f"lacks {_some(absent)} in its {called} face"
        if large := too_large(face, characters, EM_PIXELS[-1] * _FINENESS, _BOX * _FINENESS):
            return f"draws {_some(large)} larger than the image in its {called} face"
    except Exception as error:  # the documented border: a damaged glyph makes FreeType fail in any way
        return f"has a damaged {called} face, {face.file} ({first_line(error)})"
    return ""


_NAMES = {(False, False): "regular", (False, True): "italic", (True, False): "bold", (True, True): "bold italic"}


def _some(characters: str) -> str:
    return repr(characters[:_NAMED]) + (f" and {len(characters) - _NAMED} more" if len(characters) > _NAMED else "")


def _listed(left_out: Mapping[str, str]) -> str:
    named = "; ".join(f"{family} {why}" for family, why in list(left_out.items())[:_NAMED])
    return named + (f"; and {len(left_out) - _NAMED} more (left_out has them all)" if len(left_out) > _NAMED else "")


def _none_found(place: Path, variant: str, left_out: Mapping[str, str]) -> str:
    needed = "regular, bold, italic and bold italic face" if variant == "styles" else "regular face"
    hint = ", or take variant='families' (fonts:families)" if variant == "styles" else ""
    why = f" ({_listed(left_out)})" if left_out else ""
    return f"fonts: no family in {place} has every character in its {needed}{why}; name other fonts{hint}"
