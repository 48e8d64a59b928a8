"""A recipe's numbers as a markdown table, beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from contrafact.bench.kept import kind_of_device
from contrafact.bench.recipe import LOG, Recipe, Row, column_of
from contrafact.evaluation.codes import info_of
from contrafact.evaluation.compare import compare_runs
from contrafact.evaluation.ranks import Ranking, corrected, rank_methods, smallest_p
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.run import CONTROL


class Scores(NamedTuple):
    """One row at one seed.

    Attributes:
        row: the row's name.
        seed: its seed.
        scores: its numbers by column title.
        seconds: of its training.
        source: what it learned from.
        device: where it was trained, as ``cpu (x86_64)``.
        key: its cell.
        cost: what computing the scores cost, and on which machine.
        generator: seed of the generator it was on, where that was trained first.
    """

    row: str
    seed: int
    scores: Mapping[str, float]
    seconds: float
    source: str = ""
    device: str = ""
    key: str = ""
    cost: Mapping[str, Any] = {}
    generator: int | None = None

    @property
    def kind_of_device(self) -> str:
        """``cpu``, ``cuda``; empty where nobody said."""
        return kind_of_device(self.device)

    @property
    def place(self) -> tuple[int, int | None, str]:
        """What two rows must share for their numbers to be a pair: seed, generator, kind of device."""
        return self.seed, self.generator, self.kind_of_device


def split_by_device(
    recipe: Recipe, cells: Mapping[str, Sequence[Scores]]
) -> tuple[Recipe, dict[str, Sequence[Scores]]]:
    """The recipe with a row for each kind of device, where a row was computed on several: those are never averaged."""
    groups: list[list[Row]] = []
    for row in recipe.rows:  # a control stays with the row it controls
        if row.method == CONTROL and groups:
            groups[-1].append(row)
        else:
            groups.append([row])
    rows: list[Row] = []
    split: dict[str, Sequence[Scores]] = {}
    for group in groups:
        kinds = list(dict.fromkeys(cell.kind_of_device for row in group for cell in cells[row.name])) or [""]
        for kind in kinds:
            for row in group:
                # The row that all others are tested against keeps its name.
                is_plain = len(kinds) == 1 or (row.name == recipe.against and kind == kinds[0])
                rows.append(row if is_plain else replace(row, name=f"{row.name} ({kind})"))
                split[rows[-1].name] = [cell for cell in cells[row.name] if cell.kind_of_device == kind]
    return replace(recipe, rows=tuple(rows)), split


def results_table(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> str:
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
        lines.append([row.name, *numbers, _seeds(mine), seconds])
        if row.method == CONTROL and controlled is not None and min(len(mine), len(cells[controlled.name])) > 1:
            both = [*mine, *cells[controlled.name]]
            margins = []
            for title in titles:
                known = all(title in cell.scores for cell in both)
                margins.append(_margin(title, cells[controlled.name], mine) if known else "")
                margins += [""] if title in printed else []
            lines.append([f"{controlled.name} − {row.name}", *margins, "", ""])
        controlled = row
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paired_table(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> str:
    """Markdown: every row less the one it is tested against, over the seeds that both have; empty without two seeds.

    Each entry is the mean difference and its two-sided p-value by flips of sign, corrected for the rows of its column
    (Holm).
    """
    base = {cell.place: cell.scores for cell in cells[recipe.against]}
    titles = list(recipe.columns)
    pairs: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for row in recipe.rows:
        places = [(cell.place, cell.scores) for cell in cells[row.name]]
        both = [(base[place], scores) for place, scores in places if place in base]
        for title in titles:
            found = [(a[title], b[title]) for a, b in both if title in a and title in b]
            if len(found) > 1 and row.name != recipe.against:
                pairs[row.name, title] = ([a for a, _ in found], [b for _, b in found])
    tested = [row.name for row in recipe.rows if any((row.name, title) in pairs for title in titles)]
    entries: dict[tuple[str, str], str] = {}
    for title in titles:
        column = {name: pairs[name, title] for name in tested if (name, title) in pairs}
        p_values = corrected([compare_runs(first, second) for first, second in column.values()])
        for (name, (first, second)), p in zip(column.items(), p_values, strict=True):
            entries[name, title] = f"{np.mean(second) - np.mean(first):+.3f} (p {p:.2g})"
    head = [f"less {recipe.against}", *titles]
    body = [[name, *(entries.get((name, title), "–") for title in titles)] for name in tested]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body]) if tested else ""


def standings_table(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> str:
    """Markdown: for each column the two rows with the best means, each with its mean rank, and whether they differ.

    Over the places that all rows with two runs share: the difference of the means, its two-sided p-value by flips of
    sign, and the smallest one that so few pairs can give. A column of the log, or of which neither end is the better,
    is left out; empty where no column has two rows of two runs.
    """
    body = []
    for title in recipe.columns:
        ranked = ranked_rows(recipe, cells, title)
        if len(ranked) < 2:
            continue
        ranking = ranking_of(recipe, title, ranked)
        rank = dict(zip(ranking.methods, ranking.mean_ranks, strict=True))
        upwards = -1 if is_higher_better(recipe, title) else 1
        best, following = sorted(ranked, key=lambda name: (upwards * float(np.mean(ranked[name])), rank[name]))[:2]
        p, least = compare_runs(ranked[best], ranked[following]), smallest_p(len(ranked[best]))
        gap = float(np.mean(ranked[best]) - np.mean(ranked[following]))
        named = [f"{name} ({rank[name]:.1f})" for name in (best, following)]
        body.append([title, *named, f"{gap:+.3f}", f"{p:.2g}", f"{least:.2g}"])
    head = ["column", "best (mean rank)", "next", "difference", "p", "smallest p of so few"]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body]) if body else ""


def is_higher_better(recipe: Recipe, title: str) -> bool:
    """Which end of a column is the better one: what the recipe says, else the metric's."""
    column = column_of(recipe.columns[title])
    if column.better is not None or column.metric == LOG:
        return column.better != "lower"
    return info_of(parse_target(column.metric).metric).higher_is_better


def ranked_rows(recipe: Recipe, cells: Mapping[str, Sequence[Scores]], title: str) -> dict[str, list[float]]:
    """A column's numbers by row, over the places (seed, generator, device) that all rows with two or more share.

    Nothing of a column of the log or one without a better end, and nothing where fewer than two places are shared.
    """
    column = column_of(recipe.columns[title])
    if column.metric == LOG or column.better == "neither":
        return {}
    found = {
        row.name: {cell.place: cell.scores[title] for cell in cells[row.name] if title in cell.scores}
        for row in recipe.rows
    }
    found = {name: scores for name, scores in found.items() if len(scores) > 1}
    shared = [place for place in next(iter(found.values()), {}) if all(place in scores for scores in found.values())]
    return {name: [scores[place] for place in shared] for name, scores in found.items()} if len(shared) > 1 else {}


def ranking_of(recipe: Recipe, title: str, ranked: Mapping[str, Sequence[float]]) -> Ranking:
    """The rows of a column compared with one another, over what :func:`ranked_rows` gives."""
    return rank_methods(dict(ranked), score=title, higher_is_better=is_higher_better(recipe, title), test="flip")


def _mean_std(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _seeds(cells: Sequence[Scores]) -> str:
    """How many runs: ``5``, or ``25 on 5 generators``."""
    generators = {cell.generator for cell in cells} - {None}
    return (
        f"{len(cells)} on {len(generators)} generator{'s' * (len(generators) > 1)}" if generators else str(len(cells))
    )


def _best(recipe: Recipe, title: str, values: Sequence[float]) -> str:
    if not recipe.best or len(values) < 2:
        return ""
    return f" ({max(values) if is_higher_better(recipe, title) else min(values):.3f})"


def _published(numbers: tuple[float, float | None] | None) -> str:
    if numbers is None:
        return "–"
    return f"{numbers[0]:.3f}" if numbers[1] is None else f"{numbers[0]:.3f} ± {numbers[1]:.3f}"


def _margin(title: str, ours: Sequence[Scores], control: Sequence[Scores]) -> str:
    first, second = ([cell.scores[title] for cell in cells] for cells in (ours, control))
    gap, spread = np.mean(first) - np.mean(second), max(np.std(first, ddof=1), np.std(second, ddof=1))
    return f"{gap:+.3f} ({gap / spread:+.1f} std)" if spread > 0 else f"{gap:+.3f}"
