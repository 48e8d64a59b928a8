"""Annotations from a table: which image each row is of, and what its columns say of the images.

Shape suffixes: N images, M annotated images, K factors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.annotations import UNKNOWN, FewLabels, IntArray, own_labels, why_useless
from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import ImageDataset
from contrafact.core.decoding import shown_name
from contrafact.core.frames import Columns, columns_of
from contrafact.core.table import FILE_COLUMNS, INDEX_COLUMN, Table, is_words, table_of

_MOST_NAMED, _LONGEST_NUMBER = 10, 16


def labels_of_table(
    table: Table,
    dataset: ImageDataset,
    scheme: tuple[tuple[str, ...], tuple[int, ...]] | None,
    factors: Sequence[str] | None,
) -> FewLabels:
    """Annotations of a dataset's images.

    A column ``file`` names each row's picture as it lies in the folder, or by its last part where that is unique, with
    or without its ending; a column ``index`` gives its number. A table in memory needs neither where it has a row for
    every image. The other columns are factors. Where all of them are factors that the dataset itself knows, they take
    its values; else :func:`~contrafact.core.annotations.own_labels` says which values they have.

    Args:
        table: the annotations.
        dataset: the images.
        scheme: names and sizes of the dataset's own factors, or of its class, if it knows any.
        factors: names of the columns to take; all by default.

    Raises:
        ValueError: no such columns, no row that is of an image, an image in two rows, or values out of range.
    """
    names = _names(table)
    key = next((n for n, name in enumerate(names) if name.lower() in (*FILE_COLUMNS, INDEX_COLUMN)), None)
    rows, indices = _rows_of_images(table, key, dataset)
    wanted = _wanted(table, names, key, factors)
    _refuse_twice(table, rows, indices)
    _refuse_infinite(table, wanted)
    columns = {name: table.columns[number][rows] for name, number in wanted.items()}
    known = np.zeros(len(rows), dtype=bool)
    for column in columns.values():
        known |= np.array([cell is not None for cell in column]) if is_words(column) else ~np.isnan(column)
    columns = {name: column[known] for name, column in columns.items()}
    rows, indices = rows[known], indices[known]
    if scheme is not None and set(columns) <= set(scheme[0]):
        return _as_known(table, dataset, scheme, columns, rows, indices)
    if factors is None:
        columns = _useful(table, columns)
    if not columns:
        raise ValueError(f"{table.source} has no column of which something can be learned; it has {', '.join(names)}")
    return own_labels(indices, columns, table.source)


def _names(table: Table) -> tuple[str, ...]:
    if table.names is None:
        raise ValueError(
            f"{table.source}: expected a first row of names, {FILE_COLUMNS[0]} or {INDEX_COLUMN} and a column per "
            "factor"
        )
    twice = {name for name in table.names if table.names.count(name) > 1}
    if twice:
        raise ValueError(f"{table.source} has several columns called {min(twice)!r}; give each a name of its own")
    return table.names


def _wanted(table: Table, names: Sequence[str], key: int | None, factors: Sequence[str] | None) -> dict[str, int]:
    """The columns that are factors, by name."""
    others = {
        name: number
        for number, name in enumerate(names)
        if number != key and name and (name.lower() != INDEX_COLUMN or factors)
    }
    if factors:
        spoken = {name.replace(" ", "-"): name for name in others}
        for name in factors:
            if name.replace(" ", "-") not in spoken:
                raise ValueError(unknown_name_message(f"column of {table.source}", name, list(spoken)))
        return {spoken[name.replace(" ", "-")]: others[spoken[name.replace(" ", "-")]] for name in factors}
    if not others:
        raise ValueError(f"{table.source} has no column beside {', '.join(names)}; expected one per factor")
    return others


def _useful(table: Table, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The columns of which something can be learned; a warning names the others."""
    reasons = {name: why for name, column in columns.items() if (why := why_useless(column)) is not None}
    if reasons and len(reasons) < len(columns):
        said = "; ".join(f"{name!r} {why}" for name, why in list(reasons.items())[:_MOST_NAMED])
        more = f"; and {len(reasons) - _MOST_NAMED} more" if len(reasons) > _MOST_NAMED else ""
        warnings.warn(f"{table.source}: left out columns of no use as labels: {said}{more}", stacklevel=5)
        return {name: column for name, column in columns.items() if name not in reasons}
    return dict(columns)


def _rows_of_images(table: Table, key: int | None, dataset: ImageDataset) -> tuple[IntArray, IntArray]:
    """Rows that are of images, and of which ones."""
    if not len(table):
        raise ValueError(f"{table.source} has a first row of names and nothing below it")
    if key is None:
        if not table.unit and len(table) == len(dataset):
            return np.arange(len(table)), np.arange(len(table))
        needed = f"a column {INDEX_COLUMN!r}"
        if dataset.file_names is not None:
            needed = f"a column {FILE_COLUMNS[0]!r} or {INDEX_COLUMN!r}"
        known = f", or a row for each of the {len(dataset)} images" if not table.unit else ""
        raise ValueError(
            f"{table.source}: expected {needed} that says which image each row is of{known}; got the columns "
            f"{', '.join(_names(table)[:20])} and {len(table)} rows"
        )
    column = table.columns[key]
    name = _names(table)[key]
    if name.lower() == INDEX_COLUMN:
        return np.arange(len(table)), _checked_numbers(table, column, dataset)
    cells = [_text(cell) for cell in column]
    if dataset.file_names is None:
        if all(cell is not None and cell.isdecimal() and len(cell) < _LONGEST_NUMBER for cell in cells):
            return np.arange(len(table)), _checked_numbers(table, np.array([float(str(c)) for c in cells]), dataset)
        raise ValueError(
            f"{table.source} names its images by {name!r}, but those of {dataset.name} have no file names; give a "
            f"column {INDEX_COLUMN!r} with their numbers, from 0 to {len(dataset) - 1}"
        )
    found = _Names(dataset.file_names)
    places = np.array([found.place(cell) for cell in cells], dtype=np.int64)
    if (places == _Names.SEVERAL).any():
        row = int(np.argmax(places == _Names.SEVERAL))
        raise ValueError(
            f"{table.place(row)}: several pictures are called {cells[row]!r}; name each with its folder, such as "
            f"{shown_name(found.example(str(cells[row])))}"
        )
    lost = np.flatnonzero(places == _Names.NONE)
    if len(lost):
        listed = ", ".join(repr(cells[row]) for row in lost[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        said = f"{table.source}: {len(lost)} of {len(table)} rows name no picture of {dataset.source}: {listed}{more}"
        if len(lost) == len(table):
            first = shown_name(dataset.file_names[0])
            raise ValueError(f"{said}; its pictures are called like {first}")
        warnings.warn(f"{said}; they are left out", stacklevel=5)
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]


def _text(cell: Any) -> str | None:
    """A cell of a column of names; those that look like numbers were read as such."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    return cell if isinstance(cell, str) else f"{cell:.15g}"


def _checked_numbers(table: Table, column: npt.NDArray[Any], dataset: ImageDataset) -> IntArray:
    for row, cell in enumerate(column):
        if is_words(column) or not 0 <= cell < len(dataset) or cell != int(cell):  # NaN is not less than anything
            shown = repr(_text(cell)) if cell == cell and cell is not None else "nothing"
            raise ValueError(
                f"{table.place(row)}: {INDEX_COLUMN} must be an image's number, from 0 to {len(dataset) - 1}; got "
                f"{shown[:40]}"
            )
    return np.asarray(column).astype(np.int64)


def _refuse_twice(table: Table, rows: IntArray, indices: IntArray) -> None:
    order = np.argsort(indices, kind="stable")
    again = np.flatnonzero(np.diff(indices[order]) == 0)
    if len(again):
        first, second = rows[order[again[0]]], rows[order[again[0] + 1]]
        more = f", and {len(again) - 1} more are" if len(again) > 1 else ""
        raise ValueError(
            f"{table.place(second)}: image {indices[order[again[0]]]} is annotated twice (before in "
            f"{table.unit or 'row'} {table.places[first]}){more}; give every image once"
        )


def _refuse_infinite(table: Table, wanted: Mapping[str, int]) -> None:
    for name, number in wanted.items():
        column = table.columns[number]
        if not is_words(column) and np.isinf(column).any():
            row = int(np.argmax(np.isinf(column)))
            raise ValueError(f"{table.place(row)}: {name!r} is infinite; write a number, or leave the cell empty")


def _as_known(
    table: Table,
    dataset: ImageDataset,
    scheme: tuple[tuple[str, ...], tuple[int, ...]],
    columns: Mapping[str, npt.NDArray[Any]],
    rows: IntArray,
    indices: IntArray,
) -> FewLabels:
    """Annotations by the dataset's own factors."""
    order = np.argsort(indices, kind="stable")
    names = tuple(name for name in columns)
    sizes = tuple(scheme[1][scheme[0].index(name)] for name in names)
    values = np.full((len(rows), len(names)), UNKNOWN, dtype=np.int64)
    for k, (name, size) in enumerate(zip(names, sizes, strict=True)):
        called = {label: value for value, label in enumerate(dataset.class_names)} if len(scheme[0]) == 1 else {}
        for place, cell in enumerate(columns[name]):
            if cell is None or cell != cell:
                continue
            value = called.get(_text(cell) or "", cell)
            if isinstance(value, str) and value.isdecimal() and len(value) < _LONGEST_NUMBER:
                value = int(value)
            if isinstance(value, str) or value != int(value) or not 0 <= value < size:
                among = f", or {', '.join(list(called)[:20])}" if called else ""
                raise ValueError(
                    f"{table.place(int(rows[place]))}: factor {name!r} of {dataset.name} takes values 0 to "
                    f"{size - 1}{among}; got {_text(cell)!r:.60}"
                )
            values[place, k] = int(value)
    named = (tuple(dataset.class_names),) if len(scheme[0]) == 1 and dataset.class_names else ()
    return FewLabels(indices[order], values[order], names, sizes, table.source, named)


class _Names:
    """Finds a dataset's image by what a table calls its file.

    Args:
        names: of all images' files.
    """

    NONE, SEVERAL = -1, -2

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._whole = {name: place for place, name in enumerate(names)}
        self._shorter: list[dict[str, int]] = []

    def place(self, cell: str | None) -> int:
        """The image's number; NONE where none is called so, SEVERAL where more than one is."""
        if not cell:
            return self.NONE
        name = PurePosixPath(cell.replace("\\", "/")).as_posix().removeprefix("./")
        if cell in self._whole or name in self._whole:
            return self._whole.get(cell, self._whole.get(name, self.NONE))
        if not self._shorter:
            paths = [PurePosixPath(path) for path in self._names]
            self._shorter = [
                _unique(map(_without_ending, self._names)),
                _unique(path.name for path in paths),
                _unique(path.stem for path in paths),
            ]
        whole, last, bare = self._shorter
        path = PurePosixPath(name)
        asked = ((whole, name), (whole, _without_ending(name)), (last, path.name), (bare, path.name), (bare, path.stem))
        return next((table[text] for table, text in asked if text in table), self.NONE)

    def example(self, cell: str) -> str:
        """The first name that a table may have meant."""
        stem = PurePosixPath(cell.replace("\\", "/")).stem
        return next(name for name in self._names if PurePosixPath(name).stem in (stem, cell))


def _without_ending(name: str) -> str:
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.name else name


def _unique(names: Iterable[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places[name] = _Names.SEVERAL if name in places else place
    return places


def table_in_memory(values: Any, source: str = "labels") -> Table:
    """A table of what somebody has in Python: a table of any library, a dictionary of columns, or an array.

    NaN, None and masked cells are unknown, and −1 in arrays of whole numbers, as scikit-learn has it; in a DataFrame −1
    is a value. One whose index holds texts names its images by it.

    Args:
        values: ``(M,)`` or ``(M, K)`` values, or columns by name.
        source: what messages call it.

    Raises:
        ValueError: columns of several lengths, or an array of another shape.

    >>> table = table_in_memory({"hue": [0, 2, -1], "shape": ["cube", None, "ball"]})
    >>> [column.tolist() for column in table.columns]
    [[0.0, 2.0, nan], ['cube', None, 'ball']]
    """
    if hasattr(values, "iloc") and hasattr(values, "columns"):  # a DataFrame, without importing pandas for it
        columns: dict[str, Any] = {str(name): values[name].to_numpy(dtype=object) for name in values.columns}
        return table_of(_with_files(columns, values.index), source)
    if isinstance(values, Mapping):
        return table_of({str(name): column for name, column in values.items()}, source, minus_one=True)
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if not isinstance(values, np.ndarray | list | tuple):
        return _of_any_library(columns_of(values, source), source)
    given = values if isinstance(values, np.ndarray) else np.array(list(values), dtype=_dtype(values))
    if given.ndim == 1:
        return table_of({"class": given}, source, minus_one=True)
    if given.ndim != 2:
        raise ValueError(f"{source}: expected an array (N,) or (N, K), got shape {given.shape}")
    return table_of({f"factor {k}": given[:, k] for k in range(given.shape[1])}, source, minus_one=True)


def _of_any_library(found: Columns, source: str) -> Table:
    count = len(found.columns)
    names = found.names or (("class",) if count == 1 else tuple(f"factor {k}" for k in range(count)))
    columns = {name: column.cells() for name, column in zip(names, found.columns, strict=True)}
    return table_of(_with_files(columns, found.labels), source)


def _with_files(columns: dict[str, Any], index: Any) -> dict[str, Any]:
    """The columns, and what names their rows where that is texts: images' files."""
    named = index is not None and len(index) > 0 and all(isinstance(entry, str) for entry in index)
    return {FILE_COLUMNS[0]: np.asarray(index, dtype=object), **columns} if named else columns


def _dtype(values: Any) -> Any:
    """Objects where a list holds texts or None, which numpy would turn into other texts."""
    cells = [cell for row in values for cell in (row if isinstance(row, list | tuple) else (row,))]
    return object if any(cell is None or isinstance(cell, str) for cell in cells) else None


def is_in_memory(labels: Any) -> bool:
    """Whether ``labels`` are annotations, and not a number of images or a file."""
    return not isinstance(labels, str | Path | int | float | np.integer | np.floating)
