"""Codes and factors in the forms people have them: tables of any library, labelled arrays, masks, single columns.

Nothing here imports those libraries: a table is told by its looks. What comes out is matrices of numbers, the names of
their columns, and what a reader of a score must be told: which words became which numbers, which rows were left out.

Shape suffixes: N rows, J code columns, K factor columns.
"""

from __future__ import annotations

import importlib
import math
import numbers
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import ArrayLike, BoolArray, as_array, refuse_sparse

Array = npt.NDArray[Any]
Missing = Literal["rows", "pairs", "refuse"]
MISSING = ("rows", "pairs", "refuse")
_SHOWN = 6
_REALS = (numbers.Real, Decimal, np.bool_)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as the table has it; None where it has none.
        values: ``(N,)`` numbers, NaN where nothing is known; for words their places in ``words``.
        words: what the numbers stand for; None for a column of numbers.
        ordered: the words have an order of their own.
    """

    name: str | None
    values: Array
    words: tuple[str, ...] | None = None
    ordered: bool = False

    @property
    def is_continuous(self) -> bool:
        """Whether it holds a number that is not whole."""
        known_N = self.values[np.isfinite(self.values)]
        return self.words is None and bool((known_N != np.round(known_N)).any())

    def cells(self) -> Array:
        """The numbers, or the words as they were ``(N,)``, None where nothing is known."""
        if self.words is None:
            return self.values
        placed = [None if math.isnan(place) else self.words[int(place)] for place in self.values.tolist()]
        return np.array(placed, dtype=object)


@dataclass(frozen=True)
class Columns:
    """A table: columns of equal length.

    Attributes:
        columns: J of them.
        labels: what names the rows ``(N,)``, where the table says so.
        plain: an array of numbers with no hole and no name, which metrics read as it came.
    """

    columns: tuple[Column, ...]
    labels: Array | None = None
    plain: Array | None = None

    def __len__(self) -> int:
        return len(self.columns[0].values)

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns, where they have any."""
        named = [column.name for column in self.columns]
        return None if None in named else tuple(str(name) for name in named)

    def matrix(self) -> Array:
        """All columns side by side ``(N, J)``, in single precision where every one came so."""
        return np.stack([column.values for column in self.columns], axis=1) if self.plain is None else self.plain

    def rows(self, chosen: Array) -> Columns:
        """Some of the rows, by number or truth value."""
        kept = tuple(replace(column, values=column.values[chosen]) for column in self.columns)
        return Columns(kept, None if self.labels is None else self.labels[chosen])

    def texts(self, name: str) -> list[str]:
        """The cells of the column of that name, as texts; empty where nothing is known.

        Raises:
            ValueError: no such column.

        >>> columns_of({"file": ["a.png", None], "size": [1, 2.5]}, "codes").texts("size")
        ['1', '2.5']
        """
        column = next((column for column in self.columns if column.name == name), None)
        if column is None:
            raise ValueError(f"no column {name!r}; there are {', '.join(self.names or ()) or 'none with a name'}")
        if column.words is None:
            return ["" if math.isnan(value) else f"{value:.15g}" for value in column.values.tolist()]
        return [cell or "" for cell in column.cells()]

    def without(self, names: Sequence[str]) -> Columns:
        """Columns of other names."""
        return Columns(tuple(column for column in self.columns if column.name not in names), self.labels)


TableLike: TypeAlias = ArrayLike | Mapping[str, Any] | Columns
"""An array, tensor or table of any library (told by its looks), or a mapping of columns."""


@dataclass(frozen=True)
class Inputs:
    """What metrics are given, and what is said of it.

    Attributes:
        codes: ``(N, J)``.
        factors: ``(N, K)`` or None.
        codes_test: ``(M, J)`` or None.
        factors_test: ``(M, K)`` or None.
        code_names: J names, where the codes have them.
        factor_names: K names.
        continuous: for each factor, whether it is a measurement; None where the input does not say.
        notes: what was done to the input.
    """

    codes: Any
    factors: Any = None
    codes_test: Any = None
    factors_test: Any = None
    code_names: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    continuous: tuple[bool, ...] | None = None
    notes: tuple[str, ...] = field(default=())

    def named(self, text: str) -> str:
        """A message about columns by number, with their names where they have any."""
        return with_names(text, self.code_names, self.factor_names)


def columns_of(values: Any, what: str) -> Columns:
    """Any table or array as columns of numbers and words.

    Args:
        values: a table (pandas, polars, pyarrow or alike, a mapping of columns, a structured array), a column of one,
            an xarray DataArray or Dataset, a masked array, an array or tensor of one or two dimensions, nested lists.
        what: what messages call it.

    Raises:
        ValueError: none of these, more than two dimensions, or a column of dates or of things that are neither numbers
            nor words; it is named.

    >>> columns_of({"hue": ["red", None, "blue"], "size": [1, 2, 3]}, "factors").columns[0].values.tolist()
    [1.0, nan, 0.0]
    """
    if isinstance(values, Columns):
        return values
    refuse_sparse(values, what)
    family = type(values).__module__.partition(".")[0]
    if family == "xarray":
        return _of_xarray(values, what)
    if family == "pandas" and hasattr(values, "index"):
        return _of_pandas(values, what)
    names = getattr(getattr(values, "dtype", None), "names", None)
    if isinstance(values, Mapping) or names:
        found = {str(name): values[name] for name in (names or values)}
        return _named(found, what)
    if hasattr(values, "column_names") or (hasattr(values, "columns") and hasattr(values, "schema")):
        listed = values.column_names if hasattr(values, "column_names") else values.columns
        return _named({str(name): values[name] for name in listed}, what)
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__dataframe__"):
        if hasattr(values, "to_numpy") and not hasattr(values, "__dataframe__"):  # a column of a table
            return Columns((_column(getattr(values, "name", None) or None, values, what),))
        return columns_of(_through_arrow(values, what), what)
    return _of_array(values, what)


def _through_arrow(values: Any, what: str) -> Any:
    try:
        arrow = importlib.import_module("pyarrow")
    except ImportError as error:
        raise ValueError(
            f"{what} is a {type(values).__name__}, which is read by the package pyarrow: pip install pyarrow, or pass "
            "the values as an array"
        ) from error
    if hasattr(values, "__arrow_c_stream__"):
        return arrow.table(values)
    return importlib.import_module("pyarrow.interchange").from_dataframe(values)


def _named(columns: Mapping[str, Any], what: str) -> Columns:
    if not columns:
        raise ValueError(f"{what} has no columns")
    found = Columns(tuple(_column(name, values, what) for name, values in columns.items()))
    sizes = {name: len(column.values) for name, column in zip(columns, found.columns, strict=True)}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in list(sizes.items())[:_SHOWN])
        raise ValueError(f"{what} has columns of different lengths: {listed}; make them equal")
    return found


def _of_pandas(values: Any, what: str) -> Columns:
    index = values.index
    labels = None if type(index).__name__ == "RangeIndex" else np.asarray(index.to_numpy(dtype=object))
    if values.ndim == 1:
        name = values.name
        return Columns((_of_series(None if name is None else str(name), values, what),), labels)
    if not values.shape[1]:
        raise ValueError(f"{what} has no columns")
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in values.columns]
    found = tuple(_of_series(name, values.iloc[:, number], what) for number, name in enumerate(names))
    return Columns(found, labels)


def _of_series(name: str | None, series: Any, what: str) -> Column:
    if type(series.dtype).__name__ == "CategoricalDtype":
        places = series.cat.codes.to_numpy().astype(np.float64)
        places[places < 0] = np.nan
        words = tuple(str(word) for word in series.cat.categories)
        if series.cat.categories.dtype.kind in "iuf":  # categories of numbers are those numbers
            table = np.append(series.cat.categories.to_numpy().astype(np.float64), np.nan)
            return Column(name, table[series.cat.codes.to_numpy()])
        return Column(name, places, words, bool(series.cat.ordered))
    kind = getattr(series.dtype, "kind", "O")
    if kind in "biuf":
        single = str(series.dtype).lower() == "float32"
        kept = np.float32 if single else np.float64
        return Column(name, np.asarray(series.to_numpy(dtype=kept, na_value=np.nan)))
    if kind in "OUST":
        cells = np.array(series.to_numpy(dtype=object))  # a copy: what pandas hands out is its own
        cells[series.isna().to_numpy()] = None
        return _of_objects(name, cells, what)
    return _column(name, series.to_numpy(), what)


def _of_xarray(values: Any, what: str) -> Columns:
    variables = values.data_vars if hasattr(values, "data_vars") else {None: values}
    columns: list[Column] = []
    labels: Array | None = None
    for name, variable in variables.items():
        if variable.ndim not in (1, 2):
            raise ValueError(
                f"{what}: {name or 'the array'} has the dimensions {', '.join(map(str, variable.dims))}; expected one "
                "for rows and at most one for columns (stack the others)"
            )
        rows = variable.dims[0]
        if rows in variable.coords:
            labels = np.asarray(variable.coords[rows].values, dtype=object)
        if variable.ndim == 1:
            called = name if name is not None else variable.name
            columns.append(_column(None if called is None else str(called), variable.values, what))
            continue
        across = variable.dims[1]
        known = variable.coords[across].values if across in variable.coords else range(variable.shape[1])
        bare = across in variable.coords
        for number, place in enumerate(known):
            own = str(place) if bare else f"{across} {place}"
            called = own if name is None else f"{name} {own}"
            columns.append(_column(called, variable.values[:, number], what))
    if not columns:
        raise ValueError(f"{what} has no variables")
    if len({len(column.values) for column in columns}) > 1:
        raise ValueError(f"{what} has variables of different lengths; select those of one dimension")
    return Columns(tuple(columns), labels)


def _of_array(values: Any, what: str) -> Columns:
    hole: BoolArray | None = None
    if isinstance(values, np.ma.MaskedArray):
        hole = np.ma.getmaskarray(values)
        values = values.data
    array = as_array(values)
    if array.ndim not in (1, 2):
        raise ValueError(f"{what} must have shape (N, columns), one row per image; got {array.shape}")
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):  # numbers beside words were made words
        array = np.array(values, dtype=object)
    if array.ndim == 1:
        array = array[:, None]
        hole = None if hole is None else hole[:, None]
    if hole is not None and hole.any():
        if array.dtype.kind in "biuf":
            array = array.astype(array.dtype if array.dtype == np.float32 else np.float64)
            array[hole] = np.nan
        else:
            array = array.astype(object)
            array[hole] = None
    elif array.dtype.kind in "biuf":
        return Columns(tuple(Column(None, column) for column in array.T), plain=array)
    return Columns(tuple(_column(None, column, what, number) for number, column in enumerate(array.T)))


def _column(name: str | None, values: Any, what: str, number: int = 0) -> Column:
    """A column of any library's: its values as numbers, or as places among words."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        return replace(_of_array(values, what).columns[0], name=name)
    array = None
    if hasattr(values, "to_numpy"):
        array = np.asarray(values.to_numpy())
    if array is None or array.dtype.kind not in "biufMm":
        # to_numpy of an Arrow column of a dictionary hands out some word where there is none.
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values if array is None else array
        array = as_array(listed)
        if array.dtype.kind not in "biufMm" and not (isinstance(listed, np.ndarray) and array.dtype.kind in "OUST"):
            array = np.array(listed, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"{what}: {_which(name, number)} has shape {array.shape}; a column has one value in each row")
    if array.dtype.kind in "biuf":
        kept = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
        return Column(name, array.astype(kept))
    if array.dtype.kind in "OUST":
        return _of_objects(name, array.astype(object), what, number)
    if array.dtype.kind in "Mm":
        raise ValueError(_dates(what, _which(name, number)))
    raise ValueError(f"{what}: {_which(name, number)} holds {array.dtype}, neither numbers nor words; leave it out")


def _dates(what: str, which: str) -> str:
    return (
        f"{what}: {which} holds dates or times, which are no factor as they are; turn them into numbers that mean "
        "something (the month, days since the first), or leave the column out"
    )


def _which(name: str | None, number: int) -> str:
    return f"column {number}" if name is None else f"column {name!r}"


def _of_objects(name: str | None, cells: Array, what: str, number: int = 0) -> Column:
    """Python objects: numbers where all are, else words; None, NaN and pandas' NA are holes."""
    known = [not (cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType")) for cell in cells]
    kinds = {type(cell) for cell, is_known in zip(cells, known, strict=True) if is_known}
    if all(issubclass(kind, _REALS) for kind in kinds):
        filled = [float(cell) if is_known else math.nan for cell, is_known in zip(cells, known, strict=True)]
        return Column(name, np.array(filled))
    strange = next((kind for kind in kinds if not issubclass(kind, (str, bytes, *_REALS))), None)
    if strange is not None:
        if strange.__name__ in ("datetime", "date", "time", "timedelta", "Timestamp", "Timedelta", "Period"):
            raise ValueError(_dates(what, _which(name, number)))
        raise ValueError(
            f"{what}: {_which(name, number)} holds values of type {strange.__name__}, neither numbers nor words; leave "
            "it out, or give each part a column"
        )
    texts = [_text(cell) if is_known else None for cell, is_known in zip(cells, known, strict=True)]
    words = tuple(sorted({text for text in texts if text is not None}))
    return Column(name, _places(texts, words), words)


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)


def _places(texts: Sequence[str | None], words: Sequence[str]) -> Array:
    place = {word: float(number) for number, word in enumerate(words)}
    return np.array([math.nan if text is None else place[text] for text in texts])


def needs_reading(values: Any) -> bool:
    """Whether an input is anything else than a matrix of numbers without holes, which metrics read themselves."""
    if values is None:
        return False
    if hasattr(values, "detach"):
        return getattr(values, "ndim", 2) == 1
    if isinstance(values, np.ma.MaskedArray):
        return values.ndim == 1 or bool(np.ma.getmaskarray(values).any())
    if isinstance(values, np.ndarray):
        return values.ndim == 1 or values.dtype.kind in "OUSTMm" or values.dtype.names is not None
    if isinstance(values, list | tuple):
        try:
            array = np.asarray(values)
        except ValueError:  # rows of different lengths: metrics say so
            return False
        return array.ndim == 1 or array.dtype.kind in "OUSTMm"
    return True


def read_inputs(
    codes: Any,
    factors: Any = None,
    codes_test: Any = None,
    factors_test: Any = None,
    *,
    missing: Missing = "rows",
    identifier: str | Sequence[str] = (),
) -> Inputs:
    """Codes and factors of any form as what metrics take.

    Args:
        codes: ``(N, J)``, anything :func:`columns_of` takes; columns of numbers.
        factors: ``(N, K)``; columns of numbers or words.
        codes_test: held-out codes; columns that are named are put into the codes' order.
        factors_test: their factors.
        missing: what becomes of rows where a value is not known: ``rows`` leaves them out, ``refuse`` says where they
            are, ``pairs`` hands out masked arrays, for metrics that look at one code and one factor at a time.
        identifier: names of columns that say which image a row is of. They are no codes and no factors; rows are
            matched by the first that both tables have.

    Raises:
        ValueError: what :func:`columns_of` refuses, words among codes, a value that is not known where that is refused,
            nothing left, rows that cannot be matched, or held-out columns of other names.

    >>> inputs = read_inputs({"z": [0.5, 1.5, None]}, {"hue": ["red", "blue", "red"]})
    >>> inputs.codes.tolist(), inputs.factors.tolist(), inputs.factor_names
    ([[0.5], [1.5]], [[1.0], [0.0]], ('hue',))
    """
    if missing not in MISSING:
        raise ValueError(f"missing must be 'rows', 'pairs' or 'refuse', got {missing!r}")
    given = {"codes": codes, "factors": factors, "codes_test": codes_test, "factors_test": factors_test}
    if not any(needs_reading(values) for values in given.values()) and not identifier:
        return Inputs(codes, factors, codes_test, factors_test)
    tables = {what: columns_of(values, what) for what, values in given.items() if values is not None}
    keys = (identifier,) if isinstance(identifier, str) else tuple(identifier)
    notes: list[str] = []
    for first, second in (("codes", "factors"), ("codes_test", "factors_test")):
        if first in tables and second in tables:
            tables[first], tables[second] = _matched(tables[first], tables[second], keys, first, second, notes)
    tables = {what: _without_keys(table, keys, what) for what, table in tables.items()}
    for what in ("codes", "codes_test"):
        if what in tables:
            _refuse_words(tables[what], what)
    for first, second in (("codes", "codes_test"), ("factors", "factors_test")):
        if second in tables:
            tables[first], tables[second] = _alike(tables[first], tables[second], first, second)
    if "factors" in tables:
        notes += _said_of_words(tables["factors"])
    typed = "factors" in tables and tables["factors"].plain is None
    for first, second in (("codes", "factors"), ("codes_test", "factors_test")):
        if first in tables:
            together = [what for what in (first, second) if what in tables]
            tables |= _known_rows({what: tables[what] for what in together}, missing, notes)
    matrices = {what: _handed_out(table, missing) for what, table in tables.items()}
    # A column that is not whole on either side is a measurement.
    columns = [tables[what].columns for what in ("factors", "factors_test") if what in tables]
    continuous = tuple(any(column.is_continuous for column in pair) for pair in zip(*columns, strict=False))
    return Inputs(
        matrices["codes"],
        matrices.get("factors"),
        matrices.get("codes_test"),
        matrices.get("factors_test"),
        tables["codes"].names,
        tables["factors"].names if "factors" in tables else None,
        continuous if typed else None,
        tuple(notes),
    )


def _handed_out(table: Columns, missing: Missing) -> Array:
    matrix = table.matrix()
    if missing == "pairs" and matrix.dtype.kind == "f" and (hole := np.isnan(matrix)).any():
        return np.ma.masked_array(np.where(hole, 0.0, matrix).astype(matrix.dtype), hole)
    return matrix


def _without_keys(table: Columns, keys: Sequence[str], what: str) -> Columns:
    if not keys or table.names is None or not set(keys) & set(table.names):
        return table
    rest = table.without(keys)
    if not rest.columns:
        raise ValueError(f"{what} has no columns beside {', '.join(table.names)}, which name rows")
    return rest


def _refuse_words(table: Columns, what: str) -> None:
    for number, column in enumerate(table.columns):
        if column.words is not None:
            shown = ", ".join(map(repr, column.words[:3]))
            raise ValueError(
                f"{what} must be numbers: {_which(column.name, number)} holds words ({shown}); leave it out, "
                f"or, if it says which image a row is of, name it as the id (id={column.name!r}, --id {column.name})"
            )


def _alike(first: Columns, second: Columns, what: str, what_test: str) -> tuple[Columns, Columns]:
    """Held-out columns in the order of the others, and words numbered alike on both sides."""
    if first.names and second.names and first.names != second.names:
        if set(first.names) != set(second.names):
            odd = sorted(set(first.names) ^ set(second.names))
            raise ValueError(f"{what} and {what_test} have different columns ({', '.join(odd[:_SHOWN])}); use the same")
        placed = {column.name: column for column in second.columns}
        second = Columns(tuple(placed[name] for name in first.names), second.labels)
    if len(first.columns) != len(second.columns):
        return first, second  # metrics say how many each has
    pairs = [_same_words(a, b) for a, b in zip(first.columns, second.columns, strict=True)]
    if all(a.words is None for a, _ in pairs):
        return first, second
    return Columns(tuple(a for a, _ in pairs), first.labels), Columns(tuple(b for _, b in pairs), second.labels)


def _same_words(first: Column, second: Column) -> tuple[Column, Column]:
    if first.words == second.words:
        return first, second
    mine, others = _as_words(first), _as_words(second)
    assert mine.words is not None
    assert others.words is not None
    held = set(mine.words)
    new = [word for word in others.words if word not in held]
    words = (*mine.words, *new) if first.ordered else tuple(sorted((*mine.words, *new)))
    return _renumbered(mine, words), _renumbered(others, words)


def _as_words(column: Column) -> Column:
    """A column of numbers as words: the other side's holds some."""
    if column.words is not None:
        return column
    texts = [None if math.isnan(value) else f"{value:.15g}" for value in column.values.tolist()]
    words = tuple(sorted({text for text in texts if text is not None}))
    return Column(column.name, _places(texts, words), words)


def _renumbered(column: Column, words: tuple[str, ...]) -> Column:
    assert column.words is not None
    number = {word: place for place, word in enumerate(words)}
    place = np.array([*(number[word] for word in column.words), math.nan])
    known = np.where(np.isnan(column.values), len(place) - 1, column.values).astype(np.int64)
    return replace(column, values=place[known], words=words)


def _said_of_words(table: Columns) -> list[str]:
    notes = []
    for number, column in enumerate(table.columns):
        if column.words is not None:
            shown = ", ".join(column.words[:3]) + ", …" * (len(column.words) > 3)
            order = "the order of its categories" if column.ordered else "alphabetical order"
            notes.append(f"{_which(column.name, number)} of the factors holds words, numbered in {order}: {shown}")
    return notes


def _matched(
    first: Columns, second: Columns, keys: Sequence[str], what: str, other: str, notes: list[str]
) -> tuple[Columns, Columns]:
    """Both tables with their rows in the same order, where something says which row is which."""
    names = [set(table.names or ()) for table in (first, second)]
    unknown = [key for key in keys if key not in names[0] | names[1]]
    if unknown:
        known = ", ".join(sorted(names[0] | names[1])[:20]) or "none"
        raise ValueError(f"no column {unknown[0]!r} in {what} or {other}; their columns: {known}")
    shared = next((key for key in keys if key in names[0] & names[1]), None)
    if shared is not None:
        mine, theirs = first.texts(shared), second.texts(shared)
        return first, second.rows(_order(mine, theirs, f"column {shared!r}", what, other))
    if len(first) != len(second) or first.labels is None or second.labels is None:
        return first, second
    # Indexes that are the same rows in another order are matched; others say nothing of the order.
    mine, theirs = ([str(label) for label in table.labels] for table in (first, second))  # type: ignore[union-attr]
    if mine == theirs or len(set(mine)) < len(mine) or set(mine) != set(theirs):
        return first, second
    notes.append(f"rows of {other} were put into the order of {what} by their index")
    return first, second.rows(_order(mine, theirs, "the index", what, other))


def _order(mine: Sequence[str], theirs: Sequence[str], key: str, what: str, other: str) -> Array:
    """For each of my rows the number of theirs."""
    place = {label: row for row, label in enumerate(theirs)}
    for labels, whose in ((mine, what), (theirs, other)):
        twice = next((label for label, times in Counter(labels).items() if times > 1), None)
        if twice is not None:
            raise ValueError(f"{key} of {whose} has {twice!r} more than once; rows cannot be matched by it")
    lacking = [label for label in mine if label not in place]
    if lacking:
        raise ValueError(f"{len(lacking)} rows of {what} are not in {other} by {key}, the first {lacking[0]!r}")
    return np.array([place[label] for label in mine], dtype=np.int64)


def _known_rows(tables: dict[str, Columns], missing: Missing, notes: list[str]) -> dict[str, Columns]:
    """The tables without the rows in which a value is not known, and a note of it."""
    if len({len(table) for table in tables.values()}) > 1 or all(table.plain is not None for table in tables.values()):
        return tables
    holes: dict[str, BoolArray] = {}
    for what, table in tables.items():
        if table.plain is not None:
            continue
        for number, column in enumerate(table.columns):
            hole_N = np.isnan(column.values)
            if hole_N.any():
                single = what.removesuffix("_test").removesuffix("s")
                holes[column.name or f"{single} {number}"] = hole_N
    if not holes:
        return tables
    bad_N = np.logical_or.reduce(list(holes.values()))
    most = sorted(holes.items(), key=lambda item: -int(item[1].sum()))
    where = ", ".join(f"{name} {int(hole_N.sum())}" for name, hole_N in most[:_SHOWN]) + ", …" * (len(most) > _SHOWN)
    what = " and ".join(tables)
    if missing == "refuse":
        raise ValueError(
            f"{int(bad_N.sum())} of {len(bad_N)} rows of {what} have missing values ({where}), the first row "
            f"{int(np.argmax(bad_N))}; fill them in, or let them be left out (missing='rows')"
        )
    if missing == "pairs":
        notes.append(
            f"{int(bad_N.sum())} of {len(bad_N)} rows of {what} have missing values ({where}): each code and factor "
            "were compared on the rows that have both (pairwise deletion)"
        )
        return tables
    if bad_N.all():
        raise ValueError(f"every row of {what} has a missing value ({where}); leave out the columns with most")
    count = int(bad_N.sum())
    notes.append(
        f"{count} of {len(bad_N)} rows of {what} were left out for missing values ({where}): row-wise deletion"
    )
    return {what: table.rows(~bad_N) for what, table in tables.items()}


def fill_gaps(values: Any) -> tuple[Any, BoolArray | None]:
    """A masked array with each hole filled by some value of its column, which changes no range, and where they are.

    Raises:
        ValueError: a column that is masked throughout.
    """
    if not isinstance(values, np.ma.MaskedArray) or values.ndim != 2 or not np.ma.getmaskarray(values).any():
        return values, None
    hole_NJ = np.ma.getmaskarray(values)
    if (empty_J := hole_NJ.all(axis=0)).any():
        raise ValueError(f"column {int(np.argmax(empty_J))} is masked throughout; leave it out")
    known_J = values.data[(~hole_NJ).argmax(axis=0), np.arange(values.shape[1])]
    return np.where(hole_NJ, known_J, values.data), hole_NJ


def with_names(text: str, code_names: Sequence[str] | None, factor_names: Sequence[str] | None) -> str:
    """A message about columns by number, with the columns' names.

    >>> with_names("factor 1 is constant (always 3)", None, ("hue", "size"))
    "factor 1 ('size') is constant (always 3)"
    >>> with_names("codes [0, 2] move less than the widest", ("a", "b", "c"), None)
    "codes ['a', 'c'] move less than the widest"
    """
    of_column = code_names if text.startswith("codes") else factor_names

    def named(match: re.Match[str]) -> str:
        names = factor_names if match[1] == "factor" else code_names if match[1] == "code" else of_column
        number = int(match[2])
        return f"{match[0]} ({names[number]!r})" if names and number < len(names) else match[0]

    def listed(match: re.Match[str]) -> str:
        names = factor_names if match[1] == "factors" else code_names
        numbers = [int(number) for number in match[2].split(", ")]
        return f"{match[1]} {[names[n] for n in numbers]}" if names and max(numbers) < len(names) else match[0]

    text = re.sub(r"\b(factor|code|column) (\d+)\b", named, text)
    return re.sub(r"\b(factors|codes) \[(\d+(?:, \d+)*)\]", listed, text)
