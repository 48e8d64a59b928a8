"""Unsupervised disentanglement ranking: do models trained alike agree on the axes of their codes? Needs no factors.

Duan et al., "Unsupervised Model Selection for Variational Disentangled Representation Learning", ICLR 2020, Section 4.

Shape suffixes: N points, J code dimensions (P and Q of two models), S models.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.matrices import dead_codes
from contrafact.core.metric import ArrayLike, BoolArray, FloatArray, MetricInfo, MetricResult, measured
from contrafact.core.several import read_models
from contrafact.metrics._linear import standardize

INFO = MetricInfo(kind="models", low=0.0, high=1.0, higher_is_better=True, source="Duan et al. 2020, Section 4")
LASSO_PENALTY = 0.1


@dataclass(frozen=True, kw_only=True)
class UdrResult(MetricResult):
    """Agreement between models; ``score`` is the mean over models, ``matrix`` ``(S, S)`` the pairwise scores, 0
    where models are not compared.

    Attributes:
        per_model: each model's median agreement with the others ``(S,)``: the ranking.
    """

    per_model: FloatArray


def relative_strength(similarity_PQ: FloatArray) -> float:
    """Mean over rows and over columns of ``max² / sum``: 1 for a permutation matrix; an empty row counts 0.

    >>> relative_strength(np.array([[0.0, 1.0], [1.0, 0.0]]))
    1.0
    """
    if 0 in similarity_PQ.shape:
        return 0.0
    halves = []
    for axis in (0, 1):
        total, top = similarity_PQ.sum(axis=axis), similarity_PQ.max(axis=axis)
        halves.append(np.where(total > 0, top**2 / np.where(total > 0, total, 1.0), 0.0).mean())
    return float(np.mean(halves))


def _lasso(codes_NP: FloatArray, codes_NQ: FloatArray) -> FloatArray:
    from sklearn.linear_model import Lasso

    weights: FloatArray = np.abs(Lasso(alpha=LASSO_PENALTY).fit(codes_NP, codes_NQ).coef_)
    return weights.reshape(codes_NQ.shape[1], codes_NP.shape[1]).T


def _spearman(codes_NP: FloatArray, codes_NQ: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    ranks_NP, ranks_NQ = (standardize(rankdata(codes, axis=0))[0] for codes in (codes_NP, codes_NQ))
    return np.asarray(np.abs(ranks_NP.T @ ranks_NQ) / len(codes_NP))


def _together(groups: Sequence[Hashable] | None, num_models: int) -> BoolArray:
    """Which models ``(S, S)`` are compared with which: those of one group, never a model with itself."""
    names: list[Hashable] = [0] * num_models if groups is None else list(groups)
    if len(names) != num_models:
        raise ValueError(f"groups needs one entry per model: {num_models}, got {len(names)}")
    alone = [name for name in dict.fromkeys(names) if names.count(name) == 1]
    if alone:
        raise ValueError(f"group {alone[0]!r} has one model, and nothing to compare it with; train another seed")
    return np.array([[names[i] == names[j] and i != j for j in range(num_models)] for i in range(num_models)])


@measured
def udr(
    codes: Sequence[ArrayLike],
    *,
    kl: Sequence[ArrayLike] | None = None,
    correlation: Literal["lasso", "spearman"] = "lasso",
    kl_threshold: float = 0.01,
    groups: Sequence[Hashable] | None = None,
) -> UdrResult:
    """Unsupervised disentanglement ranking of models by how well their codes match one to one.

    Args:
        codes: one ``(N, J)`` matrix per model, at least two models, all of the same images in the same order.
        kl: ``(J,)`` mean KL divergence of each code of each model; codes at or below ``kl_threshold`` are left out.
            Without it, dead codes are.
        correlation: ``lasso`` (weights of a lasso regression, the paper's better one) or ``spearman``.
        kl_threshold: in nats.
        groups: the hyperparameters of each model, by any name. Models are then compared with those of their own group,
            seed against seed (UDR); without it all are compared with all (the paper's UDR-A2A, for few seeds).

    Returns:
        score in [0, 1], higher is better: models that agree have found something, though not necessarily the
        factors. Copies of one model score high by construction: seeds must differ.

    Raises:
        ValueError: fewer than two models, shapes that do not fit, an unknown correlation, or a group of one model.

    >>> import numpy as np
    >>> codes = np.random.default_rng(0).normal(size=(500, 3))
    >>> udr([codes, -2.0 * codes[:, [2, 0, 1]]], correlation="spearman").score > 0.9
    True
    """
    if correlation not in ("lasso", "spearman"):
        raise ValueError(f"correlation must be 'lasso' or 'spearman', got {correlation!r}")
    matrices = read_models(codes)
    if kl is not None and len(kl) != len(matrices):
        raise ValueError(f"kl needs one vector per model: {len(matrices)}, got {len(kl)}")
    live = []
    for s, values in enumerate(matrices):
        if kl is None:
            keep = ~dead_codes(values)
        else:
            divergence_J = np.asarray(kl[s], dtype=np.float64)
            if divergence_J.shape != values.shape[1:]:
                raise ValueError(f"kl[{s}] must have shape {values.shape[1:]}, got {divergence_J.shape}")
            keep = divergence_J > kl_threshold
        live.append(standardize(values)[0][:, keep])
    compare = _lasso if correlation == "lasso" else _spearman
    num_models = len(live)
    together_SS = _together(groups, num_models)
    pairs_SS = np.zeros((num_models, num_models))
    for i, j in np.ndindex(pairs_SS.shape):
        if together_SS[i, j] and live[i].shape[1] and live[j].shape[1]:
            pairs_SS[i, j] = relative_strength(compare(live[i], live[j]))
    per_model = np.array([np.median(pairs_SS[together_SS[:, s], s]) for s in range(num_models)])
    grouped = "" if groups is None else f"_groups{len(set(groups))}"
    return UdrResult(
        score=float(per_model.mean()),
        protocol=f"udr_{correlation}_models{num_models}{grouped}_n{len(matrices[0])}",
        num_train=len(matrices[0]),
        matrix=pairs_SS,
        per_model=per_model,
    )
