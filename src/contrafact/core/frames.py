"""Tables of any library, labelled arrays, masks and single columns, as columns of numbers and of words.

Nothing here imports those libraries: a table is told by its looks.

Shape suffixes: N rows, J columns.
"""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from contrafact.core.metric import ArrayLike, BoolArray, as_array, refuse_sparse

Array = npt.NDArray[Any]
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
    if hasattr(values, "collect_schema") and hasattr(values, "collect") and not hasattr(values, "to_numpy"):
        raise ValueError(f"{what} is a {type(values).__name__}, whose rows are not computed yet; pass .collect() of it")
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
        return _of_categorical(name, series.array)
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


def _of_categorical(name: str | None, values: Any) -> Column:
    """A pandas Categorical, its words in its own order; categories of numbers are those numbers."""
    places_N, categories = np.asarray(values.codes), values.categories
    if categories.dtype.kind in "iuf":
        return Column(name, np.append(categories.to_numpy().astype(np.float64), np.nan)[places_N])
    words = tuple(str(word) for word in categories)
    return Column(name, np.where(places_N < 0, np.nan, places_N.astype(np.float64)), words, bool(values.ordered))


def _of_xarray(values: Any, what: str) -> Columns:
    variables = values.data_vars if hasattr(values, "data_vars") else {None: values}
    if not hasattr(values, "coords"):
        raise ValueError(f"{what} is a {type(values).__name__} without coordinates; pass a DataArray or a Dataset")
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
            called = None if called is None else str(called)
            if type(getattr(variable, "dtype", None)).__name__ == "CategoricalDtype":
                columns.append(_of_categorical(called, variable.data))
            else:
                columns.append(_column(called, variable.values, what))
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
    kind = str(getattr(values, "dtype", ""))
    if kind.startswith("Enum(") and hasattr(values.dtype, "categories"):  # as polars has words in an order of their own
        words = tuple(map(str, values.dtype.categories))
        return Column(name, places_among(values.to_list(), words), words, ordered=True)
    if kind in ("Int128", "UInt128"):  # polars' sums of numbers; numpy has no such type
        array = np.array([math.nan if cell is None else cell for cell in values.to_list()], dtype=np.float64)
    elif hasattr(values, "to_numpy"):
        array = np.asarray(values.to_numpy())
    if array is None or array.dtype.kind not in "biufMm":
        # to_numpy of an Arrow column of a dictionary hands out some word where there is none.
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values if array is None else array
        array = as_array(listed)
        if array.dtype.kind not in "biufMm" and not (isinstance(listed, np.ndarray) and array.dtype.kind in "OUST"):
            array = np.array(listed, dtype=object)
    if array.ndim != 1:
        raise ValueError(
            f"{what}: {column_called(name, number)} has shape {array.shape}; a column has one value in each row"
        )
    if array.dtype.kind in "biuf":
        kept = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
        return Column(name, array.astype(kept))
    if array.dtype.kind in "OUST":
        return _of_objects(name, array.astype(object), what, number)
    if array.dtype.kind in "Mm":
        raise ValueError(_dates(what, column_called(name, number)))
    raise ValueError(
        f"{what}: {column_called(name, number)} holds {array.dtype}, neither numbers nor words; leave it out"
    )


def _dates(what: str, which: str) -> str:
    return (
        f"{what}: {which} holds dates or times, which are no factor as they are; turn them into numbers that mean "
        "something (the month, days since the first), or leave the column out"
    )


def column_called(name: str | None, number: int) -> str:
    """A column, for a message: by its name, or by its number where it has none."""
    return f"column {number}" if name is None else f"column {name!r}"


def _of_objects(name: str | None, cells: Array, what: str, number: int = 0) -> Column:
    """Python objects: numbers where all are, else words; None, NaN and pandas' NA are holes."""
    known = [not _is_hole(cell) for cell in cells]
    kinds = {type(cell) for cell, is_known in zip(cells, known, strict=True) if is_known}
    if all(issubclass(kind, _REALS) for kind in kinds):
        filled = [float(cell) if is_known else math.nan for cell, is_known in zip(cells, known, strict=True)]
        return Column(name, np.array(filled))
    strange = next((kind for kind in kinds if not issubclass(kind, (str, bytes, *_REALS))), None)
    if strange is not None:
        if strange.__name__ in ("datetime", "date", "time", "timedelta", "Timestamp", "Timedelta", "Period"):
            raise ValueError(_dates(what, column_called(name, number)))
        raise ValueError(
            f"{what}: {column_called(name, number)} holds values of type {strange.__name__}, neither numbers nor "
            "words; leave it out, or give each part a column"
        )
    texts = [_text(cell) if is_known else None for cell, is_known in zip(cells, known, strict=True)]
    words = tuple(sorted({text for text in texts if text is not None}))
    return Column(name, places_among(texts, words), words)


def _is_hole(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, _REALS) and bool(cell != cell)


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)


def places_among(texts: Sequence[str | None], words: Sequence[str]) -> Array:
    """The place of each text among the words ``(N,)``, NaN for None."""
    place = {word: float(number) for number, word in enumerate(words)}
    return np.array([math.nan if text is None else place[text] for text in texts])
