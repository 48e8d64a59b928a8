"""Tables of any origin, CSV and parquet, as columns of numbers and of words: the one reader of all of them.

Shape suffixes: N rows.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.foreign import first_line, reading
from contrafact.core.rows import Dialect, find_dialect, read_rows

Array = npt.NDArray[Any]

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
UNKNOWN = frozenset({"", "na", "n/a", "nan", "null", "<na>"})
"""What stands in a cell, in any case, of which nothing is known."""

FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "image_id")
"""Names, in any case, of a column of file names."""
INDEX_COLUMN = "index"
"""Name of a column of images' numbers, from 0."""

_MOST_CELLS = 2**27
_MOST_COLUMNS = 2**16
_BATCH_ROWS = 2**14
_MOST_THRIFT = 2**24
_PANDAS_INDEX = "__index_level_"


@dataclass(frozen=True)
class Table:
    """A table's columns.

    Attributes:
        source: the file, for messages.
        names: of the columns; None where the first row is numbers already.
        columns: for each name an array ``(N,)``: float64 where every known cell is a number, NaN where unknown; else
            objects, texts and None.
        places: what names each row in a message, ``(N,)``: its line in a text file, else its number from 1.
        unit: ``line`` or ``row``; empty of a table in memory.
    """

    source: str
    names: tuple[str, ...] | None
    columns: tuple[Array, ...]
    places: npt.NDArray[np.int64]
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.places)

    def place(self, row: int) -> str:
        """A row, for a message: ``labels.csv, line 3``."""
        return f"{self.source}, {self.unit or 'row'} {self.places[row]}"

    def numbers(self) -> npt.NDArray[np.float64]:
        """All columns side by side ``(N, J)``.

        Raises:
            ValueError: a column of words; the first of them is named by its line and column.
        """
        for number, column in enumerate(self.columns):
            if is_words(column):
                row = next(row for row, cell in enumerate(column) if cell is not None and cell_number(cell, "") is None)
                called = f" ({self.names[number]})" if self.names else ""
                raise ValueError(
                    f"{self.place(row)}, column {number + 1}{called}: {column[row][:60]!r} is not a number"
                )
        return np.stack(self.columns, axis=1)

    def without(self, numbers: Iterable[int]) -> Table:
        """The table without the columns of these numbers."""
        gone = set(numbers)
        left = [number for number in range(len(self.columns)) if number not in gone]
        names = None if self.names is None else tuple(self.names[number] for number in left)
        return Table(self.source, names, tuple(self.columns[number] for number in left), self.places, self.unit)


def is_words(column: Array) -> bool:
    """Whether a table's column holds texts."""
    return column.dtype == object


def read_table(path: str | Path, texts: Collection[str] = ()) -> Table:
    """The table in a file.

    A CSV file may be separated by commas, semicolons or tabs, with numbers like ``0,5`` where it is not commas; in
    UTF-8, or UTF-16 with its mark. A first row that is not all numbers names the columns. Cells that are empty, or
    ``NA`` or ``NaN``, are unknown. A first column without a name that counts the rows from 0, as pandas writes one, is
    left out. Of a parquet file, columns that hold neither numbers nor texts are left out.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt`` or ``.parquet``.
        texts: columns, in lower case, that hold texts even where all of them look like numbers.

    Raises:
        ValueError: no such file, another suffix, or content that does not parse; the line is named.

    >>> _ = Path("labels.csv").write_text("file;tilt;shape\\na.png;0,5;cube\\nb.png;;ball\\n")
    >>> table = read_table("labels.csv")
    >>> table.names, [column.tolist() for column in table.columns[1:]]
    (('file', 'tilt', 'shape'), [[0.5, nan], ['cube', 'ball']])
    """
    source = Path(path)
    if not source.is_file():
        raise ValueError(f"no file {source}")
    suffix = source.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        hint = "; save the sheet as CSV" if suffix in (".xls", ".xlsx", ".ods") else ""
        raise ValueError(f"{source}: tables are read from {', '.join(TABLE_SUFFIXES)} files{hint}")
    table = _read_parquet(source) if suffix == ".parquet" else _read_csv(source, texts)
    if table.names and not table.names[0] and _counts_rows(table.columns[0]):
        table = table.without([0])
    return table


def _counts_rows(column: Array) -> bool:
    return not is_words(column) and bool(np.array_equal(column, np.arange(len(column))))


def cell_number(cell: str, delimiter: str) -> float | None:
    """A cell's number, NaN for unknown, None for a word.

    >>> cell_number("0,5", ";"), cell_number("cube", ","), cell_number(" 1e-3", ",")
    (0.5, None, 0.001)
    """
    try:
        return float(cell)
    except ValueError:
        if cell.strip().lower() in UNKNOWN:
            return float("nan")
    if delimiter not in ("", ",") and cell.count(",") == 1 and "." not in cell:
        return cell_number(cell.replace(",", "."), ",")
    return None


def _read_csv(path: Path, as_texts: Collection[str]) -> Table:
    dialect = find_dialect(path)
    words: set[int] = set()
    table = _scan(path, dialect, words, as_texts)
    if table is None:  # columns that began with numbers turned out to be words: their cells are needed as they were
        table = _scan(path, dialect, words, as_texts)
    assert table is not None
    return table


def _scan(path: Path, dialect: Dialect, words: set[int], as_texts: Collection[str]) -> Table | None:
    """Read the table, given which columns hold words; adds those found out later, and then returns None."""
    names: tuple[str, ...] | None = None
    width, late = 0, False
    values, lines = array("d"), array("q")  # a row of texts would take ten times the memory
    texts: dict[int, list[str | None]] = {}
    pool: dict[str, str] = {}
    for line, row in read_rows(path, dialect):
        if not any(cell.strip() for cell in row):
            continue
        if not width:
            width = len(row)
            if width > _MOST_COLUMNS:
                raise ValueError(f"{path} has {width} columns; at most {_MOST_COLUMNS} are read")
            if any(cell_number(cell, dialect.delimiter) is None for cell in row):
                names = tuple(cell.strip() for cell in row)
                words.update(column for column, name in enumerate(names) if name.lower() in as_texts)
                continue
        if len(row) != width:
            if names is not None and not lines:
                raise ValueError(f"{path}: the header names {width} columns but rows have {len(row)}")
            raise ValueError(f"{path}, line {line}: expected {width} columns as in the first row, got {len(row)}")
        try:
            numbers = [float(cell) for cell in row]
        except ValueError:
            numbers = []
            for column, cell in enumerate(row):
                number = None if column in words else cell_number(cell, dialect.delimiter)
                if number is None and column not in words:
                    words.add(column)
                    late |= bool(np.isfinite(values[column::width]).any())
                    texts[column] = [None] * len(lines)
                numbers.append(float("nan") if number is None else number)
        if names is None and words:
            column = min(words)
            raise ValueError(f"{path}, line {line}, column {column + 1}: {row[column][:60]!r} is not a number")
        if late:
            continue
        for column in words:
            cell = row[column].strip()
            kept = None if cell.lower() in UNKNOWN else pool.setdefault(cell, cell)
            texts.setdefault(column, []).append(kept)
        values.extend(numbers)
        lines.append(line)
        if len(values) > _MOST_CELLS:
            raise ValueError(f"{path} holds more than {_MOST_CELLS} cells; save numbers as .npy")
    if late:
        return None
    matrix = np.array(values, dtype=np.float64).reshape(len(lines), width)
    columns = [np.array(texts[c], dtype=object) if c in texts else matrix[:, c] for c in range(width)]
    return Table(str(path), names, tuple(columns), np.array(lines, dtype=np.int64))


def parquet_package() -> Any:
    """The package that reads parquet files.

    Raises:
        ValueError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ValueError(
            "parquet files need the package pyarrow: pip install 'contrafact[parquet]'; a CSV file needs nothing"
        ) from error


@contextmanager
def open_parquet(path: Path | str, stream: Any = None) -> Iterator[Any]:
    """A parquet file of any origin, opened: its listing is of a sane size, and whatever goes wrong names the file.

    Args:
        path: the file.
        stream: what gives its bytes, where ``path`` only names it.

    Raises:
        ValueError: no such file, no parquet file, or the package is not installed.
    """
    package = parquet_package()
    failure = importlib.import_module("pyarrow").ArrowException
    limits = {"thrift_string_size_limit": _MOST_THRIFT, "thrift_container_size_limit": _MOST_THRIFT}
    with reading(path, "parquet file"):
        try:
            with package.ParquetFile(path if stream is None else stream, memory_map=False, **limits) as file:
                yield file
        except failure as error:  # some of them are ValueErrors, which say nothing of the file
            raise ValueError(f"{path} is damaged or no parquet file ({first_line(error)}); get it again") from error


def _read_parquet(path: Path) -> Table:
    with open_parquet(path) as file:
        schema, count = file.schema_arrow, file.metadata.num_rows
        kinds = {field.name: _kind(field.type) for field in schema if not field.name.startswith(_PANDAS_INDEX)}
        kept = [name for name, kind in kinds.items() if kind is not None]
        if not kept:
            raise ValueError(f"{path} has no columns of numbers or texts; it has {', '.join(schema.names[:20])}")
        if len(kept) * count > _MOST_CELLS or len(kept) > _MOST_COLUMNS:
            raise ValueError(f"{path} holds {len(kept)} columns of {count} rows; at most {_MOST_CELLS} cells are read")
        parts: dict[str, list[Array]] = {name: [] for name in kept}
        pool: dict[str, str] = {}
        for batch in file.iter_batches(_BATCH_ROWS, columns=kept, use_threads=False):
            for name in kept:
                kind = kinds[name]
                assert kind is not None
                parts[name].append(kind(batch.column(batch.schema.get_field_index(name)), pool))
        columns = tuple(np.concatenate(part) if part else np.zeros(0) for part in parts.values())
        return Table(str(path), tuple(kept), columns, np.arange(1, len(columns[0]) + 1), "row")


def _kind(kind: Any) -> Callable[[Any, dict[str, str]], Array] | None:
    """How a parquet column of this type becomes one of a table's; None for one that cannot."""
    arrow = importlib.import_module("pyarrow")
    types = arrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind) or types.is_decimal(kind):
        return lambda column, _: np.asarray(
            _plain(column).cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
        )
    views = hasattr(types, "is_string_view") and types.is_string_view(kind)  # since pyarrow 16
    if types.is_string(kind) or types.is_large_string(kind) or views or types.is_boolean(kind):
        return _texts
    return None


def _plain(column: Any) -> Any:
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def _texts(column: Any, pool: dict[str, str]) -> Array:
    cells = [None if cell is None else str(cell).strip() for cell in _plain(column).to_pylist()]
    known = [None if cell is None or cell.lower() in UNKNOWN else pool.setdefault(cell, cell) for cell in cells]
    return np.array(known, dtype=object)


def table_of(columns: Mapping[str, Any], source: str, minus_one: bool = False) -> Table:
    """The table of columns in memory; its rows have no lines to name.

    Args:
        columns: by name, of one length: arrays, lists, tensors; None, NaN and masked cells are unknown.
        source: what messages call it.
        minus_one: whether −1 among whole numbers is unknown, too.

    Raises:
        ValueError: columns of several lengths or of more than one dimension.
    """
    made = {name: _as_column(cells, minus_one) for name, cells in columns.items()}
    lengths = {name: len(column) for name, column in made.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in list(lengths.items())[:20])
        raise ValueError(f"{source}: expected columns of one length, got {said}")
    if not made:
        raise ValueError(f"{source}: expected columns, got none")
    count = next(iter(lengths.values()))
    return Table(source, tuple(made), tuple(made.values()), np.arange(count, dtype=np.int64), "")


def _as_column(cells: Any, minus_one: bool) -> Array:
    if hasattr(cells, "detach"):
        cells = cells.detach().cpu().numpy()
    mask = np.ma.getmaskarray(cells) if isinstance(cells, np.ma.MaskedArray) else None
    given = np.asarray(np.ma.getdata(cells)) if mask is not None else np.asarray(cells)
    if isinstance(cells, list | tuple) and given.dtype.kind in "US":
        given = np.array(cells, dtype=object)  # numpy would write None as a word
    if given.ndim != 1:
        raise ValueError(f"expected one cell per image, got a column of shape {given.shape}")
    if given.dtype.kind in "iuf":
        numbers = given.astype(np.float64)
        if minus_one and given.dtype.kind == "i":
            numbers[given == -1] = np.nan
    else:
        objects = [_cell(cell) for cell in given.tolist()]
        if any(isinstance(cell, str) for cell in objects):
            words = [cell if cell is None or isinstance(cell, str) else f"{cell:.15g}" for cell in objects]
            column = np.array(words, dtype=object)
            if mask is not None:
                column[mask] = None
            return column
        numbers = np.array([np.nan if cell is None else cell for cell in objects], dtype=np.float64)
        if minus_one and np.array_equal(numbers, np.round(numbers), equal_nan=True):
            numbers[numbers == -1] = np.nan
    if mask is not None:
        numbers[mask] = np.nan
    return numbers


def _cell(cell: Any) -> str | float | None:
    """A cell as a text, a number, or None for unknown, whatever stands for that (pandas has a thing of its own)."""
    if cell is None or isinstance(cell, bool):
        return None if cell is None else str(cell)
    try:
        if not bool(cell == cell):
            return None
    except TypeError:  # pandas' missing value is neither equal to itself nor not
        return None
    if isinstance(cell, str):
        return None if cell.strip().lower() in UNKNOWN else cell.strip()
    try:
        return float(cell)
    except (TypeError, ValueError):
        return str(cell)
