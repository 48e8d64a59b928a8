"""Who scores best: entries of a leaderboard, ranked column by column, and by the mean of their ranks.

Ranks are of means over seeds; equal means share theirs. Mean ranks order what has no common unit; how far two entries
lie apart says only the column itself. With three seeds no paired difference of two can be significant (the smallest
two-sided p-value is 0.25), so that neighbours may well be equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True)
class Entry:
    """One method on a leaderboard.

    Attributes:
        name: as the page shows it.
        method: what it ran, as the command line names it.
        scores: its values by column, one for each seed.
        learns_from: ``images`` or ``generator``.
        labels: annotated images that it learned from.
        seconds: of a training, on average.
        device: kind of the device it was computed on, ``cpu`` or ``cuda``.
        is_own: whether somebody entered it beside the catalogued ones.
    """

    name: str
    method: str
    scores: Mapping[str, tuple[float, ...]]
    learns_from: str = "images"
    labels: int = 0
    seconds: float = 0.0
    device: str = "cpu"
    is_own: bool = False

    @property
    def seeds(self) -> int:
        """How many seeds every column has a value of."""
        return min(map(len, self.scores.values()), default=0)

    def mean(self, column: str) -> float:
        """Mean over seeds; not a number where the column is empty."""
        values = self.scores.get(column, ())
        return float(np.mean(values)) if values else float("nan")

    def spread(self, column: str) -> float | None:
        """Standard deviation over seeds; None of fewer than two."""
        values = self.scores.get(column, ())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Standings:
    """Entries by rank.

    Attributes:
        title: of the protocol.
        columns: whether more is better, by title.
        entries: in any order.

    >>> found = Standings("t", {"MIG": True}, (Entry("a", "a", {"MIG": (0.1,)}), Entry("b", "b", {"MIG": (0.3,)})))
    >>> [(entry.name, rank) for entry, rank in found.ordered]
    [('b', 1.0), ('a', 2.0)]
    """

    title: str
    columns: Mapping[str, bool]
    entries: tuple[Entry, ...]

    def ranks(self, column: str) -> list[float]:
        """Rank of each entry in a column, 1 the best; not a number where it has no value there."""
        sign = -1.0 if self.columns[column] else 1.0
        return [float(rank) for rank in rankdata([sign * e.mean(column) for e in self.entries], nan_policy="omit")]

    @cached_property
    def mean_ranks(self) -> list[float]:
        """Mean over columns of each entry's ranks; not a number where it lacks one."""
        return np.mean([self.ranks(column) for column in self.columns], axis=0).tolist() if self.entries else []

    @cached_property
    def ordered(self) -> list[tuple[Entry, float]]:
        """Entries and their mean ranks, the best first; those that lack a column come last."""
        pairs = zip(self.entries, self.mean_ranks, strict=True)
        return sorted(pairs, key=lambda pair: (np.isnan(pair[1]), pair[1], pair[0].name))

    def markdown(self, around: int | None = None) -> str:
        """The table as Markdown.

        Args:
            around: only the first three, and so many before and behind each own entry; None for all.
        """
        rows = self.ordered
        own = [place for place, (entry, _) in enumerate(rows) if entry.is_own]
        kept = set(range(len(rows)))
        if around is not None and own:
            kept = {0, 1, 2, *(place + step for place in own for step in range(-around, around + 1))} & kept
        head = ["", "", "mean rank", *(f"{title} {'↑' if up else '↓'}" for title, up in self.columns.items()), "seeds"]
        lines, before = [head, ["---"] * len(head)], -1
        for place in sorted(kept):
            if place > before + 1:
                lines.append(["…"] + [""] * (len(head) - 1))
            before = place
            entry, rank = rows[place]
            name = f"**{entry.name}**" if entry.is_own else entry.name
            shown = [_shown(entry, column) for column in self.columns]
            lines.append([str(place + 1), name, "–" if np.isnan(rank) else f"{rank:.1f}", *shown, str(entry.seeds)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(entry: Entry, column: str) -> str:
    if not entry.scores.get(column):
        return "–"
    spread = entry.spread(column)
    return f"{entry.mean(column):.3f}" + (f" ± {spread:.3f}" if spread is not None else "")
