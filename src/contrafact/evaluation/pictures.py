"""Pictures of scores: each with its limits, and which of many methods differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from contrafact.evaluation.ranks import Ranking
from contrafact.evaluation.result import Evaluation, label_of

Axes = Any  # matplotlib's, which is imported only when something is drawn

BLUE, INK, PALE = "#2f6fdb", "#333333", "#c8d6f0"


def _new_axes(width: float, height: float) -> Axes:
    """Axes of a figure of their own, in inches, that a notebook shows."""
    from matplotlib import pyplot

    _, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    return axes


def plot_scores(evaluation: Evaluation, ax: Axes = None) -> Axes:
    """Scores as bars, limits as error bars; those beyond -1 to 1 have no bar and are written out.

    Args:
        evaluation: what to draw.
        ax: matplotlib axes to draw into; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: there are no scores.
    """
    scores = evaluation.scores()
    if not scores:
        raise ValueError("there are no scores to draw")
    axes = _new_axes(6.4, 0.9 + 0.28 * len(scores)) if ax is None else ax
    for place, (name, value) in enumerate(scores.items()):
        if not -1 <= value <= 1:
            axes.text(0.01, place, f"{value:.3g}", va="center", fontsize=8, color=INK)
            continue
        axes.barh(place, value, color=PALE, height=0.62)
        limits = evaluation.intervals.get(name)
        if limits is not None and all(map(math.isfinite, limits)):
            axes.plot(limits, [place, place], color=BLUE, linewidth=1.6, solid_capstyle="butt")
            axes.plot(limits, [place, place], "|", color=BLUE, markersize=7)
        axes.plot(value, place, "o", color=BLUE, markersize=4)
        if name in evaluation.active:
            axes.plot(evaluation.active[name], place, "D", color=INK, markersize=4, fillstyle="none")
    lows = [low for low, _ in evaluation.intervals.values()] + list(scores.values())
    below = min([0.0, *(value for value in lows if -1 <= value <= 1)])
    axes.set_xlim(min(0.0, below - 0.03), 1.03)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    axes.set_yticks(range(len(scores)), [label_of(name) for name in scores])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    said = ["95 % limits"] * bool(evaluation.intervals) + ["diamonds: active codes alone"] * bool(evaluation.active)
    if said:
        axes.set_xlabel("; ".join(said), fontsize=9, color=INK)
    return axes


def plot_ranking(ranking: Ranking, ax: Axes = None) -> Axes:
    """A critical-difference diagram: mean ranks on a line, the best on the left; bars join what does not differ.

    Args:
        ranking: what to draw.
        ax: matplotlib axes to draw into; by default those of a new figure.

    Returns:
        The axes.
    """
    names, ranks = ranking.methods, np.array(ranking.mean_ranks)
    order = np.argsort(ranks, kind="stable")
    count, half = len(names), math.ceil(len(names) / 2)
    groups = ranking.groups()
    room = 0.16 * max(map(len, names)) * 0.5
    axes = _new_axes(4.6 + 2 * room, 1.25 + 0.26 * half + 0.13 * len(groups)) if ax is None else ax
    top = 0.0
    axes.plot([1, count], [top, top], color=INK, linewidth=1)
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [top, top + 0.18], color=INK, linewidth=1)
        axes.text(rank, top + 0.26, str(rank), ha="center", va="bottom", fontsize=9, color=INK)
    first_label = top - 0.55 - 0.28 * len(groups)
    for number, index in enumerate(order):
        on_left = number < half
        depth = first_label - 0.55 * (number if on_left else count - 1 - number)
        edge = 0.85 if on_left else count + 0.15
        axes.plot([ranks[index], ranks[index], edge], [top, depth, depth], color=INK, linewidth=0.9)
        axes.text(
            edge + (-0.05 if on_left else 0.05),
            depth,
            f"{names[index]}  {ranks[index]:.2f}" if on_left else f"{ranks[index]:.2f}  {names[index]}",
            ha="right" if on_left else "left",
            va="center",
            fontsize=9,
            color=INK,
        )
    for level, group in enumerate(groups):
        ends = [ranks[names.index(name)] for name in group]
        y = top - 0.32 - 0.28 * level
        axes.plot([min(ends) - 0.03, max(ends) + 0.03], [y, y], color=BLUE, linewidth=3.4, solid_capstyle="round")
    height = top + 0.95
    if ranking.critical_difference is not None:
        axes.plot([1, 1 + ranking.critical_difference], [height, height], color=BLUE, linewidth=1.6, marker="|")
        text = f"critical difference {ranking.critical_difference:.2f}"
        axes.text(1, height + 0.14, text, fontsize=8, color=BLUE, va="bottom")
    axes.set_title(ranking.caption(), fontsize=9, color=INK, loc="left", wrap=True)
    span = (count - 1) * (2 * room / 4.6)
    axes.set_xlim(1 - 0.3 - span / 2, count + 0.3 + span / 2)
    axes.set_ylim(first_label - 0.55 * (half - 1) - 0.4, height + 0.6)
    axes.set_axis_off()
    return axes
