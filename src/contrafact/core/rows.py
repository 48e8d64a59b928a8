"""Rows of CSV files of any origin: no line, cell or encoding of theirs ends in more than a sentence."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from contrafact.core.describe import what_is
from contrafact.core.foreign import first_line, reading

DELIMITERS = ",;\t"
"""What stands between cells: the comma, the semicolon of countries whose numbers have commas, a spreadsheet's tab."""

_LONGEST_LINE = 2**22
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What text in UTF-16 begins with."""


class Dialect(NamedTuple):
    """How a CSV file is written.

    Attributes:
        encoding: of its text.
        delimiter: what stands between its cells.
        skipped: lines before the first row.
    """

    encoding: str
    delimiter: str
    skipped: int


def find_dialect(path: str | Path) -> Dialect:
    """How a CSV file is written, by its first bytes and its first line.

    UTF-16 is known by its byte-order mark, which Excel's "Unicode text" has; all else is read as UTF-8. The delimiter
    is the one that the first line has most of; a first line ``sep=;``, which Excel writes and obeys, is obeyed.

    Raises:
        ValueError: the file cannot be read, or is no such text.
    """
    source = Path(path)
    with reading(source, "CSV text file"), source.open("rb") as stream:
        start = stream.read(512)
    encoding = "utf-16" if start.startswith(UTF_16) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in start:
        raise ValueError(f"{source} is not a CSV text file: it is {what_is(source)}; save it as CSV, UTF-8")
    with _text(source, encoding) as file:
        head = file.readline(_LONGEST_LINE)
        while head.startswith("#") and not any(mark in head for mark in DELIMITERS):  # a remark says nothing of rows
            head = file.readline(_LONGEST_LINE)
    if head.startswith("sep=") and len(head.rstrip("\r\n")) == len("sep=;"):
        return Dialect(encoding, head[len("sep=")], 1)
    return Dialect(encoding, max(DELIMITERS, key=head.count), 0)


def read_rows(path: str | Path, dialect: Dialect | None = None) -> Iterator[tuple[int, list[str]]]:
    """Line number, from 1, and cells of each row of a CSV file, one after the other.

    Args:
        path: a text file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.
        dialect: how it is written, where :func:`find_dialect` has said so already.

    Raises:
        ValueError: the file cannot be read, is no such text, or has a line of more than four million characters.
    """
    source = Path(path)
    encoding, delimiter, skipped = dialect or find_dialect(source)
    with _text(source, encoding) as file:
        for _ in range(skipped):
            file.readline(_LONGEST_LINE)
        rows = csv.reader(_lines(file), delimiter=delimiter)
        for row in rows:
            yield rows.line_num + skipped, row


@contextmanager
def _text(source: Path, encoding: str) -> Iterator[TextIO]:
    with reading(source, "CSV text file"), source.open(newline="", encoding=encoding) as file:
        try:
            yield file
        except (csv.Error, UnicodeError) as error:
            raise ValueError(f"{source} is not a CSV text file: {first_line(error)}; save it as CSV, UTF-8") from error


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE} characters")
        yield line
