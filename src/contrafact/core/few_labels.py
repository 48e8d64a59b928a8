"""Choosing a few annotated images of a dataset, and reading them from a file.

Methods that use labels read these and nothing else of a dataset's annotations, so "100 labels" means 100.

Shape suffixes: M annotated images, K annotated factors.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import AnnotatedDataset, FewLabels, ImageDataset, IntArray
from contrafact.core.label_tables import is_in_memory, labels_of_table, table_in_memory
from contrafact.core.table import FILE_COLUMNS, read_table

CLASS = "class"
"""Name of the one factor of a dataset with class labels."""


def choose_labels(
    dataset: ImageDataset,
    amount: Any,
    *,
    seed: int = 0,
    factors: Sequence[str] | str | None = None,
) -> FewLabels:
    """Annotate some of a dataset's images.

    One factor (or class labels) is annotated class-balanced: equally many images of every value, to within one. Several
    factors at once are annotated on images drawn uniformly.

    Args:
        dataset: images with class labels or factors.
        amount: a number of images (``100``; 0 means none), a share of them (``0.024``), or a table of annotations:
            a file, or columns in memory (:func:`~contrafact.core.label_tables.labels_of_table`). Text is read as
            whichever it looks like.
        seed: of the choice.
        factors: which factors of a factor dataset, by default its ``factors_of_interest``, else all; which columns of a
            table, by default all. One name alone is one factor.

    Raises:
        ValueError: a dataset that knows no labels, an unknown factor, more labels than images, a value without an
            image, fewer labels than values of a factor, or a table that does not fit the images.

    >>> from contrafact.data.load import load_dataset
    >>> chosen = choose_labels(load_dataset("shapes3d", size=16), 100)
    >>> chosen.names, chosen.values.shape
    (('floor hue', 'wall hue', 'object hue'), (100, 3))
    """
    if isinstance(factors, str):
        factors = [factors]
    if is_in_memory(amount):
        return labels_of_table(table_in_memory(amount), dataset, _scheme(dataset), factors)
    number = _number(amount, len(dataset))
    if isinstance(number, Path):
        return _read(number, dataset, factors)
    names, sizes, columns = _annotatable(dataset, factors)
    if 0 < number < max(sizes):
        largest = names[int(np.argmax(sizes))]
        raise ValueError(
            f"{number} labels are fewer than the {max(sizes)} values of {largest!r} in {dataset.name}; "
            "give at least one label per value"
        )
    rng = np.random.default_rng(seed)
    origin = f"seed {seed}"
    if len(names) == 1 and number:
        known = _values(dataset, np.arange(len(dataset)), columns)[:, 0]
        indices = _balanced(known, sizes[0], number, rng, dataset)
    else:
        indices = np.sort(rng.choice(len(dataset), number, replace=False)).astype(np.int64)
    values = _values(dataset, indices, columns)
    for column, (name, size) in enumerate(zip(names, sizes, strict=True)):
        missing = size - len(np.unique(values[:, column]))
        if number and missing:
            warnings.warn(
                f"{missing} of the {size} values of {name!r} have no label among the {number}; give more labels, or "
                "another label seed",
                stacklevel=2,
            )
    named = (tuple(dataset.class_names),) if names == (CLASS,) and dataset.class_names else ()
    return FewLabels(indices, values, names, sizes, origin, named)


def _annotatable(
    dataset: ImageDataset, factors: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...], list[int]]:
    if isinstance(dataset, AnnotatedDataset):
        spoken = {name.replace(" ", "-"): name for name in dataset.factor_names}
        wanted = factors or dataset.factors_of_interest or dataset.factor_names
        for name in wanted:
            if name.replace(" ", "-") not in spoken:
                raise ValueError(unknown_name_message(f"factor of {dataset.name}", name, list(spoken)))
        names = tuple(spoken[name.replace(" ", "-")] for name in wanted)
        columns = [dataset.factor_names.index(name) for name in names]
        return names, tuple(dataset.factor_sizes[column] for column in columns), columns
    if dataset.labels is None:
        raise ValueError(f"{dataset.name} has neither factors nor labels, so no image of it can be annotated")
    if factors:
        raise ValueError(f"{dataset.name} has class labels, no factors; leave out --factors")
    size = len(dataset.class_names) or int(dataset.labels.max()) + 1
    if size < 2:
        raise ValueError(f"{dataset.name} has one class only; labels need at least two to tell apart")
    return (CLASS,), (size,), [0]


def _values(dataset: ImageDataset, indices: IntArray, columns: list[int]) -> IntArray:
    if isinstance(dataset, AnnotatedDataset):
        return dataset.factors_of(indices)[:, columns]
    assert dataset.labels is not None
    return dataset.labels[indices][:, None]


def _number(amount: Any, total: int) -> int | Path:
    """A number of images, or the file that lists them."""
    share_or_number: float
    if isinstance(amount, str | os.PathLike):
        try:
            share_or_number = float(str(amount)) if "." in str(amount) else int(str(amount))
        except ValueError:
            return Path(amount)
    else:
        share_or_number = amount
    if isinstance(share_or_number, float) and 0 < share_or_number <= 1:
        return max(1, round(share_or_number * total))
    if math.isfinite(share_or_number) and share_or_number == int(share_or_number) and 0 <= share_or_number <= total:
        return int(share_or_number)
    raise ValueError(
        f"labels must be a number of images from 0 to {total}, a share such as 0.024, or a table; got {amount!r}"
    )


def _balanced(known: IntArray, size: int, number: int, rng: np.random.Generator, dataset: ImageDataset) -> IntArray:
    """``number`` indices with equally many of each value, to within one; which values get one more is drawn."""
    present = np.bincount(known, minlength=size)
    if (present == 0).any():
        empty = int(np.argmin(present))
        called = dataset.class_names[empty] if empty < len(dataset.class_names) else str(empty)
        raise ValueError(f"{dataset.name} has no image of class {called!r}, so it cannot be labelled")
    quota = np.full(size, number // size)
    quota[rng.permutation(size)[: number % size]] += 1
    if (quota > present).any():
        short = int(np.argmax(quota - present))
        raise ValueError(f"{quota[short]} labels of value {short} asked for, but {dataset.name} has {present[short]}")
    chosen = [rng.choice(np.flatnonzero(known == value), quota[value], replace=False) for value in range(size)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _read(path: Path, dataset: ImageDataset, factors: Sequence[str] | None) -> FewLabels:
    if not path.is_file():
        raise ValueError(
            f"labels: {path} is neither a number, a share, nor a file; expected a table with a column file or index, "
            "and a column per factor"
        )
    return labels_of_table(read_table(path, FILE_COLUMNS), dataset, _scheme(dataset), factors)


def _scheme(dataset: ImageDataset) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """The factors or the class that a dataset itself knows."""
    if isinstance(dataset, AnnotatedDataset):
        return dataset.factor_names, dataset.factor_sizes
    if dataset.labels is None:
        return None
    return (CLASS,), (len(dataset.class_names) or int(dataset.labels.max()) + 1,)


def labels_or_none_of(dataset: ImageDataset) -> FewLabels:
    """The dataset's few labels; where none were chosen, an empty set that knows the factors (or classes) there are."""
    if dataset.few_labels is not None:
        return dataset.few_labels
    if isinstance(dataset, AnnotatedDataset):
        return choose_labels(dataset, 0)
    nothing = np.zeros(0, dtype=np.int64)
    return FewLabels(nothing, nothing[:, None], (CLASS,), (max(1, len(dataset.class_names)),), "none")
