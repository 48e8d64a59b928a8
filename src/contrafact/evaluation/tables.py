"""Codes and factors from files: .npy, .npz and .csv, with errors that say where.

Shape suffixes: N points, J columns.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.active import NEARLY_DEAD, Active
from contrafact.core.npy import NpzFile, read_npy
from contrafact.core.rows import read_rows
from contrafact.evaluation.codes import evaluate
from contrafact.evaluation.result import Evaluation

Array = npt.NDArray[Any]

_MOST_CELLS = 2**27


@dataclass(frozen=True)
class _Matrix:
    values: Array
    names: tuple[str, ...] | None


def _read_csv(path: Path) -> _Matrix:
    """Numbers, one row per image; a first row that is not all numbers names the columns."""
    names, width = None, 0
    values = array("d")  # a row of texts would take ten times the memory
    for number, row in read_rows(path):
        if not any(cell.strip() for cell in row):
            continue
        if not width:
            width = len(row)
            try:
                values.extend(float(cell) for cell in row)
            except ValueError:
                values, names = array("d"), tuple(cell.strip() for cell in row)
            continue
        if len(row) != width:
            if names is not None and not values:
                raise ValueError(f"{path}: the header names {width} columns but rows have {len(row)}")
            raise ValueError(f"{path}, line {number}: expected {width} columns as in the first row, got {len(row)}")
        for column, cell in enumerate(row):
            try:
                values.append(float(cell))
            except ValueError:
                shown = repr(cell[:60])
                raise ValueError(f"{path}, line {number}, column {column + 1}: {shown} is not a number") from None
        if len(values) > _MOST_CELLS:
            raise ValueError(f"{path} holds more than {_MOST_CELLS} numbers; save it as .npy")
    if not values:
        raise ValueError(f"{path} holds no rows of numbers")
    return _Matrix(np.frombuffer(values).reshape(-1, width), names)


def _read_numpy(path: Path, keys: Sequence[str]) -> _Matrix:
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return _Matrix(read_npy(path), None)
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
        return _Matrix(archive.read(found), None)
    except ValueError as error:
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
    active: Active = NEARLY_DEAD,
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
    matrices = {role: read_matrix(path, _keys(role)) for role, path in paths.items() if path is not None}
    values = {role: matrix for role, (matrix, _) in matrices.items()}
    return values, {role: header for role, (_, header) in matrices.items()}


def _keys(role: str) -> tuple[str, ...]:
    return (role, f"{role}_train") if not role.endswith("_test") else (role,)


def _names_in(path: Path) -> list[str]:
    try:
        return list(NpzFile(path).members)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable .npz file of numbers: {error}") from error
