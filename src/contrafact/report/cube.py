"""The cube: images that traverse three factors, each at the place of its codes (DisCo, Appendix B.2).

When three codes follow three factors, one each, the points form a cube whose colours run along its edges.

Shape suffixes: K factors, J code dimensions, P points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import FactorDataset, IntArray, check_count
from contrafact.report.charts import INK, Figure, FloatArray, new_figure, variation


@dataclass(frozen=True)
class Cube:
    """Codes of images over a grid of three factors.

    Attributes:
        factors: three names.
        codes: the code that follows each.
        positions: values of these codes ``(P, 3)``.
        values: the factors' values ``(P, 3)``, in [0, 1]: the points' colours.
        explained: share of each code's variance that its factor alone explains, ``(3,)``: 1 for a perfect cube.
    """

    factors: tuple[str, str, str]
    codes: tuple[int, int, int]
    positions: FloatArray
    values: FloatArray
    explained: FloatArray


@torch.no_grad()
def factor_cube(
    encode: Callable[[Tensor], Tensor],
    dataset: FactorDataset,
    rng: np.random.Generator,
    factors: Sequence[str] = (),
    *,
    values: int = 8,
    pairs: int = 200,
    batch_size: int = 256,
) -> Cube:
    """Encode all combinations of three factors' values, the other factors being the same in all images.

    The codes are those that move most with each factor (:func:`contrafact.report.charts.variation`), one to one.

    Args:
        encode: images ``(N, C, H, W)`` to codes ``(N, J)``, J at least 3.
        dataset: known factors.
        rng: draws the other factors' values and the pairs that match codes with factors.
        factors: three of the dataset's; by default the three that a code of their own follows best.
        values: values of each factor at most, evenly chosen.
        pairs: pairs of images per factor for the matching.
        batch_size: images encoded at once.

    Raises:
        ValueError: not three factors, unknown ones, too few that vary, or an encoder of fewer than three codes.
    """
    from scipy.optimize import linear_sum_assignment

    names = list(dataset.factor_names)
    for name in factors:
        if name not in names:
            raise ValueError(unknown_name_message(f"factor of {dataset.name}", name, names))
    if factors and len(set(factors)) != 3:
        raise ValueError(f"a cube has three different factors, got {list(factors)}")
    matrix_KJ = variation(encode, dataset, rng, pairs, batch_size)
    if matrix_KJ.shape[1] < 3:
        raise ValueError(f"a cube needs three codes, the encoder gives {matrix_KJ.shape[1]}")
    sizes = np.asarray(dataset.factor_sizes)
    candidates = np.asarray([names.index(name) for name in factors] or np.flatnonzero(sizes > 2))
    if len(candidates) < 3:
        raise ValueError(f"{dataset.name} has fewer than three factors of more than two values; name three of {names}")
    rows, columns = linear_sum_assignment(matrix_KJ[candidates], maximize=True)
    if not factors:
        best = np.sort(np.argsort(-matrix_KJ[candidates[rows], columns], kind="stable")[:3])
        rows, columns = rows[best], columns[best]
    chosen = candidates[rows]
    codes_of = dict(zip(chosen.tolist(), columns.tolist(), strict=True))
    grid = _grid(dataset, chosen, rng, check_count("values", values))
    batches = np.array_split(grid, math.ceil(len(grid) / check_count("batch_size", batch_size)))
    codes_PJ = torch.cat([encode(dataset.images(part)).double().cpu() for part in batches]).numpy()
    code_numbers = [codes_of[k] for k in chosen.tolist()]
    positions = codes_PJ[:, code_numbers]
    explained = np.array([_share(positions[:, i], grid[:, k]) for i, k in enumerate(chosen)])
    first, second, third = (names[k] for k in chosen)
    return Cube(
        (first, second, third),
        (code_numbers[0], code_numbers[1], code_numbers[2]),
        positions,
        grid[:, chosen] / np.maximum(sizes[chosen] - 1, 1),
        explained,
    )


def _grid(dataset: FactorDataset, chosen: IntArray, rng: np.random.Generator, values: int) -> IntArray:
    """All combinations of the chosen factors' values ``(P, K)``, the last chosen fastest; the others drawn once."""
    sizes = np.asarray(dataset.factor_sizes)[chosen]
    ticks = [np.unique(np.linspace(0, size - 1, min(values, size)).round().astype(np.int64)) for size in sizes]
    combinations = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, len(chosen))
    grid = np.repeat(dataset.sample(1, rng), len(combinations), axis=0)
    grid[:, chosen] = combinations
    return grid


def _share(code: FloatArray, factor: IntArray) -> float:
    """Share of a code's variance between the groups of equal factor values."""
    total = float(code.var())
    if total == 0:
        return 0.0
    _, group = np.unique(factor, return_inverse=True)
    means = np.bincount(group, weights=code) / np.bincount(group)
    return float(means[group].var()) / total


def cube_chart(cube: Cube, title: str = "", ink: str = INK) -> Figure:
    """The points in space, their factors' values as red, green and blue, and the three faces they cast.

    Args:
        cube: the points.
        title: line above.
        ink: colour of text and lines.
    """
    figure = new_figure(10.5, 4.1)
    labels = [f"code {j} ({name})" for j, name in zip(cube.codes, cube.factors, strict=True)]
    colours = np.clip(0.1 + 0.8 * cube.values, 0, 1)
    space = figure.add_axes((0.0, 0.02, 0.38, 0.86), projection="3d")
    space.scatter(*cube.positions.T, c=colours, s=14, depthshade=False, linewidths=0)
    for set_label, label in zip((space.set_xlabel, space.set_ylabel, space.set_zlabel), labels, strict=True):
        set_label(label, color=ink, fontsize=8, labelpad=-6)
    space.tick_params(colors=ink, labelsize=6.5, pad=-3)
    space.view_init(elev=22, azim=-58)
    for number, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        axes = figure.add_axes((0.43 + 0.195 * number, 0.2, 0.145, 0.58))
        axes.scatter(cube.positions[:, i], cube.positions[:, j], c=colours, s=7, linewidths=0)
        axes.set_xlabel(labels[i], color=ink, fontsize=8)
        axes.set_ylabel(labels[j], color=ink, fontsize=8)
        axes.tick_params(colors=ink, labelsize=7, length=2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(ink)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(cube.factors, cube.explained, strict=True))
    text = f"{title}\n" if title else ""
    figure.text(
        0.01, 0.98, f"{text}share of each code that its factor explains: {shares}", va="top", color=ink, fontsize=9.5
    )
    return figure
