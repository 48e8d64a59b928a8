"""Codes and factors from files: .npy, .npz and .csv, with errors that say where.

Shape suffixes: N points, J columns.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.metrics._evaluate import evaluate
from contrafact.metrics._evaluation import Evaluation

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Matrix:
    values: Array
    names: tuple[str, ...] | None


def _read_csv(path: Path) -> _Matrix:
    """Numbers, one row per image; a first row that is not all numbers names the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = [
                (number, row) for number, row in enumerate(csv.reader(file), start=1) if any(c.strip() for c in row)
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a CSV text file: {error}") from error
    names = None
    if lines:
        try:
            [float(cell) for cell in lines[0][1]]
        except ValueError:
            names = tuple(cell.strip() for cell in lines.pop(0)[1])
    if not lines:
        raise ValueError(f"{path} holds no rows of numbers")
    width = len(lines[0][1])
    values = np.empty((len(lines), width))
    for i, (number, row) in enumerate(lines):
        if len(row) != width:
            raise ValueError(f"{path}, line {number}: expected {width} columns as in the first row, got {len(row)}")
        for column, cell in enumerate(row):
            try:
                values[i, column] = float(cell)
            except ValueError:
                raise ValueError(f"{path}, line {number}, column {column + 1}: {cell!r} is not a number") from None
    if names is not None and len(names) != width:
        raise ValueError(f"{path}: the header names {len(names)} columns but rows have {width}")
    return _Matrix(values, names)


def _read_numpy(path: Path, keys: Sequence[str]) -> _Matrix:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable {path.suffix} file of numbers: {error}") from error
    if isinstance(loaded, np.ndarray):
        return _Matrix(loaded, None)
    with loaded:
        found = next((key for key in keys if key in loaded.files), None)
        if found is None:
            if len(loaded.files) != 1:
                raise ValueError(
                    f"{path} holds {', '.join(loaded.files) or 'nothing'}; expected an array called "
                    f"{' or '.join(keys)}, or a single one"
                )
            found = loaded.files[0]
        try:
            return _Matrix(loaded[found], None)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: array {found!r} cannot be read: {error}") from error


def read_matrix(path: str | Path, keys: Sequence[str]) -> tuple[Array, tuple[str, ...] | None]:
    """A matrix ``(N, J)`` and, from a CSV header, its column names.

    Args:
        path: ``.npy``, ``.npz`` or ``.csv``.
        keys: names to look for in an ``.npz``, first match first; a single array needs no name.

    Raises:
        ValueError: no such file, another suffix, or content that does not parse; line and column are named.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no file {path}")
    if path.suffix.lower() == ".csv":
        matrix = _read_csv(path)
    elif path.suffix.lower() in (".npy", ".npz"):
        matrix = _read_numpy(path, keys)
    else:
        raise ValueError(f"{path}: codes and factors are read from .npy, .npz or .csv files")
    if matrix.values.ndim != 2 or not np.issubdtype(matrix.values.dtype, np.number):
        raise ValueError(
            f"{path} must hold a matrix of numbers, one row per image; got {matrix.values.dtype} of shape "
            f"{matrix.values.shape}"
        )
    return matrix.values, matrix.names


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
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """:func:`~contrafact.metrics.evaluate` on files.

    Args:
        codes: ``.npy``, ``.npz`` (array ``codes`` or ``codes_train``) or ``.csv``. An ``.npz`` may hold everything:
            ``factors`` or ``factors_train``, ``codes_test`` and ``factors_test`` are then taken from it too.
        factors: the same; a CSV header names them.
        codes_test: held-out codes.
        factors_test: their factors.
        metrics: see ``evaluate``.
        settings: see ``evaluate``.
        continuous: see ``evaluate``.
        seed: see ``evaluate``.
        num_resamples: see ``evaluate``.
        progress: see ``evaluate``.

    Raises:
        ValueError: a file that is missing or does not parse (line and column are named), or what ``evaluate`` refuses.
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
    matrices = {role: read_matrix(path, _keys(role)) for role, path in paths.items() if path is not None}
    values = {role: matrix for role, (matrix, _) in matrices.items()}
    return values, {role: header for role, (_, header) in matrices.items()}


def _keys(role: str) -> tuple[str, ...]:
    return (role, f"{role}_train") if not role.endswith("_test") else (role,)


def _names_in(path: Path) -> list[str]:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            return list(loaded.files)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npz file of numbers: {error}") from error
