"""What is known of a few images: factors of several values, numbers, and holes.

Shape suffixes: M annotated images, K factors.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.command import without_home
from contrafact.core.files import write_text

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

UNKNOWN = -1
"""Value of a factor that an annotated image has no annotation of."""
STEPS = 10
"""Values that stand for a continuous factor, evenly from its least to its greatest number."""
MOST_VALUES = 64
"""Different whole numbers up to which a column of them is values of a factor; more of them are an amount."""


@dataclass(frozen=True)
class FewLabels:
    """Annotations of M images.

    A continuous factor is told to methods as :data:`STEPS` values and, of each image, a share of the way from one to
    the next: what is learned of a value is learned of both in these shares.

    Attributes:
        indices: which images, ``(M,)``, ascending.
        values: their factor values ``(M, K)``, −1 where a factor of an image is unknown.
        names: K factor names; ``("class",)`` for class labels.
        sizes: K numbers of values.
        origin: how they were chosen: ``"seed 0"``, or a file's path.
        value_names: K times the names of the values; empty where values are numbers only.
        amounts: the numbers of continuous factors ``(M, K)``, NaN elsewhere; None where there are none.
        own: whether the factors are the annotations' own, and not the dataset's.
    """

    indices: IntArray
    values: IntArray
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    origin: str = "given"
    value_names: tuple[tuple[str, ...], ...] = ()
    amounts: FloatArray | None = field(default=None, compare=False)
    own: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their factor's range, an image annotated twice, and shapes that do not fit."""
        if self.values.shape != (len(self.indices), len(self.names)) or len(self.names) != len(self.sizes):
            raise ValueError(
                f"expected values of shape ({len(self.indices)}, {len(self.names)}) for {len(self.indices)} images and "
                f"the factors {', '.join(self.names)}; got {self.values.shape}"
            )
        if len(np.unique(self.indices)) != len(self.indices):
            raise ValueError("an image is annotated twice; give every image once")
        bad = (self.values < UNKNOWN) | (self.values >= np.asarray(self.sizes))
        if bad.any():
            row, column = map(int, np.argwhere(bad)[0])
            raise ValueError(
                f"factor {self.names[column]!r} takes values 0 to {self.sizes[column] - 1}, and {UNKNOWN} for unknown; "
                f"image {self.indices[row]} has {self.values[row, column]}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def classes(self) -> IntArray:
        """Class of each annotated image ``(M,)``.

        Raises:
            ValueError: several factors are annotated, so there is no one class.
        """
        if len(self.names) != 1:
            raise ValueError(
                f"expected labels of one factor, got {', '.join(self.names)}; choose one, such as --factors "
                f"{self.names[0].replace(' ', '-')}"
            )
        return self.values[:, 0]

    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the factors that are numbers, not one of several values."""
        return tuple(name for name, column in self._amounts().items() if not np.isnan(column).all())

    @property
    def shares(self) -> FloatArray | None:
        """How far each image is from its value to the next ``(M, K)``, 0 to 1; None where no factor is continuous."""
        if self.amounts is None:
            return None
        numbers, known = self._amounts(), self.continuous
        return np.stack(
            [_on_scale(c)[1] if name in known else np.zeros(len(self)) for name, c in numbers.items()], axis=1
        )

    @property
    def places(self) -> IntArray | FloatArray:
        """Each image's place among the values ``(M, K)``, between two where a factor is continuous; −1 if unknown."""
        return self.values if self.shares is None else self.values + self.shares

    def _amounts(self) -> dict[str, FloatArray]:
        return {} if self.amounts is None else dict(zip(self.names, self.amounts.T, strict=True))

    def missing(self) -> dict[str, int]:
        """Annotated images that have no annotation of a factor, by its name, where there are any."""
        counts = (self.values == UNKNOWN).sum(axis=0)
        return {name: int(count) for name, count in zip(self.names, counts, strict=True) if count}

    def save(self, path: Path) -> None:
        """Write a CSV: ``index`` and one column per factor, empty where unknown."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["index", *self.names])
        columns = [self._written(column) for column in range(len(self.names))]
        writer.writerows(zip(self.indices.tolist(), *columns, strict=True))
        write_text(path, text.getvalue())

    def _written(self, column: int) -> Sequence[Any]:
        if self.amounts is not None and self.names[column] in self.continuous:
            return ["" if math.isnan(amount) else repr(amount) for amount in self.amounts[:, column].tolist()]
        named = self.value_names[column] if self.value_names else range(self.sizes[column])
        return ["" if value == UNKNOWN else named[value] for value in self.values[:, column].tolist()]

    def describe(self) -> dict[str, Any]:
        """What a run's configuration says of them."""
        digest = hashlib.sha256(np.column_stack([self.indices, self.values]).astype("<i8").tobytes())
        said: dict[str, Any] = {
            "number": len(self),
            "factors": list(self.names),
            "chosen": without_home(self.origin),
        }
        if self.own:
            digest.update(repr(self.value_names).encode())
            said["own"] = True
        if self.amounts is not None:
            digest.update(self.amounts.astype("<f8").tobytes())
            said["continuous"] = list(self.continuous)
        if missing := self.missing():
            said["missing"] = missing
        return {**said, "fingerprint": digest.hexdigest()[:16]}


def own_labels(indices: IntArray, columns: Mapping[str, npt.NDArray[Any]], origin: str) -> FewLabels:
    """Annotations by factors of their own: what the values of each are, is read off its column.

    Words are values in alphabetic order. Whole numbers are values in ascending order, up to :data:`MOST_VALUES`
    different ones that come twice each on average. Other numbers are a continuous factor.

    Args:
        indices: which images, ``(M,)``.
        columns: of each factor ``(M,)``, numbers with NaN for unknown, or objects, texts and None.
        origin: where they are from.

    Raises:
        ValueError: a factor that takes one value only, or of words as many as images.
    """
    order = np.argsort(indices, kind="stable")
    values, value_names, amounts = [], [], []
    for name, column in columns.items():
        if (reason := why_useless(column[order])) is not None:
            raise ValueError(f"{origin}: {name!r} {reason}; leave it out, {_others(columns, name)}")
        coded, named, amount = _coded(column[order])
        values.append(coded)
        value_names.append(named)
        amounts.append(amount)
    is_continuous = not np.isnan(amounts).all()
    return FewLabels(
        indices[order],
        np.stack(values, axis=1),
        tuple(columns),
        tuple(map(len, value_names)),
        origin,
        tuple(value_names),
        np.stack(amounts, axis=1) if is_continuous else None,
        own=True,
    )


def _others(columns: Mapping[str, Any], name: str) -> str:
    rest = ",".join(other.replace(" ", "-") for other in columns if other != name)
    return f"--factors {rest}" if rest else "and annotate another factor"


def why_useless(column: npt.NDArray[Any]) -> str | None:
    """Why nothing can be learned from a column, after its name; None if something can."""
    known = _known(column)
    if not len(known):
        return "is empty"
    different = len(set(known.tolist()))
    if different == 1:
        shown = repr(known[0]) if column.dtype == object else f"{known[0]:.15g}"
        return f"is {shown} wherever it is known, so there is nothing to tell apart"
    if column.dtype == object and different == len(known) and different > 2:
        return "has a word of its own for every image, as names have"
    return None


def _known(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return column[[cell is not None for cell in column]] if column.dtype == object else column[~np.isnan(column)]


def _coded(column: npt.NDArray[Any]) -> tuple[IntArray, tuple[str, ...], FloatArray]:
    """Values of a column, their names, and its numbers where they are continuous."""
    nothing = np.full(len(column), np.nan)
    known = _known(column)
    if column.dtype == object:
        words = sorted(set(known.tolist()))
        places = {word: place for place, word in enumerate(words)}
        return np.array([places.get(cell, UNKNOWN) for cell in column], dtype=np.int64), tuple(words), nothing
    numbers = np.unique(known)
    if (numbers == np.round(numbers)).all() and len(numbers) <= min(MOST_VALUES, max(2, len(known) // 2)):
        coded = np.where(np.isnan(column), UNKNOWN, np.searchsorted(numbers, column))
        return coded.astype(np.int64), tuple(f"{number:.15g}" for number in numbers), nothing
    scale = np.linspace(numbers[0], numbers[-1], STEPS)
    return _on_scale(column)[0], tuple(f"{number:.4g}" for number in scale), column.astype(np.float64)


def _on_scale(amounts: FloatArray) -> tuple[IntArray, FloatArray]:
    """The value below each number (−1 where unknown), and how far it is to the next one."""
    low, high = np.nanmin(amounts), np.nanmax(amounts)
    place = np.where(np.isnan(amounts), 0.0, (amounts - low) / (high - low) * (STEPS - 1))
    below = np.minimum(place.astype(np.int64), STEPS - 2)
    return np.where(np.isnan(amounts), UNKNOWN, below), np.where(np.isnan(amounts), 0.0, place - below)
