"""Rows of CSV files of any origin: no line, cell or encoding of theirs ends in more than a sentence."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from contrafact.core.foreign import first_line, reading

_LONGEST_LINE = 2**22


def read_rows(path: str | Path, delimiters: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line number, from 1, and cells of each row of a CSV file, one after the other.

    Args:
        path: a text file in UTF-8, with or without a byte-order mark.
        delimiters: what may stand between cells; the last one that the first line has is taken, else the first.

    Raises:
        ValueError: the file cannot be read, is no such text, or has a line of more than four million characters.
    """
    source = Path(path)
    with reading(source, "CSV text file"), source.open(newline="", encoding="utf-8-sig") as file:
        try:
            head = file.readline(_LONGEST_LINE)
            file.seek(0)
            found = [delimiter for delimiter in delimiters[1:] if delimiter in head]
            rows = csv.reader(_lines(file), delimiter=found[-1] if found else delimiters[0])
            for row in rows:
                yield rows.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{source} is not a CSV text file: {first_line(error)}; save it as CSV, UTF-8") from error


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE} characters")
        yield line
