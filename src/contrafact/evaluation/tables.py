"""Codes and factors from files: numpy's and tables, with errors that say where.

Shape suffixes: N points, J columns.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.active import NEARLY_DEAD, Active
from contrafact.core.frames import Columns, columns_of
from contrafact.core.inputs import Inputs, Missing, read_inputs
from contrafact.core.metric import Continuous, as_array
from contrafact.core.npy import NpzFile, read_npy
from contrafact.core.table import FILE_COLUMNS, INDEX_COLUMN, TABLE_SUFFIXES, Table, read_table
from contrafact.evaluation.codes import evaluate
from contrafact.evaluation.result import Evaluation

Array = npt.NDArray[Any]

TORCH_SUFFIXES = (".pt", ".pth")
STDIN = "-"
_MOST_STDIN = 2**32
_MAGIC = {b"PK": ".npz", b"\x93NUMPY": ".npy", b"PAR1": ".parquet"}
KEY_COLUMNS = (*FILE_COLUMNS, INDEX_COLUMN)
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


def _read_array(path: Path, keys: Sequence[str]) -> Array:
    if not path.is_file():
        raise ValueError(f"no file {path}")
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        values = _read_torch(path, keys)
    elif suffix in (".npy", ".npz"):
        values = _read_numpy(path, keys)
    else:
        known = ", ".join((".npy", ".npz", *TORCH_SUFFIXES, *TABLE_SUFFIXES))
        raise ValueError(f"{path}: codes and factors are read from {known} files")
    if values.ndim not in (1, 2) or not np.issubdtype(values.dtype, np.number):
        raise ValueError(
            f"{path} must hold a matrix of numbers, one row per image; got {values.dtype} of shape {values.shape}"
        )
    return values


def _read_torch(path: Path, keys: Sequence[str]) -> Array:
    """A tensor, or one of several by name, from a file of ``torch.save``, of which nothing is run."""
    from contrafact.core.foreign import reading
    from contrafact.core.inert_files import read_inert

    with reading(path, "torch file"):
        content = read_inert(path).content
    if isinstance(content, Mapping):
        found = next((key for key in keys if key in content), None)
        if found is None and len(content) != 1:
            held = ", ".join(map(str, list(content)[:20])) or "nothing"
            raise ValueError(f"{path} holds {held}; expected a tensor called {' or '.join(keys)}, or a single one")
        content = content[found] if found is not None else next(iter(content.values()))
    if not isinstance(content, np.ndarray) and not hasattr(content, "detach"):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a tensor, or several by name")
    return as_array(content)


@contextmanager
def _as_file(path: str | Path) -> Iterator[Path]:
    """The file itself; for ``-`` what comes in on stdin, in a file whose suffix says what it is.

    Raises:
        ValueError: nothing comes in, or more than four gigabytes.
    """
    if str(path) != STDIN:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stdin"
        with file.open("wb") as out:
            start = sys.stdin.buffer.read(6)
            size, block = out.write(start), b""
            while (block := sys.stdin.buffer.read(2**20)) and size <= _MOST_STDIN:
                size += out.write(block)
        if not size:
            raise ValueError("nothing came in on stdin; pipe a table or an array into the command")
        if size > _MOST_STDIN:
            raise ValueError(f"more than {_MOST_STDIN} bytes came in on stdin; write them to a file")
        kind = next((suffix for magic, suffix in _MAGIC.items() if start.startswith(magic)), ".csv")
        yield file.rename(file.with_suffix(kind))


def read_columns(path: str | Path, keys: Sequence[str], ids: Sequence[str] = (), words: bool = True) -> Columns:
    """Codes or factors in a file, as columns.

    Args:
        path: ``.npy`` or ``.npz``; ``.pt`` or ``.pth``, of which nothing is run; a table
            (:func:`~contrafact.core.table.read_table`); ``-`` for any of these but torch's on stdin.
        keys: names to look for among several arrays, first match first; a single one needs no name.
        ids: names of columns that say which image a row is of.
        words: whether the other columns may hold words.

    Raises:
        ValueError: no such file, another suffix, or content that does not parse; line and column are named.
    """
    with _as_file(path) as file:
        if file.suffix.lower() not in TABLE_SUFFIXES:
            return columns_of(_read_array(file, keys), str(path))
        table = read_table(file)
    if not len(table):
        raise ValueError(f"{path} holds no rows of numbers")
    if table.names is None:
        return columns_of(table.numbers(), str(path))
    twice = [name for name in table.names if table.names.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has two columns called {twice[0]!r}; give each a name of its own")
    if not words:
        _refuse_words(table, path, {*ids, *_key_of(table.names)})
    return columns_of(dict(zip(table.names, table.columns, strict=True)), str(path))


def _refuse_words(table: Table, path: str | Path, ids: set[str]) -> None:
    assert table.names is not None
    rest = table.without(number for number, name in enumerate(table.names) if name in ids)
    if not rest.columns:
        raise ValueError(f"{path} has no columns beside {', '.join(table.names)}, which name rows")
    try:
        rest.numbers()
    except ValueError as error:
        raise ValueError(f"{error}; a column that says which image a row is of is named by --id") from error


def _key_of(names: Sequence[str]) -> tuple[str, ...]:
    """The first column's name, where it is one that says which image a row is of."""
    return (names[0],) if len(names) > 1 and names[0].lower() in KEY_COLUMNS else ()


def evaluate_files(
    codes: str | Path,
    factors: str | Path | None = None,
    codes_test: str | Path | None = None,
    factors_test: str | Path | None = None,
    *,
    metrics: str | Sequence[str] = "all",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    continuous: Continuous | None = None,
    missing: Missing = "rows",
    id: str | Sequence[str] = (),
    seed: int = 0,
    num_resamples: int = 0,
    active: Active = NEARLY_DEAD,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """:func:`~contrafact.metrics.evaluate` on files.

    Args:
        codes: what :func:`read_columns` reads: arrays, tensors, tables, ``-`` for stdin. An ``.npz``, ``.pt`` or
            ``.pth`` with an array ``codes`` or ``codes_train`` may hold ``factors`` or ``factors_train``,
            ``codes_test`` and ``factors_test`` too, which are then taken from it.
        factors: the same; a table's header names them, and its words become whole numbers.
        codes_test: held-out codes.
        factors_test: their factors.
        metrics: see ``evaluate``.
        settings: see ``evaluate``.
        continuous: see ``evaluate``.
        missing: see ``evaluate``.
        id: names of columns that say which image a row is of, see ``evaluate``. Without one a first column called
            ``file``, ``image``, ``index`` or alike is.
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
    found, ids = read_files(codes, factors, codes_test, factors_test, (id,) if isinstance(id, str) else id)
    return evaluate(
        found["codes"],
        found.get("factors"),
        found.get("codes_test"),
        found.get("factors_test"),
        metrics=metrics,
        settings=settings,
        continuous=continuous,
        missing=missing,
        id=ids,
        seed=seed,
        num_resamples=num_resamples,
        active=active,
        progress=progress,
    )


def read_files(
    codes: str | Path,
    factors: str | Path | None = None,
    codes_test: str | Path | None = None,
    factors_test: str | Path | None = None,
    ids: Sequence[str] = (),
) -> tuple[dict[str, Columns], tuple[str, ...]]:
    """Columns by role, ``codes`` to ``factors_test`` as far as given, and the names of those that say what a row is.

    An ``.npz``, ``.pt`` or ``.pth`` of codes may hold the others too. Without ``ids`` a first column called ``file``,
    ``image``, ``index`` or alike is taken for one: rows are matched by it where codes and factors both have it with the
    same images, and it is left out elsewhere.

    Raises:
        ValueError: a file that is missing or does not parse.
    """
    paths: dict[str, str | Path | None] = {
        "codes": codes,
        "factors": factors,
        "codes_test": codes_test,
        "factors_test": factors_test,
    }
    if [str(path) for path in paths.values()].count(STDIN) > 1:
        raise ValueError("only one of the files can come in on stdin (-)")
    if Path(codes).is_file():
        inside = _names_in(Path(codes))
        for role in ("factors", "codes_test", "factors_test"):
            if paths[role] is None and any(key in inside for key in _keys(role)):
                paths[role] = codes
    found = {
        role: read_columns(path, _keys(role), ids, words=role.startswith("factors"))
        for role, path in paths.items()
        if path is not None
    }
    if ids:
        return found, tuple(ids)
    keys = {role: _key_of(table.names or ()) for role, table in found.items()}
    for first, second in (("codes", "factors"), ("codes_test", "factors_test")):
        if (
            second in found
            and first in found
            and not _same_rows(found[first], found[second], keys[first], keys[second])
        ):
            found |= {role: found[role].without(keys[role]) for role in (first, second)}
            keys |= {first: (), second: ()}
    return found, tuple(dict.fromkeys(name for names in keys.values() for name in names))


def read_pair_of_codes(
    first: tuple[str | Path, str | Path | None],
    second: tuple[str | Path, str | Path | None],
    factors: str | Path | None,
    factors_test: str | Path | None = None,
    ids: Sequence[str] = (),
    missing: Missing = "refuse",
) -> tuple[Inputs, Inputs]:
    """Two codes of the same images, each with its held-out ones, and their factors; masked where a value is missing.

    Raises:
        ValueError: what :func:`read_files` refuses, no factors, missing values where refused, or rows that name
            different images.
    """
    read, labels = [], []
    for codes, codes_test in (first, second):
        found, own = read_files(codes, factors, codes_test, factors_test, ids)
        if "factors" not in found:
            raise ValueError("--compare needs --factors: what both codes are scored against")
        held = [name for name in own if name in (found["codes"].names or ())]
        labels.append(found["codes"].texts(held[0]) if held else None)
        given = [found.get(role) for role in ("codes", "factors", "codes_test", "factors_test")]
        read.append(read_inputs(*given, missing="refuse" if missing == "refuse" else "pairs", identifier=own))
    if None not in labels and labels[0] != labels[1]:
        raise ValueError(
            f"{first[0]} and {second[0]} name different images, or in another order; sort one as the other"
        )
    return read[0], read[1]


def _same_rows(first: Columns, second: Columns, key: Sequence[str], other: Sequence[str]) -> bool:
    """Whether both have a column of that name with the same images, each once."""
    if not key or key != other:
        return not key and not other
    labels = [table.texts(key[0]) for table in (first, second)]
    return len(set(labels[0])) == len(labels[0]) and sorted(labels[0]) == sorted(labels[1])


def _keys(role: str) -> tuple[str, ...]:
    return (role, f"{role}_train") if not role.endswith("_test") else (role,)


def _names_in(path: Path) -> list[str]:
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        from contrafact.core.foreign import reading
        from contrafact.core.inert_files import read_inert

        with reading(path, "torch file"):
            content = read_inert(path).content
        return [str(name) for name in content] if isinstance(content, Mapping) else []
    if suffix != ".npz":
        return []
    try:
        return list(NpzFile(path).members)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable .npz file of numbers: {error}") from error
