"""A recipe's numbers as a markdown table, beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from contrafact.bench.recipe import LOG, Recipe, Row
from contrafact.evaluation.codes import info_of
from contrafact.evaluation.run import CONTROL


class Cell(NamedTuple):
    """One row at one seed: its scores by column title, its training time in seconds, and what it learned from."""

    row: str
    seed: int
    scores: Mapping[str, float]
    seconds: float
    source: str = ""


def results_table(recipe: Recipe, cells: Mapping[str, Sequence[Cell]]) -> str:
    """Markdown: each row's mean ± standard deviation over seeds beside the published numbers.

    A row that is a control is followed by the margin over it: the difference of the means, also in units of the larger
    of the two standard deviations.
    """
    titles = list(recipe.columns)
    printed = {title for row in recipe.rows for title in row.published}  # a column nobody published has ours alone
    head = [""]
    for title in titles:
        head += [f"{title}, ours", f"{title}, published"] if title in printed else [title]
    head += ["seeds", "training"]
    lines = [head, ["---"] * len(head)]
    controlled: Row | None = None
    for row in recipe.rows:
        mine = cells[row.name]
        numbers = []
        for title in titles:
            found = [cell.scores[title] for cell in mine if title in cell.scores]
            numbers.append(_mean_std(found) + _best(recipe, title, found))
            numbers += [_published(row.published.get(title))] if title in printed else []
        seconds = f"{np.mean([cell.seconds for cell in mine]):.0f} s" if mine else "–"
        lines.append([row.name, *numbers, str(len(mine)), seconds])
        if row.method == CONTROL and controlled is not None and len(mine) > 1:
            both = [*mine, *cells[controlled.name]]
            margins = []
            for title in titles:
                known = all(title in cell.scores for cell in both)
                margins.append(_margin(title, cells[controlled.name], mine) if known else "")
                margins += [""] if title in printed else []
            lines.append([f"{controlled.name} − {row.name}", *margins, "", ""])
        controlled = row
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean_std(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _best(recipe: Recipe, title: str, values: Sequence[float]) -> str:
    if not recipe.best or len(values) < 2:
        return ""
    metric = recipe.columns[title][0]
    return f" ({max(values) if metric == LOG or info_of(metric).higher_is_better else min(values):.3f})"


def _published(numbers: tuple[float, float | None] | None) -> str:
    if numbers is None:
        return "–"
    return f"{numbers[0]:.3f}" if numbers[1] is None else f"{numbers[0]:.3f} ± {numbers[1]:.3f}"


def _margin(title: str, ours: Sequence[Cell], control: Sequence[Cell]) -> str:
    first, second = ([cell.scores[title] for cell in cells] for cells in (ours, control))
    gap, spread = np.mean(first) - np.mean(second), max(np.std(first, ddof=1), np.std(second, ddof=1))
    return f"{gap:+.3f} ({gap / spread:+.1f} std)" if spread > 0 else f"{gap:+.3f}"
