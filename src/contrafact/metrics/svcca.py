"""Singular vector canonical correlation: do several representations span the same directions, up to an invertible map?

Raghu et al., "SVCCA: Singular Vector Canonical Correlation Analysis for Deep Learning Dynamics and Interpretability",
NeurIPS 2017, Section 2.

Shape suffixes: N points, J code dimensions, P principal directions, S models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, measured
from contrafact.core.several import centre, mean_of_others, read_models

INFO = MetricInfo(kind="models", low=0.0, high=1.0, higher_is_better=True, source="Raghu et al. 2017, Section 2")


@dataclass(frozen=True, kw_only=True)
class SvccaResult(MetricResult):
    """Similarity of representations; ``score`` is the mean over pairs, ``matrix`` ``(S, S)`` the pairwise values.

    Attributes:
        per_model: each model's mean similarity with the others ``(S,)``.
        kept: principal directions kept of each model ``(S,)``.
    """

    per_model: FloatArray
    kept: tuple[int, ...]


def principal_basis(codes_NJ: FloatArray, variance: float) -> FloatArray:
    """Orthonormal basis ``(N, P)`` of the fewest principal directions that hold this share of the variance."""
    basis_NJ, sizes_J, _ = np.linalg.svd(centre(codes_NJ), full_matrices=False)
    rank = int((sizes_J > sizes_J[0] * max(codes_NJ.shape) * np.finfo(np.float64).eps).sum()) if sizes_J[0] else 0
    held_J = np.cumsum(sizes_J[:rank] ** 2)
    if not rank:
        return np.zeros((len(codes_NJ), 0))
    kept = int(np.searchsorted(held_J, variance * held_J[-1] * (1 - 1e-12))) + 1
    return np.asarray(basis_NJ[:, : min(kept, rank)])


@measured
def svcca(codes: Sequence[ArrayLike], *, variance: float = 0.99) -> SvccaResult:
    """Mean canonical correlation between the principal directions of several models, or layers, of the same images.

    Args:
        codes: one ``(N, J)`` matrix per model, at least two, all of the same images in the same order; widths may
            differ.
        variance: share of each model's variance that the directions kept hold; 1 keeps all: plain canonical
            correlation.

    Returns:
        score in [0, 1], higher is more alike: the mean over pairs of models of the mean over the smaller number of
        directions. A model whose codes never change is like no other: 0.

    Raises:
        ValueError: fewer than two models, shapes that do not fit, a share outside of 0 to 1, or no more points than
            directions, where any two representations agree.

    >>> import numpy as np
    >>> codes = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(svcca([codes, codes @ [[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 3.0]]], variance=1.0).score, 6)
    1.0
    """
    if not 0.0 < variance <= 1.0:
        raise ValueError(f"variance must be above 0 and at most 1, got {variance}")
    matrices = read_models(codes)
    bases = [principal_basis(values, variance) for values in matrices]
    kept = tuple(basis.shape[1] for basis in bases)
    num_points, num_models = len(matrices[0]), len(matrices)
    if sum(sorted(kept)[-2:]) >= num_points:
        raise ValueError(
            f"{num_points} points for {sorted(kept)[-2:]} directions: with no more points than directions any two "
            "representations agree; pass more points, or keep less of the variance"
        )
    pairs_SS = np.zeros((num_models, num_models))
    for i, j in np.ndindex(pairs_SS.shape):
        if i <= j and kept[i] and kept[j]:
            found = np.linalg.svd(bases[i].T @ bases[j], compute_uv=False)
            pairs_SS[i, j] = pairs_SS[j, i] = float(np.minimum(found, 1.0).mean())
    per_model = mean_of_others(pairs_SS)
    return SvccaResult(
        score=float(per_model.mean()),
        protocol=f"svcca_variance{variance:g}_models{num_models}_n{num_points}",
        num_train=num_points,
        matrix=pairs_SS,
        per_model=per_model,
        kept=kept,
    )
