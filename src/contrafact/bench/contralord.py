"""What the recipes of ContraLORD (Anonymous 2021) share: the columns of its Tables 2, 4, 5 and 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COLUMNS: Mapping[str, tuple[str, str]] = {
    "D": ("zerodim", "disentanglement"),
    "C": ("zerodim", "completeness"),
    "I": ("zerodim", "informativeness"),
    "SAP": ("zerodim", "sap"),
    "MIG": ("zerodim", "mig"),
    "smoothness": ("smoothness", "score"),
}
DATA = {"small": {"size": 32, "labels": 100}, "paper": {"labels": 100}}


def published(numbers: Sequence[float]) -> dict[str, tuple[float, None]]:
    """A printed row, which has no deviations, by column.

    >>> published((0.02, 0.01, 0.13, 0.01, 0.01, 0.09))["smoothness"]
    (0.09, None)
    """
    return {title: (value, None) for title, value in zip(COLUMNS, numbers, strict=True)}
