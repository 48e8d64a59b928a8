"""Centred kernel alignment: do several representations place the same images alike, up to rotation and scale?

Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, Section 3; without bias by the
estimator of Song et al., "Feature Selection via Dependence Maximization", JMLR 2012.

Shape suffixes: N points, B points of a block, J code dimensions, S models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, measured
from contrafact.core.several import centre, mean_of_others, read_models

INFO = MetricInfo(kind="models", low=-1.0, high=1.0, higher_is_better=True, source="Kornblith et al. 2019, Section 3")
MOST_FOR_MEDIAN = 4096
BYTES_AT_ONCE = 2**28


@dataclass(frozen=True, kw_only=True)
class CkaResult(MetricResult):
    """Similarity of representations; ``score`` is the mean over pairs, ``matrix`` ``(S, S)`` the pairwise values.

    Attributes:
        per_model: each model's mean similarity with the others ``(S,)``.
    """

    per_model: FloatArray


def _squared_distances(codes_BJ: FloatArray, codes_NJ: FloatArray) -> FloatArray:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(codes_BJ, codes_NJ, "sqeuclidean"))


def _widths(matrices: list[FloatArray], width: float) -> list[float]:
    """Twice the squared width of each model's kernel: ``width`` times the median distance of its points."""
    found = []
    for codes_NJ in matrices:
        chosen = np.linspace(0, len(codes_NJ) - 1, min(len(codes_NJ), MOST_FOR_MEDIAN)).astype(np.int64)
        median = float(np.median(_squared_distances(codes_NJ[chosen], codes_NJ[chosen])))
        found.append(2.0 * width**2 * (median or 1.0))
    return found


def _radial(matrices: list[FloatArray], widths: list[float]) -> Iterator[tuple[slice, list[FloatArray]]]:
    """Rows of every model's kernel matrix, some at a time."""
    num_points = len(matrices[0])
    step = max(1, BYTES_AT_ONCE // (8 * num_points * len(matrices)))
    for start in range(0, num_points, step):
        rows = slice(start, start + step)
        pairs = zip(matrices, widths, strict=True)
        yield rows, [np.exp(-_squared_distances(codes_NJ[rows], codes_NJ) / scale) for codes_NJ, scale in pairs]


def _sums(matrices: list[FloatArray], kernel: str, width: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums of products ``(S, S)`` of the models' kernel matrices, their row sums and diagonals ``(S, N)``."""
    num_models, num_points = len(matrices), len(matrices[0])
    products_SS = np.zeros((num_models, num_models))
    if kernel == "linear":
        for i, j in np.ndindex(products_SS.shape):
            if i <= j:
                products_SS[i, j] = products_SS[j, i] = float(((matrices[i].T @ matrices[j]) ** 2).sum())
        rows_SN = np.stack([codes_NJ @ codes_NJ.sum(axis=0) for codes_NJ in matrices])
        return products_SS, rows_SN, np.stack([np.einsum("nj,nj->n", codes_NJ, codes_NJ) for codes_NJ in matrices])
    rows_SN = np.empty((num_models, num_points))
    for rows, parts in _radial(matrices, _widths(matrices, width)):
        flat_SB = [part.ravel() for part in parts]
        products_SS += [[float(one @ other) for other in flat_SB] for one in flat_SB]
        rows_SN[:, rows] = [part.sum(axis=1) for part in parts]
    return products_SS, rows_SN, np.ones((num_models, num_points))


@measured
def cka(
    codes: Sequence[ArrayLike],
    *,
    kernel: Literal["linear", "rbf"] = "linear",
    debiased: bool = False,
    width: float = 0.5,
) -> CkaResult:
    """Centred kernel alignment between the codes of several models, or layers, of the same images.

    Args:
        codes: one ``(N, J)`` matrix per model, at least two, all of the same images in the same order; widths may
            differ.
        kernel: ``linear``, or ``rbf`` (time grows with N squared; memory does not).
        debiased: takes out what few points of many codes share by chance; needs at least 4 points.
        width: of the radial kernel, as a share of the median distance between points (of 4096 of them where there are
            more).

    Returns:
        score in [0, 1], or in [-1, 1] and about 0 for unrelated codes when ``debiased``; higher is more alike; the mean
        over pairs of models. A model whose codes never change is like no other: 0.

    Raises:
        ValueError: fewer than two models, shapes that do not fit, an unknown kernel, a width that is not positive, or
            too few points.

    >>> import numpy as np
    >>> codes = np.random.default_rng(0).normal(size=(500, 3))
    >>> turned = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    >>> round(cka([codes, 7.0 * codes @ turned]).score, 6)
    1.0
    """
    if kernel not in ("linear", "rbf"):
        raise ValueError(f"kernel must be 'linear' or 'rbf', got {kernel!r}")
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    matrices = [centre(values) for values in read_models(codes)]
    if debiased and len(matrices[0]) < 4:
        raise ValueError(f"debiased needs at least 4 points, got {len(matrices[0])}")
    scales = [float(np.sqrt(np.mean(values**2))) or 1.0 for values in matrices]
    matrices = [values / scale for values, scale in zip(matrices, scales, strict=True)]  # no square overflows
    products_SS, rows_SN, own_SN = _sums(matrices, kernel, width)
    num_points = len(matrices[0])
    if debiased:
        products_SS = products_SS - own_SN @ own_SN.T
        rows_SN = rows_SN - own_SN
        per_row, per_pair = 2.0 / (num_points - 2), 1.0 / ((num_points - 1) * (num_points - 2))
    else:
        per_row, per_pair = 2.0 / num_points, 1.0 / num_points**2
    total_S = rows_SN.sum(axis=1)
    dependence_SS = products_SS - per_row * (rows_SN @ rows_SN.T) + per_pair * np.outer(total_S, total_S)
    varies_S = np.array([values.any() for values in matrices])
    norm_S = np.sqrt(np.where(varies_S, np.maximum(np.diag(dependence_SS), 0.0), 0.0))
    sizes_SS = np.outer(norm_S, norm_S)
    pairs_SS = np.clip(np.where(sizes_SS > 0, dependence_SS / np.where(sizes_SS > 0, sizes_SS, 1.0), 0.0), -1.0, 1.0)
    per_model = mean_of_others(pairs_SS)
    settings = f"{kernel}{f'{width:g}' if kernel == 'rbf' else ''}{'_debiased' if debiased else ''}"
    return CkaResult(
        score=float(per_model.mean()),
        protocol=f"cka_{settings}_models{len(matrices)}_n{num_points}",
        num_train=num_points,
        matrix=pairs_SS,
        per_model=per_model,
    )
