"""CelebA's annotation files: attributes, identities and partitions, one line a picture.

As published. Attributes: a line with the number of pictures, a line of names, then ``000001.jpg -1 1 …``. Identities
and partitions: ``000001.jpg 2880``, without a head. As Kaggle has them: CSV tables with a head, ``image_id`` first.
Both are also read with a byte order mark, Windows' line ends, tabs, and empty lines at the end.

Shape suffixes: N pictures, K attributes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from contrafact.core.dataset import IntArray
from contrafact.core.foreign import reading

_MOST_BYTES = 2**28
"""Ten times CelebA's."""


def read_attributes(dataset: str, file: Path) -> tuple[list[str], tuple[str, ...], IntArray]:
    """Picture names, attribute names and values ``(N, K)``: 0 for -1, 1 for 1.

    Raises:
        ValueError: no such file, not of either format, or a picture listed twice; the line is named.
    """
    rows = _rows(dataset, file)
    head = 1 if _is_table(file) else 2
    names = tuple(rows[head - 1][_is_table(file) :]) if len(rows) >= head else ()
    if not names or (head == 2 and (len(rows[0]) != 1 or re.fullmatch("[0-9]{1,18}", rows[0][0]) is None)):
        raise ValueError(
            f"{dataset}: {file} must begin with the number of pictures and a line of attribute names, then have a line "
            f"per picture (as .csv: begin with image_id and the names); found {' '.join(rows[0])[:40]!r} first, and "
            f"{len(rows)} lines"
        )
    if head == 2 and int(rows[0][0]) != len(rows) - 2:
        raise ValueError(
            f"{dataset}: {file} says that it lists {int(rows[0][0])} pictures, and lists {len(rows) - 2}; it may be "
            "cut short: get it again, or correct the first line if you left pictures out"
        )
    pictures, values = _table(dataset, file, rows[head:], len(names), first_line=head + 1)
    if not np.isin(values, (-1, 1)).all():
        row, column = (int(i) for i in np.argwhere(~np.isin(values, (-1, 1)))[0])
        raise ValueError(
            f"{dataset}: {file}, line {row + head + 1}: {names[column]} must be -1 or 1, found {values[row, column]}"
        )
    return pictures, names, (values + 1) // 2


def read_numbers(dataset: str, file: Path) -> dict[str, int]:
    """The number of each picture: its identity, or its part.

    Raises:
        ValueError: no such file, not of either format, or a picture listed twice; the line is named.
    """
    head = int(_is_table(file))
    pictures, values = _table(dataset, file, _rows(dataset, file)[head:], 1, first_line=head + 1)
    return dict(zip(pictures, values[:, 0].tolist(), strict=True))


def stem(picture: str) -> str:
    """A picture's name without its suffix: the PNG archives come with listings of ``.jpg`` files."""
    return picture.rpartition(".")[0] or picture


def match_pictures(
    dataset: str, listing: Path, listed: Iterable[str], folder: Path, files: Sequence[Path]
) -> Mapping[str, Path]:
    """The file of every listed picture, by the name it is listed under; the suffix may differ.

    Raises:
        ValueError: pictures that are not there; the first is named.
    """
    present, by_stem = {file.name: file for file in files}, {stem(file.name): file for file in files}
    found = {name: present.get(name, by_stem.get(stem(name))) for name in listed}
    missing = sorted(name for name, file in found.items() if file is None)
    if missing:
        raise ValueError(
            f"{dataset}: {listing} lists {len(missing)} pictures that {folder} does not hold, the first {missing[0]}; "
            "get the rest of the pictures, or the listing that belongs to them"
        )
    return {name: file for name, file in found.items() if file is not None}


def _is_table(file: Path) -> bool:
    return file.suffix.lower() == ".csv"


def _rows(dataset: str, file: Path) -> list[list[str]]:
    """The words of each line, without empty lines at the end."""
    if not file.is_file():
        raise ValueError(f"{dataset}: {file} does not exist; put the published annotation file there")
    with reading(f"{dataset}: {file}", "annotation file"), file.open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"{dataset}: {file} is longer than {_MOST_BYTES // 2**20} MiB, it is no annotation file")
        lines = content.decode("utf-8-sig").rstrip().splitlines() or [""]
        if _is_table(file):
            return [[cell.strip() for cell in row] for row in csv.reader(lines)]
    return [line.split() for line in lines]


def _table(
    dataset: str, file: Path, rows: Sequence[Sequence[str]], columns: int, first_line: int
) -> tuple[list[str], IntArray]:
    pictures: dict[str, None] = {}
    values = []
    for number, row in enumerate(rows, first_line):
        picture, *words = row or [""]
        try:
            values.append([_small(word) for word in words])
        except ValueError:
            values.append([])
        if len(values[-1]) != columns:
            raise ValueError(
                f"{dataset}: {file}, line {number}: expected a picture's name and {columns} whole numbers, found "
                f"{' '.join(row)[:60]!r}"
            )
        if picture in pictures:
            raise ValueError(f"{dataset}: {file}, line {number}: {picture} is listed a second time; leave one line out")
        pictures[picture] = None
    return list(pictures), np.asarray(values, dtype=np.int64).reshape(len(pictures), columns)


def _small(text: str) -> int:
    number = int(text)
    if abs(number) > 2**31:
        raise ValueError(f"{number} is no identity")
    return number
