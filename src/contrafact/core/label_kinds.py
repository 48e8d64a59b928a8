"""Which kinds of annotations a method can use, and what it says of the others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

import numpy as np

from contrafact.core.annotations import FewLabels

LabelKind: TypeAlias = Literal["several", "missing", "continuous"]
"""Several factors at once; factors unknown of some annotated images; numbers instead of values."""


def check_labels(who: str, kinds: Collection[LabelKind], labels: FewLabels) -> None:
    """Refuse annotations of a kind that a method cannot use.

    Args:
        who: the method's name.
        kinds: what it can use beside one factor of a few values.
        labels: the annotations.

    Raises:
        ValueError: names the column, what is in it, and what to do.

    >>> half = FewLabels(np.array([0, 3]), np.array([[0, 1], [1, -1]]), ("hue", "size"), (2, 2))
    >>> check_labels("cd_gan", ("several",), half)
    Traceback (most recent call last):
    ValueError: cd_gan needs every factor of every annotated image, and 'size' is unknown of 1 of 2: fill it in, \
or leave it out with --factors hue
    """
    for name in labels.continuous if "continuous" not in kinds else ():
        assert labels.amounts is not None
        amounts = labels.amounts[:, labels.names.index(name)]
        count, low, high = len(np.unique(amounts[~np.isnan(amounts)])), np.nanmin(amounts), np.nanmax(amounts)
        raise ValueError(
            f"{who} learns values such as classes, and {name!r} holds {count} different numbers from {low:g} to "
            f"{high:g}: leave it out{_rest(labels, name)}, or write a word for each range of them"
        )
    if "several" not in kinds and len(labels):
        _ = labels.classes
    for name, count in labels.missing().items() if "missing" not in kinds else ():
        raise ValueError(
            f"{who} needs every factor of every annotated image, and {name!r} is unknown of {count} of {len(labels)}: "
            f"fill it in, or leave it out{_rest(labels, name)}"
        )


def _rest(labels: FewLabels, name: str) -> str:
    rest = ",".join(other.replace(" ", "-") for other in labels.names if other != name)
    return f" with --factors {rest}" if rest else ""
