"""A recipe's results drawn: every run of every row, curves over what a recipe sweeps, and ranks.

Figures 3 and 6 of DisCo are of these kinds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contrafact.bench.recipe import Recipe, Row
from contrafact.bench.table import Scores, by_data, ranked_rows, ranking_of, split_by_device
from contrafact.core.catalog import slug
from contrafact.core.files import atomic_path
from contrafact.evaluation.pictures import BLUE, INK, PALE, plot_ranking

Figure = Any  # matplotlib's, which is imported only when something is drawn
FEWEST_FOR_A_SHAPE = 5
"""Runs from which a violin is drawn around the dots: of fewer a density says what the smoothing does."""
PANELS_ACROSS = 4
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_ORANGE = "#d9822b"
_CURVES = (BLUE, "#2a8c62", "#8a55b8")


def draw(recipe: Recipe, cells: Mapping[str, Sequence[Scores]], folder: Path, stem: str) -> list[Path]:
    """Draw what the results allow: runs, a curve where the recipe sweeps something, and ranks of each column.

    Args:
        recipe: the rows and columns to draw.
        cells: their runs.
        folder: where the pictures go.
        stem: what their names begin with.

    Returns:
        the files written.
    """
    recipe, cells = split_by_device(recipe, cells)
    files = [save(runs_picture(recipe, cells), folder / f"{stem}-runs.png")]
    if recipe.sweep and len(_numbers(recipe, cells)) > 1:
        files.append(save(sweep_picture(recipe, cells), folder / f"{stem}-sweep.png"))
    for title, (data, part) in itertools.product(recipe.columns, by_data(recipe, cells).items()):
        ranked = ranked_rows(part, cells, title)
        if len(ranked) > 2:
            axes = plot_ranking(ranking_of(part, title, ranked))
            name = slug(f"{title} {data}".strip())
            files.append(save(axes.figure, folder / f"{stem}-ranks-{name}.png"))
    return files


def runs_picture(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> Figure:
    """A panel a column: every run of a row as a dot, a violin around five or more, what was published beside it.

    Args:
        recipe: the rows and columns to draw; rows without runs and published numbers are left out.
        cells: their runs.

    Raises:
        ValueError: there are no runs.
    """
    shown = [row for row in recipe.rows if cells[row.name]]
    if not shown:
        raise ValueError("there are no runs to draw")
    width = max(len(row.name) for row in shown) * 0.075
    figure, panels = _panels(len(recipe.columns), width + 2.2, 0.9 + 0.32 * len(shown))
    for panel, title in zip(panels, recipe.columns, strict=True):
        for place, row in enumerate(shown):
            values = [cell.scores[title] for cell in cells[row.name] if title in cell.scores]
            if len(set(values)) >= FEWEST_FOR_A_SHAPE:
                for body in panel.violinplot(values, [place], orientation="horizontal", showextrema=False)["bodies"]:
                    body.set(facecolor=PALE, alpha=1.0)
            panel.plot(values, [place] * len(values), "o", color=BLUE, markersize=3.5, alpha=0.7)
            if values:
                panel.plot(np.mean(values), place, "|", color=INK, markersize=13)
            if title in row.published:
                mean, spread = row.published[title]
                panel.errorbar(mean, place + 0.28, xerr=spread, fmt="D", color=_ORANGE, markersize=4, fillstyle="none")
        panel.set_title(title, fontsize=9, color=INK)
        panel.set_yticks(range(len(shown)), [row.name for row in shown])
        panel.set_ylim(len(shown) - 0.4, -0.6)
        panel.grid(axis="x", color="#e6e6e6", linewidth=0.7)
        _plain(panel)
        if not panel.get_subplotspec().is_first_col():
            panel.tick_params(labelleft=False)
    is_published = any(title in row.published for row in shown for title in recipe.columns)
    figure.supxlabel("dots: runs, bar: their mean" + "; diamonds: published" * is_published, fontsize=8, color=INK)
    return figure


def sweep_picture(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> Figure:
    """A panel a column: means with their deviations over the number in the rows' names, and what was published.

    Args:
        recipe: what it sweeps, as its ``sweep`` calls it, and its curves, where there are several; rows without a
            number in their name are left out.
        cells: their runs.

    Raises:
        ValueError: fewer than two rows with a number have runs.
    """
    numbers = _numbers(recipe, cells)
    if len(numbers) < 2:
        raise ValueError(f"a curve over {recipe.sweep or 'nothing'} needs two rows with a number in their name")
    shown = sorted((row for row in recipe.rows if row.name in numbers), key=lambda row: numbers[row.name])
    curves = _curves(recipe, shown, cells)
    figure, panels = _panels(len(recipe.columns), 2.8, 2.6)
    for panel, title in zip(panels, recipe.columns, strict=True):
        for place, (label, rows, printed) in enumerate(curves):
            color = _CURVES[place % len(_CURVES)]
            every = [[cell.scores[title] for cell in cells[row.name] if title in cell.scores] for row in rows]
            kept = [place for place, values in enumerate(every) if values]
            x = np.array([numbers[rows[place].name] for place in kept])
            mean = np.array([np.mean(every[place]) for place in kept])
            spread = np.array([np.std(every[place], ddof=1) if len(every[place]) > 1 else 0.0 for place in kept])
            panel.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
            panel.plot(x, mean, "o-", color=color, markersize=4, label=label)
            # A row that was computed on several kinds of device has its published number on each.
            published = {(numbers[row.name], row.published[title][0]) for row in printed if title in row.published}
            if published:
                theirs = {"color": color} if len(recipe.curves) > 1 else {"color": _ORANGE, "label": "published"}
                panel.plot(*zip(*sorted(published), strict=True), "D--", markersize=4, fillstyle="none", **theirs)
        if len(curves) > 1 or any(title in row.published for row in shown):
            panel.legend(fontsize=7, frameon=False)
        ticks = np.unique([*numbers.values()])
        if ticks[0] > 0 and ticks[-1] / ticks[0] >= 8:
            panel.set_xscale("log", base=2)
            panel.set_xticks(ticks, [f"{value:g}" for value in ticks], fontsize=7)
            panel.minorticks_off()
        panel.set_title(title, fontsize=9, color=INK)
        panel.set_xlabel(recipe.sweep, fontsize=8, color=INK)
        _plain(panel)
    return figure


def _numbers(recipe: Recipe, cells: Mapping[str, Sequence[Scores]]) -> dict[str, float]:
    """The number in the name of each row that has runs and a number."""
    found = {row.name: _NUMBER.search(row.name) for row in recipe.rows if cells[row.name]}
    return {name: float(match[0].replace(",", "")) for name, match in found.items() if match}


class _Curve(NamedTuple):
    """A line of a sweep's picture.

    Attributes:
        label: what the legend calls it.
        rows: the rows it goes through.
        published: the rows whose published numbers are drawn in its colour.
    """

    label: str
    rows: list[Row]
    published: list[Row]


def _curves(recipe: Recipe, shown: Sequence[Row], cells: Mapping[str, Sequence[Scores]]) -> list[_Curve]:
    """A curve for each label of the recipe and each kind of device that its rows were computed on.

    Published numbers go with the first of a label. A row that was computed on several kinds of device is several rows
    (:func:`~contrafact.bench.table.split_by_device`), each with its kind in the name.
    """
    kind_of = {row.name: cells[row.name][0].kind_of_device for row in shown}
    kinds = list(dict.fromkeys(kind_of.values()))
    curves = []
    for label, names in (recipe.curves or {"ours": tuple(kind_of)}).items():
        rows = [row for row in shown if any(_is_of(row.name, name, kind_of) for name in names)]
        published = rows
        for kind in kinds:
            on_kind = [row for row in rows if kind_of[row.name] == kind]
            if on_kind:
                called = f"{label} ({kind})" if kind and len(kinds) > 1 else label
                curves.append(_Curve(called, on_kind, published))
                published = []
    return curves


def _is_of(name: str, row: str, kind_of: Mapping[str, str]) -> bool:
    """Whether a name is a recipe's row, or that row on a kind of device."""
    return name in (row, f"{row} ({kind_of[name]})")


def _panels(count: int, width: float, height: float) -> tuple[Figure, Sequence[Any]]:
    """A figure of so many panels, a few in a row, the first of which is ``width`` inches wide with its labels."""
    from matplotlib import pyplot

    across = min(count, PANELS_ACROSS)
    down = -(-count // across)
    size = (width + 2.4 * (across - 1), height * down)
    figure, axes = pyplot.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    for empty in axes.flat[count:]:
        empty.set_axis_off()
    return figure, list(axes.flat[:count])


def _plain(panel: Any) -> None:
    panel.tick_params(length=0, colors=INK, labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG on white, atomically, and let go of it; returns the path."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, facecolor="white")
    pyplot.close(figure)
    return path
