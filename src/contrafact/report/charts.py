"""Charts: which code follows which factor, as heat maps, and loss curves.

Shape suffixes: P pairs, J code dimensions, K factors.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.dataset import FactorDataset, check_count
from contrafact.core.files import atomic_path

FloatArray = npt.NDArray[np.float64]
Figure = Any  # matplotlib's Figure, which is imported only when a chart is drawn

ACCENT = "#2f6fdb"
INK = "#333333"
_PAGE_INK = "#010203"  # stands for "the page's text colour" until a chart is written into a page
MAX_COLUMNS = 64
MAX_POINTS = 500


@torch.no_grad()
def variation(
    encode: Callable[[Tensor], Tensor],
    dataset: FactorDataset,
    rng: np.random.Generator,
    pairs: int = 200,
    batch_size: int = 256,
) -> FloatArray:
    """How the codes move when one true factor alone changes (DisCo, Fig. 5).

    For each factor, ``pairs`` images and their twins that differ in that factor only; ``|E(x') - E(x)|``, scaled to
    length 1 as in DisCo's variation space, averaged over the pairs.

    Args:
        encode: images ``(N, C, H, W)`` to codes ``(N, J)``.
        dataset: known factors.
        rng: draws the pairs.
        pairs: P, pairs per factor.
        batch_size: images encoded at once.

    Returns:
        ``(K, J)`` in [0, 1]: a row with a single 1 is a factor that one code alone follows; a row of zeros is a factor
        that no code sees, or that has one value only.
    """
    sizes_K = np.asarray(dataset.factor_sizes)
    num_factors = len(sizes_K)
    base_PK = dataset.sample(check_count("pairs", pairs), rng)
    twins_KPK = np.repeat(base_PK[None], num_factors, axis=0)
    # An offset from 1 to size - 1 reaches every other value equally often, and never the value itself.
    offsets_PK = rng.integers(1, np.maximum(sizes_K, 2), size=base_PK.shape)
    k = np.arange(num_factors)
    twins_KPK[k, :, k] = ((base_PK + offsets_PK) % sizes_K).T
    factors = np.concatenate((base_PK[None], twins_KPK)).reshape(-1, num_factors)
    batches = np.array_split(factors, math.ceil(len(factors) / check_count("batch_size", batch_size)))
    codes = torch.cat([encode(dataset.images(part)).float().cpu() for part in batches])
    codes_KPJ = codes.double().unflatten(0, (num_factors + 1, pairs))
    moves_KPJ = (codes_KPJ[1:] - codes_KPJ[0]).abs()
    lengths = moves_KPJ.norm(dim=-1, keepdim=True)
    result: FloatArray = (moves_KPJ / torch.where(lengths > 0, lengths, 1.0)).mean(dim=1).numpy()
    return result


def diagonal_order(matrix_KJ: FloatArray) -> npt.NDArray[np.int64]:
    """Order of the J columns that brings the best one-to-one match with the K rows onto the diagonal.

    Columns matched to no row follow, the heaviest first.

    >>> diagonal_order(np.array([[0.1, 0.2, 0.9], [0.0, 0.8, 0.1]])).tolist()
    [2, 1, 0]
    """
    from scipy.optimize import linear_sum_assignment

    _, matched = linear_sum_assignment(matrix_KJ, maximize=True)  # rows come back sorted
    rest = np.setdiff1d(np.argsort(-matrix_KJ.sum(axis=0), kind="stable"), matched, assume_unique=True)
    return np.concatenate((matched, rest)).astype(np.int64)


def heat_map(
    matrix_KJ: FloatArray,
    rows: Sequence[str],
    *,
    title: str = "",
    columns: str = "code",
    ink: str = INK,
    most: int = MAX_COLUMNS,
) -> Figure:
    """A matrix of non-negative numbers, factors down, codes across in :func:`diagonal_order`.

    Args:
        matrix_KJ: ``(K, J)``.
        rows: K names.
        title: line above.
        columns: what a column is.
        ink: colour of text and lines.
        most: columns to draw; the rest, the last in the order, is left out and the axis says so.

    Raises:
        ValueError: names that do not fit the matrix.
    """
    from matplotlib.colors import to_rgb

    if matrix_KJ.ndim != 2 or len(rows) != len(matrix_KJ) or 0 in matrix_KJ.shape:
        raise ValueError(f"a heat map needs a matrix (K, J) and K row names; got {matrix_KJ.shape}, {len(rows)} names")
    order = diagonal_order(matrix_KJ)
    shown = np.maximum(matrix_KJ[:, order[:most]], 0.0)
    num_rows, num_columns = shown.shape
    peak = float(shown.max())
    share = shown / peak if peak > 0 else shown
    values_fit = num_columns <= 16
    cell = 0.52 if values_fit else 0.24
    label_width = 0.35 + 0.085 * max(map(len, rows))
    width, height = label_width + max(cell * num_columns, 2.4) + 0.2, 0.34 * num_rows + (0.95 if title else 0.65)
    figure = new_figure(width, height)
    axes = figure.add_axes(
        (label_width / width, 0.55 / height, 1 - (label_width + 0.2) / width, 0.34 * num_rows / height)
    )
    # The colour is the accent, more or less see-through: it reads on a white page and on a black one.
    colours = np.empty((num_rows * num_columns, 4))
    colours[:, :3], colours[:, 3] = to_rgb(ACCENT), 0.03 + 0.97 * share.ravel()
    mesh = axes.pcolormesh(np.arange(num_columns + 1), np.arange(num_rows + 1), share, linewidth=0)
    mesh.set_array(None)
    mesh.set_facecolor(colours)
    if values_fit:
        for row, column in np.ndindex(shown.shape):
            colour = "#ffffff" if share[row, column] > 0.6 else ink
            text = f"{shown[row, column]:.2f}" if peak < 10 else f"{shown[row, column]:.0f}"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=8.5)
    axes.set_ylim(num_rows, 0)
    axes.set_yticks(np.arange(num_rows) + 0.5, rows)
    axes.set_xticks(np.arange(num_columns) + 0.5, [str(j) for j in order[:most]], fontsize=9 if values_fit else 7)
    left_out = len(order) - num_columns
    note = f" ({left_out} weaker ones left out)" if left_out else ""
    scale = "" if values_fit else f"; full colour = {peak:.2f}"
    axes.set_xlabel(f"{columns}{note}{scale}", color=ink, fontsize=9)
    axes.tick_params(length=0, colors=ink, labelsize=9 if values_fit else None)
    axes.tick_params(axis="y", labelsize=9)
    axes.spines[:].set_visible(False)
    if title:
        figure.text(0.01, 1 - 0.12 / height, title, va="top", color=ink, fontsize=10, fontweight="bold")
    return figure


def scalars(log: Sequence[Mapping[str, float]]) -> list[str]:
    """Names of the values a training log holds, in order of appearance."""
    return [key for key in dict.fromkeys(key for line in log for key in line) if key != "step"]


def loss_curves(log: Sequence[Mapping[str, float]], names: Sequence[str] | None = None, ink: str = INK) -> Figure:
    """One small panel per logged value: pale as logged, strong smoothed.

    Args:
        log: lines of ``log.jsonl``: ``step`` and values.
        names: values to draw; all by default.
        ink: colour of text and lines.

    Raises:
        ValueError: nothing to draw.
    """
    names = scalars(log) if names is None else names
    if not names or not log:
        raise ValueError("there is nothing to draw: the training log holds no values")
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(3.2 * columns, 2.1 * rows)
    for number, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, number + 1)
        steps, raw, smooth = _curve(log, name)
        axes.plot(steps, raw, color=ACCENT, alpha=0.45, linewidth=0.8)
        axes.plot(steps, smooth, color=ACCENT, linewidth=1.6)
        finite = raw[np.isfinite(raw)]
        if finite.min() > 0 and finite.max() / finite.min() > 30:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter("")  # labels between powers of ten lie on top of each other
        axes.set_title(name.replace("_", " "), loc="left", color=ink, fontsize=10)
        axes.tick_params(colors=ink, labelsize=8, length=2.5)
        axes.grid(axis="y", color=ink, alpha=0.12, linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(ink)
        axes.xaxis.set_major_locator(_few_ticks())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}")
    figure.tight_layout()
    return figure


def _curve(log: Sequence[Mapping[str, float]], name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Steps, values and smoothed values of one logged name, at most ``MAX_POINTS`` each (means of neighbours)."""
    points = np.array([(line["step"], line[name]) for line in log if name in line], dtype=np.float64)
    if len(points) > MAX_POINTS:
        points = np.array([part.mean(axis=0) for part in np.array_split(points, MAX_POINTS)])
    steps, raw = points.T
    window = np.ones(2 * (len(raw) // 40) + 1)
    weight = np.convolve(np.ones_like(raw), window, mode="same")
    return steps, raw, np.convolve(raw, window, mode="same") / weight


def scatter(sets: Sequence[tuple[str, FloatArray, npt.NDArray[np.int64]]], ink: str = INK) -> Figure:
    """Points in the plane, a panel per set, a colour per class, each class's number at the middle of its points.

    Args:
        sets: title, points ``(N, 2)`` and classes ``(N,)`` of each panel.
        ink: colour of text.
    """
    from matplotlib import colormaps

    side = 4.2
    figure = new_figure(side * len(sets), side + 0.3)
    for number, (title, points_N2, classes_N) in enumerate(sets):
        axes = figure.add_axes(((number + 0.03) / len(sets), 0.02, 0.94 / len(sets), side / (side + 0.3) - 0.03))
        palette = colormaps["tab10" if classes_N.max(initial=0) < 10 else "gist_ncar"]
        shades = palette(classes_N % 10 if classes_N.max(initial=0) < 10 else classes_N / classes_N.max())
        axes.scatter(points_N2[:, 0], points_N2[:, 1], s=3, c=shades, linewidths=0, rasterized=True)
        for value in np.unique(classes_N):
            middle = np.median(points_N2[classes_N == value], axis=0)
            axes.text(*middle, str(value), color=ink, ha="center", va="center", fontsize=11, fontweight="bold")
        axes.set_title(title, color=ink, fontsize=10)
        axes.set_axis_off()
    return figure


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, integer=True)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure as MatplotlibFigure

    return MatplotlibFigure(figsize=(width, height))  # not through pyplot, which would keep it alive


def save_chart(figure: Figure, path: str | Path) -> Path:
    """Write a chart as a PNG on white, atomically; returns its path."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, facecolor="white")
    return Path(path)


def inline_svg(draw: Callable[[str], Figure], name: str, description: str) -> str:
    """A chart as ``<svg>`` for a page, in the page's own text colour and font, whatever its theme.

    Args:
        draw: makes the chart, given the colour of its text and lines.
        name: unique in the page; keeps the charts' internal references apart.
        description: what the chart says, for people who cannot see it.
    """
    import html

    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        draw(_PAGE_INK).savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text).replace(_PAGE_INK, "currentColor")
    label = html.escape(description, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
