"""Scores recorded earlier, or elsewhere, beside ours: from JSON, with tolerances where there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrafact.core.files import read_json
from contrafact.evaluation.result import Evaluation

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Beside:
    """One score and its reference.

    Attributes:
        score: full name (``"dci.completeness"``).
        reference: the recorded value.
        ours: the value found now.
        tolerance: how far apart they may be; infinite when none was recorded.
    """

    score: str
    reference: float
    ours: float
    tolerance: float = math.inf

    @property
    def difference(self) -> float:
        return self.ours - self.reference

    @property
    def within(self) -> bool:
        return abs(self.difference) <= self.tolerance


def read_reference(path: str | Path) -> tuple[dict[str, float], dict[str, float]]:
    """Recorded scores and tolerances by full score name.

    Args:
        path: JSON with ``scores``, as ``Evaluation.write`` makes it, and perhaps ``tolerances``; or the scores alone.

    Raises:
        ValueError: no such file, no JSON, or values that are not numbers.
    """
    content = read_json(path)
    whole = isinstance(content, dict) and isinstance(content.get("scores"), dict)
    scores, tolerances = (content["scores"], content.get("tolerances", {})) if whole else (content, {})
    return _numbers(scores, path), _numbers(tolerances, path)


def _numbers(values: Any, path: str | Path) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise ValueError(f'{path} must hold scores by name, {{"mig.score": 0.4}}; got {type(values).__name__}')
    bad = [k for k, v in values.items() if v is not None and (isinstance(v, bool) or not isinstance(v, int | float))]
    if bad:
        raise ValueError(f"{path}: {bad[0]} must be a number, got {values[bad[0]]!r}")
    return {name: float(value) for name, value in values.items() if value is not None}


def put_beside(evaluation: Evaluation, scores: Mapping[str, float], tolerances: Mapping[str, float]) -> list[Beside]:
    """Every score that both have, in the order of ours.

    Raises:
        ValueError: they have no score in common.
    """
    ours = evaluation.scores()
    rows = [Beside(n, scores[n], v, tolerances.get(n, math.inf)) for n, v in ours.items() if n in scores]
    if not rows:
        raise ValueError(f"the reference has none of the scores asked for; it has {', '.join(scores) or 'none'}")
    return rows


def reference_table(rows: list[Beside]) -> Table:
    """A ``rich`` table of reference and ours; what is out of tolerance is red."""
    from rich.table import Table

    table = Table(title="Reference and ours", title_justify="left")
    table.add_column("score")
    for column in ("reference", "ours", "difference", "tolerance"):
        table.add_column(column, justify="right")
    for row in rows:
        tolerance = "" if math.isinf(row.tolerance) else f"{row.tolerance:.0e}"
        values = (f"{row.reference:.6f}", f"{row.ours:.6f}", f"{row.difference:+.1e}", tolerance)
        table.add_row(row.score, *values, style="" if row.within else "bold red")
    return table
