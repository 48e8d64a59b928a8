"""A recipe's numbers as tables, beside the published ones."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from contrafact.bench.kept import kind_of_device
from contrafact.bench.recipe import LOG, Recipe, Row, column_of
from contrafact.evaluation.codes import info_of
from contrafact.evaluation.compare import compare_runs
from contrafact.evaluation.grid import Grid
from contrafact.evaluation.paper import TIED
from contrafact.evaluation.ranks import Ranking, corrected, rank_methods, smallest_p
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.run import CONTROL
from contrafact.methods import CATALOG


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


def results_grid(
    recipe: Recipe, cells: Mapping[str, Sequence[Scores]], stand: Sequence[Standing] | None = None
) -> Grid:
    """Each row's mean ± standard deviation over seeds beside the published numbers, the best of those ranked marked.

    A row that is a control is followed by the margin over it: the difference of the means, also in units of the larger
    of the two standard deviations. ``stand`` are the :func:`standings`, where they are known already.
    """
    titles = list(recipe.columns)
    printed = {title for row in recipe.rows for title in row.published}  # a column nobody published has ours alone
    heads = [(title, ("ours", "published") if title in printed else ()) for title in titles]
    ranked = standings(recipe, cells) if stand is None else stand
    first = {(one.title, name) for one in ranked for name in one.best()}
    lines, best = list[tuple[str, ...]](), set[tuple[int, int]]()
    controlled: Row | None = None
    for row in recipe.rows:
        mine = cells[row.name]
        numbers = [row.name]
        for title in titles:
            if (title, row.name) in first:
                best.add((len(lines), len(numbers)))
            found = [cell.scores[title] for cell in mine if title in cell.scores]
            numbers.append(_mean_std(found) + _best(recipe, title, found))
            numbers += [_published(row.published.get(title))] if title in printed else []
        seconds = f"{np.mean([cell.seconds for cell in mine]):.0f} s" if mine else "–"
        lines.append((*numbers, _seeds(mine), seconds))
        if row.method == CONTROL and controlled is not None and min(len(mine), len(cells[controlled.name])) > 1:
            both = [*mine, *cells[controlled.name]]
            margins = []
            for title in titles:
                known = all(title in cell.scores for cell in both)
                margins.append(_margin(title, cells[controlled.name], mine) if known else "")
                margins += [""] if title in printed else []
            lines.append((f"{controlled.name} − {row.name}", *margins, "", ""))
        controlled = row
    return Grid((("", ()), *heads, ("seeds", ()), ("training", ())), tuple(lines), frozenset(best))


def paired_grid(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> Grid | None:
    """Every row less the one it is tested against, over the seeds that both have; None without two seeds.

    Each entry is the mean difference and its two-sided p-value by flips of sign, corrected for the rows of its column
    (Holm).
    """
    titles = list(recipe.columns)
    pairs: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for row, title in itertools.product(recipe.rows, titles):
        both = paired_scores({name: cells[name] for name in (recipe.against, row.name)}, title)
        if row.name != recipe.against and len(both[row.name]) > 1:
            pairs[row.name, title] = both[recipe.against], both[row.name]
    tested = [row.name for row in recipe.rows if any((row.name, title) in pairs for title in titles)]
    entries: dict[tuple[str, str], str] = {}
    for title in titles:
        column = {name: pairs[name, title] for name in tested if (name, title) in pairs}
        p_values = corrected([compare_runs(first, second) for first, second in column.values()])
        for (name, (first, second)), p in zip(column.items(), p_values, strict=True):
            entries[name, title] = f"{np.mean(second) - np.mean(first):+.3f} (p {p:.2g})"
    body = [[name, *(entries.get((name, title), "–") for title in titles)] for name in tested]
    return _grid("Tested against one row", [f"less {recipe.against}", *titles], body)


class Standing(NamedTuple):
    """Rows of a column on the same data, ranked over the places that all with two runs share.

    Attributes:
        title: the column.
        data: the data set, where the recipe's rows are on several; else empty.
        order: the rows, that of the best mean first.
        ranks: mean rank of each, 1 the best.
        scores: their numbers, paired.
    """

    title: str
    data: str
    order: list[str]
    ranks: Mapping[str, float]
    scores: Mapping[str, Sequence[float]]

    def best(self) -> list[str]:
        """The rows whose mean is as good as that of the first."""
        means = {name: float(np.mean(self.scores[name])) for name in self.order}
        return [name for name in self.order if abs(means[name] - means[self.order[0]]) <= TIED]


def standings(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> list[Standing]:
    """How the rows of each column stand, data set by data set, where two can be compared."""
    found = []
    for title, (data, part) in itertools.product(recipe.columns, by_data(recipe, cells).items()):
        scores = ranked_rows(part, cells, title)
        if len(scores) > 1:
            ranking = ranking_of(part, title, scores)
            ranks = dict(zip(ranking.methods, ranking.mean_ranks, strict=True))
            upwards = -1 if is_higher_better(part, title) else 1
            means = {name: upwards * float(np.mean(values)) for name, values in scores.items()}
            order = sorted(scores, key=lambda name, means=means, ranks=ranks: (means[name], ranks[name]))  # type: ignore[misc]
            found.append(Standing(title, data, order, ranks, scores))
    return found


def standings_grid(
    recipe: Recipe, cells: Mapping[str, Sequence[Scores]], stand: Sequence[Standing] | None = None
) -> Grid | None:
    """For each column the two rows with the best means, each with its mean rank, and whether they differ.

    Over the places that all rows with two runs share, of which the table says how many: the difference of the means,
    its two-sided p-value by flips of sign, and the smallest one that so few pairs can give. A column of the log, or of
    which neither end is the better, is left out, and rows on several data sets are several lines; None where no column
    has two rows of two runs.
    """
    body = []
    for title, data, order, ranks, scores in standings(recipe, cells) if stand is None else stand:
        best, following = (scores[name] for name in order[:2])
        p, least = compare_runs(best, following), smallest_p(len(best))
        named = [f"{name} ({ranks[name]:.1f})" for name in order[:2]]
        gap = float(np.mean(best) - np.mean(following))
        tested = [f"{gap:+.3f}", str(len(best)), f"{p:.2g}", f"{least:.2g}"]
        body.append([f"{title}, on {data}" if data else title, *named, *tested])
    heads = ["column", "best (mean rank)", "next", "difference", "runs", "p", "smallest p of so few"]
    return _grid("The best two", heads, body)


def ranks_grid(
    recipe: Recipe, cells: Mapping[str, Sequence[Scores]], stand: Sequence[Standing] | None = None
) -> Grid | None:
    """Every row's mean rank in each column, among the rows on the same data; None where :func:`standings` are none."""
    stand = standings(recipe, cells) if stand is None else stand
    ranks = {(name, one.title): f"{rank:.1f}" for one in stand for name, rank in one.ranks.items()}
    titles = list(dict.fromkeys(one.title for one in stand))
    names = [row.name for row in recipe.rows if any(row.name == name for name, _ in ranks)]
    among = " of its data" if any(one.data for one in stand) else ""
    body = [[name, *(ranks.get((name, title), "–") for title in titles)] for name in names]
    return _grid("Mean ranks", [f"mean rank, 1 the best{among}", *titles], body)


def grids(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> list[Grid]:
    """All tables that are to be printed: results, tests against a row, the best two of each column, ranks."""
    tested = paired_grid(recipe, cells) if recipe.against else None
    stand = standings(recipe, cells)
    found = [results_grid(recipe, cells, stand), tested]
    found += [standings_grid(recipe, cells, stand), ranks_grid(recipe, cells, stand)]
    return [grid for grid in found if grid is not None]


def _grid(title: str, heads: Sequence[str], body: Sequence[Sequence[str]]) -> Grid | None:
    return Grid(tuple((head, ()) for head in heads), tuple(map(tuple, body)), title=title) if body else None


def is_higher_better(recipe: Recipe, title: str) -> bool:
    """Which end of a column is the better one: what the recipe says, else the metric's."""
    column = column_of(recipe.columns[title])
    if column.better is not None or column.metric == LOG:
        return column.better != "lower"
    return info_of(parse_target(column.metric).metric).higher_is_better


def by_data(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> dict[str, Recipe]:
    """The recipe's rows by the data they are on, as only rows on the same are ranked against each other.

    Rows on a generator go with those on images where these have one data set: it is what the generator was trained on,
    or stands for it. Where they have several, rows on a generator go by its name.
    """
    names: dict[str, str | None] = {}
    before: str | None = None
    for row in recipe.rows:
        if row.method != CONTROL:  # which is on what the row before it is on
            before = row.source if isinstance(row.source, str) and not _is_on_generator(row) else None
        names[row.name] = before
    several = len({*names.values()} - {None}) > 1
    parts: dict[str, list[Row]] = {}
    for row in recipe.rows:
        on = names[row.name]
        if several and on is None:
            on = next((cell.source.partition(" ")[0] for cell in cells[row.name] if cell.source), "")
        parts.setdefault(on or "" if several else "", []).append(row)
    return {data: replace(recipe, rows=tuple(rows), against="") for data, rows in parts.items()}


def _is_on_generator(row: Row) -> bool:
    return row.method in CATALOG and CATALOG.get(row.method).source == "generator"


def ranked_rows(recipe: Recipe, cells: Mapping[str, Sequence[Scores]], title: str) -> dict[str, list[float]]:
    """A column's numbers by row, over the places (seed, generator, device) that all rows with two or more share.

    Where they share fewer than two, rows are left out that share least with the others: one that was computed on
    another device, or at other seeds. Nothing of a column of the log or one without a better end, and nothing where no
    two rows share two places. Rows on several data sets are to be given one data set at a time (:func:`by_data`).
    """
    column = column_of(recipe.columns[title])
    if column.metric == LOG or column.better == "neither":
        return {}
    found = {row.name: [cell for cell in cells[row.name] if title in cell.scores] for row in recipe.rows}
    rows = {name: runs for name, runs in found.items() if len(runs) > 1}
    ranked = paired_scores(rows, title)
    while len(rows) > 1 and any(len(values) < 2 for values in ranked.values()):
        rows.pop(min(reversed(rows), key=lambda name: _shared(rows, name, title)))
        ranked = paired_scores(rows, title)
    return ranked if len(rows) > 1 else {}


def _shared(rows: Mapping[str, Sequence[Scores]], name: str, title: str) -> int:
    """How many places a row shares with the others, one after the other."""
    pairs = ({name: rows[name], other: cells} for other, cells in rows.items() if other != name)
    return sum(len(paired_scores(pair, title)[name]) for pair in pairs)


def paired_scores(rows: Mapping[str, Sequence[Scores]], title: str) -> dict[str, list[float]]:
    """A column's numbers by row, in the order of the places that all rows share.

    On generators that were trained first, runs on the same one are a pair. Where rows are on several kinds of source
    (images, a GAN, a flow), generator 0 of one has nothing to do with generator 0 of another: their numbers are
    averaged over the generators of each seed.
    """
    runs = {name: [cell for cell in cells if title in cell.scores] for name, cells in rows.items()}
    is_one_kind = len({_kind_of_source(cell) for cells in runs.values() for cell in cells}) < 2
    found: dict[str, dict[tuple[int, int | None, str], list[float]]] = {}
    for name, cells in runs.items():
        places = found.setdefault(name, {})
        for cell in cells:
            place = cell.place if is_one_kind else (cell.seed, None, cell.kind_of_device)
            places.setdefault(place, []).append(cell.scores[title])
    shared = [place for place in next(iter(found.values()), {}) if all(place in places for places in found.values())]
    return {name: [float(np.mean(places[place])) for place in shared] for name, places in found.items()}


def _kind_of_source(cell: Scores) -> str:
    """What the generator was that was trained first, such as ``glow-on-shapes3d``; empty for every other source."""
    return "" if cell.generator is None else cell.source.partition(" (")[0] or "a generator"


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
