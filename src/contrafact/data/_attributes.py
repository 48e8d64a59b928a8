"""CelebA's annotation files: attributes, identities and partitions, one line a picture.

Attributes: a line with the number of pictures, a line of names, then ``000001.jpg -1 1 …``. Identities and partitions:
``000001.jpg 2880``, without a head.

Shape suffixes: N pictures, K attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contrafact.core.dataset import IntArray
from contrafact.core.foreign import reading

_MOST_BYTES = 2**28
"""Ten times CelebA's."""


def read_attributes(dataset: str, file: Path) -> tuple[list[str], tuple[str, ...], IntArray]:
    """Picture names, attribute names and values ``(N, K)``: 0 for -1, 1 for 1.

    Raises:
        ValueError: no such file, or not of this format; the line is named.
    """
    lines = _lines(dataset, file)
    names = tuple(lines[1].split()) if len(lines) > 1 else ()
    if not names or lines[0].strip() != str(len(lines) - 2):
        raise ValueError(
            f"{dataset}: {file} must begin with the number of pictures and a line of attribute names, then have a line "
            f"per picture; found {lines[0][:40]!r} first, and {len(lines)} lines"
        )
    pictures, values = _table(dataset, file, lines[2:], len(names), first_line=3)
    if not np.isin(values, (-1, 1)).all():
        row, column = (int(i) for i in np.argwhere(~np.isin(values, (-1, 1)))[0])
        raise ValueError(
            f"{dataset}: {file}, line {row + 3}: {names[column]} must be -1 or 1, found {values[row, column]}"
        )
    return pictures, names, (values + 1) // 2


def read_numbers(dataset: str, file: Path) -> dict[str, int]:
    """The number of each picture: its identity, or its part.

    Raises:
        ValueError: no such file, or not of this format; the line is named.
    """
    pictures, values = _table(dataset, file, _lines(dataset, file), 1, first_line=1)
    return dict(zip(pictures, values[:, 0].tolist(), strict=True))


def check_pictures(dataset: str, listing: Path, listed: Sequence[str], folder: Path, present: Sequence[str]) -> None:
    """Refuse a listing of pictures that are not there; the first is named."""
    missing = sorted(set(listed) - set(present))
    if missing:
        raise ValueError(
            f"{dataset}: {listing} lists {len(missing)} pictures that {folder} does not hold, the first {missing[0]}; "
            "get the rest of the pictures, or the listing that belongs to them"
        )


def _lines(dataset: str, file: Path) -> list[str]:
    if not file.is_file():
        raise ValueError(f"{dataset}: {file} does not exist; put the published annotation file there")
    with reading(f"{dataset}: {file}", "annotation file"), file.open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"{dataset}: {file} is longer than {_MOST_BYTES // 2**20} MiB, it is no annotation file")
        return content.decode("utf-8-sig").splitlines() or [""]


def _table(dataset: str, file: Path, lines: Sequence[str], columns: int, first_line: int) -> tuple[list[str], IntArray]:
    pictures, rows = [], []
    for number, line in enumerate(lines, first_line):
        picture, *values = line.split() or [""]
        try:
            rows.append([_small(value) for value in values])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != columns:
            raise ValueError(
                f"{dataset}: {file}, line {number}: expected a picture's name and {columns} whole numbers, found "
                f"{line[:60]!r}"
            )
        pictures.append(picture)
    return pictures, np.asarray(rows, dtype=np.int64).reshape(len(pictures), columns)


def _small(text: str) -> int:
    number = int(text)
    if abs(number) > 2**31:
        raise ValueError(f"{number} is no identity")
    return number
