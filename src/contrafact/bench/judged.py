"""What the recipes share that ask judges what directions change (matched rescoring)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrafact.bench.recipe import Column

METRIC = "matched_rescoring"
TEN: Mapping[str, Any] = {"num_directions": 10}
"""Of every method: the best of more would be better by chance."""
FRAME_ALONE: Mapping[str, Any] = {**TEN, "find_circles": False, "steps": 1, "encoder_images": 128}
"""Of joint diagonalisation: only directions are judged, so that its encoder need not learn."""


def effect_columns(attributes: Sequence[str]) -> dict[str, Column]:
    """For each attribute of the judge what the best direction does to it, and to the others meanwhile.

    >>> list(effect_columns(["area", "slant"]))
    ['area', 'area: others', 'slant', 'slant: others']
    """
    columns = {}
    for number, name in enumerate(attributes):
        columns[name] = Column(METRIC, f"per_factor.{number}")
        columns[f"{name}: others"] = Column(METRIC, f"side.{number}", better="lower")
    return columns
