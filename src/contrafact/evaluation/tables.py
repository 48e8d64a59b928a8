"""Codes and factors from files: numpy's and tables, with errors that say where.

Shape suffixes: N points, J columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.active import NEARLY_DEAD, Active
from contrafact.core.npy import NpzFile, read_npy
from contrafact.core.table import TABLE_SUFFIXES, Table, is_words, read_table
from contrafact.evaluation.codes import evaluate
from contrafact.evaluation.result import Evaluation

Array = npt.NDArray[Any]

_MOST_CELLS = 2**27


KEY_COLUMNS = ("file", "filename", "file_name", "path", "image", "image_id", "index")
"""Columns of a table that say which image a row is of, not what is known of it."""


def _read_numpy(path: Path, keys: Sequence[str]) -> Array:
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return read_npy(path)
        archive = NpzFile(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a readable {path.suffix} file of numbers: {error}") from error
    names = list(archive.members)
    found = next((key for key in keys if key in names), None)
    if found is None:
        if len(names) != 1:
            raise ValueError(
                f"{path} holds {', '.join(names[:20]) or 'nothing'}; expected an array called {' or '.join(keys)}, or "
                "a single one"
            )
        found = names[0]
    try:
        return archive.read(found)
    except ValueError as error:
        raise ValueError(f"{path}: array {found!r} cannot be read: {error}") from error


def read_matrix(path: str | Path, keys: Sequence[str]) -> tuple[Array, tuple[str, ...] | None]:
    """A matrix ``(N, J)`` of numbers and, from a table's header, its column names.

    Args:
        path: ``.npy``, ``.npz``, or a table (:func:`~contrafact.core.table.read_table`), whose first column may say
            which image each row is of: a column ``file``, ``image`` or ``index`` is left out.
        keys: names to look for in an ``.npz``, first match first; a single array needs no name.

    Raises:
        ValueError: no such file, another suffix, or content that does not parse; line and column are named.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return _read_array(path, keys)
    table = _read_values(path)
    return table.numbers(), table.names


def _read_array(path: Path, keys: Sequence[str]) -> tuple[Array, None]:
    if not path.is_file():
        raise ValueError(f"no file {path}")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"{path}: codes and factors are read from .npy, .npz, {', '.join(TABLE_SUFFIXES)} files")
    values = _read_numpy(path, keys)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number):
        raise ValueError(
            f"{path} must hold a matrix of numbers, one row per image; got {values.dtype} of shape {values.shape}"
        )
    return values, None


def _read_values(path: Path) -> Table:
    """A table without the column that says which image a row is of."""
    table = read_table(path)
    if not len(table):
        raise ValueError(f"{path} holds no rows of numbers")
    if table.names and len(table.names) > 1 and table.names[0].lower() in KEY_COLUMNS:
        return table.without([0])
    return table


def read_factors(
    path: str | Path, test: str | Path | None, keys: Sequence[str], test_keys: Sequence[str]
) -> tuple[Array, Array | None, tuple[str, ...] | None]:
    """Factors ``(N, K)``, those of held-out images, and their names; words become whole numbers, in alphabetic order.

    Args:
        path: as for :func:`read_matrix`.
        test: the same of held-out images, if there are any: equal words become equal numbers.
        keys: names to look for in an ``.npz``.
        test_keys: the same of held-out images.

    Raises:
        ValueError: as there.
    """
    first = Path(path)
    if first.suffix.lower() not in TABLE_SUFFIXES or (test and Path(test).suffix.lower() not in TABLE_SUFFIXES):
        values, names = read_matrix(path, keys)
        return values, None if test is None else read_matrix(test, test_keys)[0], names
    table, held = _read_values(first), None if test is None else _read_values(Path(test))
    columns, held_columns = list(table.columns), [] if held is None else list(held.columns)
    for number, column in enumerate(columns):
        other = held_columns[number : number + 1]
        if is_words(column) or any(map(is_words, other)):
            vocabulary = sorted({_word(cell) for part in (column, *other) for cell in part} - {None}, key=str)
            columns[number] = _numbered(column, vocabulary)
            held_columns[number : number + 1] = [_numbered(part, vocabulary) for part in other]
    return (
        np.stack(columns, axis=1),
        np.stack(held_columns, axis=1) if held is not None else None,
        table.names,
    )


def _word(cell: Any) -> str | None:
    """A cell of a column that holds words, here or in the other file, as text."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    return cell if isinstance(cell, str) else f"{cell:.15g}"


def _numbered(column: Array, vocabulary: Sequence[str | None]) -> Array:
    places = {word: float(place) for place, word in enumerate(vocabulary)}
    return np.array([places.get(_word(cell), np.nan) for cell in column])


def evaluate_files(
    codes: str | Path,
    factors: str | Path | None = None,
    codes_test: str | Path | None = None,
    factors_test: str | Path | None = None,
    *,
    metrics: str | Sequence[str] = "all",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    continuous: bool = False,
    seed: int = 0,
    num_resamples: int = 0,
    active: Active = NEARLY_DEAD,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """:func:`~contrafact.metrics.evaluate` on files.

    Args:
        codes: ``.npy``, ``.npz`` (array ``codes`` or ``codes_train``), or a table, ``.csv``, ``.tsv`` or ``.parquet``
            (:func:`~contrafact.core.table.read_table`). An ``.npz`` may hold everything: ``factors`` or
            ``factors_train``, ``codes_test`` and ``factors_test`` are then taken from it too.
        factors: the same; a table's header names them, and its words become whole numbers, in alphabetic order.
        codes_test: held-out codes.
        factors_test: their factors.
        metrics: see ``evaluate``.
        settings: see ``evaluate``.
        continuous: see ``evaluate``.
        seed: see ``evaluate``.
        num_resamples: see ``evaluate``.
        active: see ``evaluate``.
        progress: see ``evaluate``.

    Raises:
        ValueError: a file that is missing or does not parse (line and column are named), or what ``evaluate`` refuses.

    >>> factors = np.arange(100)[:, None] % 2
    >>> np.savetxt("codes.csv", factors * [1.0, -2.0], delimiter=",", header="a,b", comments="")
    >>> np.savetxt("factors.csv", factors, fmt="%d", header="hue", comments="")
    >>> result = evaluate_files("codes.csv", "factors.csv", metrics="modularity")
    >>> result.code_names, result.factor_names
    (('a', 'b'), ('hue',))
    """
    values, names = read_matrices(codes, factors, codes_test, factors_test)
    return evaluate(
        values["codes"],
        values.get("factors"),
        values.get("codes_test"),
        values.get("factors_test"),
        metrics=metrics,
        settings=settings,
        continuous=continuous,
        seed=seed,
        num_resamples=num_resamples,
        code_names=names["codes"],
        factor_names=names.get("factors"),
        active=active,
        progress=progress,
    )


def read_matrices(
    codes: str | Path,
    factors: str | Path | None = None,
    codes_test: str | Path | None = None,
    factors_test: str | Path | None = None,
) -> tuple[dict[str, Array], dict[str, tuple[str, ...] | None]]:
    """Matrices by role, ``codes`` to ``factors_test`` as far as given, and their columns' names.

    An ``.npz`` of codes may hold the others too.

    Raises:
        ValueError: a file that is missing or does not parse.
    """
    paths: dict[str, str | Path | None] = {
        "codes": codes,
        "factors": factors,
        "codes_test": codes_test,
        "factors_test": factors_test,
    }
    if Path(codes).suffix.lower() == ".npz" and Path(codes).is_file():
        inside = _names_in(Path(codes))
        for role in ("factors", "codes_test", "factors_test"):
            if paths[role] is None and any(key in inside for key in _keys(role)):
                paths[role] = codes
    values: dict[str, Array] = {}
    names: dict[str, tuple[str, ...] | None] = {}
    for role in ("codes", "codes_test"):
        if (path := paths[role]) is not None:
            values[role], names[role] = read_matrix(path, _keys(role))
    if (path := paths["factors"]) is not None:
        read = read_factors(path, paths["factors_test"], _keys("factors"), _keys("factors_test"))
        values["factors"], held, names["factors"] = read
        if held is not None:
            values["factors_test"] = held
    elif (path := paths["factors_test"]) is not None:
        values["factors_test"], names["factors_test"] = read_matrix(path, _keys("factors_test"))
    return values, names


def _keys(role: str) -> tuple[str, ...]:
    return (role, f"{role}_train") if not role.endswith("_test") else (role,)


def _names_in(path: Path) -> list[str]:
    try:
        return list(NpzFile(path).members)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable .npz file of numbers: {error}") from error
