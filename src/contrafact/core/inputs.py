"""Codes and factors in the forms people have them, as the matrices of numbers that metrics take.

With the matrices come the names of their columns, and what a reader of a score must be told: which words became which
numbers, which rows were left out.

Shape suffixes: N rows, J code columns, K factor columns.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from contrafact.core.frames import Array, Column, Columns, column_called, columns_of, places_among
from contrafact.core.metric import BoolArray

Missing = Literal["rows", "pairs", "refuse"]
MISSING = ("rows", "pairs", "refuse")
_SHOWN = 6


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
                f"{what} must be numbers: {column_called(column.name, number)} holds words ({shown}); leave it out, "
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
    return Column(column.name, places_among(texts, words), words)


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
            notes.append(
                f"{column_called(column.name, number)} of the factors holds words, numbered in {order}: {shown}"
            )
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
