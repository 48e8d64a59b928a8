"""Coefficient of determination: how much of each factor can be predicted from the codes, or from a block of them?

Block-identifiability as von Kügelgen et al. measure it, "Self-Supervised Learning with Data Augmentations Provably
Isolates Content from Style", NeurIPS 2021, Section 5: regressions on standardised codes, linear or by kernel ridge,
scored on held-out points, for the factors of each block apart.

Shape suffixes: N points, M test points, J code dimensions, K factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.matrices import Pair, read_pair
from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, measured
from contrafact.metrics._linear import standardize

INFO = MetricInfo(
    kind="static",
    low=-np.inf,
    high=1.0,
    higher_is_better=True,
    source="von Kügelgen et al. 2021, Section 5",
    quantities=True,
)
PENALTIES, PRECISIONS, NUM_FOLDS = (1.0, 0.1, 0.01, 0.001), tuple(np.logspace(-2, 2, 4)), 3
"""Grid and folds of the kernel ridge regression, the authors' own."""
MOST_KERNEL_POINTS = 4096
HIDDEN = (256, 256)
ROWS_AT_ONCE = 4096

Predict = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, kw_only=True)
class R2Result(MetricResult):
    """Coefficients of determination on held-out points; ``score`` is their mean over factors, from all codes.

    Attributes:
        score_train: the same on the points fitted.
        code_blocks: names of the blocks of codes.
        factor_blocks: names of the blocks of factors.
        blocks: mean coefficient of each block of factors from each block of codes, ``(code blocks, factor blocks)``.
    """

    score_train: float
    code_blocks: tuple[str, ...]
    factor_blocks: tuple[str, ...]
    blocks: FloatArray

    def scores(self) -> dict[str, float]:
        pairs = np.ndindex(self.blocks.shape) if self.blocks.size > 1 else ()
        by_block = {f"{self.code_blocks[b]}→{self.factor_blocks[c]}": float(self.blocks[b, c]) for b, c in pairs}
        return {"r2": self.score, "train": self.score_train, **by_block}


def determination(factors_NK: FloatArray, predicted_NK: FloatArray) -> FloatArray:
    """One minus the share of each factor's variance that is left ``(K,)``; 0 for a factor that never changes.

    >>> determination(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]])).tolist()
    [0.5]
    """
    left_K = ((factors_NK - predicted_NK) ** 2).sum(axis=0)
    whole_K = ((factors_NK - factors_NK.mean(axis=0)) ** 2).sum(axis=0)
    return np.where(whole_K > 0, 1.0 - left_K / np.where(whole_K > 0, whole_K, 1.0), 0.0)


def _fit_linear(codes_NJ: FloatArray, factors_NK: FloatArray, seed: int) -> Predict:
    weights_JK = np.linalg.lstsq(codes_NJ, factors_NK, rcond=None)[0]  # both have mean 0
    return lambda codes: np.asarray(codes @ weights_JK)


def _fit_mlp(codes_NJ: FloatArray, factors_NK: FloatArray, seed: int) -> Predict:
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=HIDDEN, early_stopping=True, max_iter=500, random_state=seed).fit(
        codes_NJ, factors_NK
    )
    return lambda codes: np.asarray(model.predict(codes)).reshape(len(codes), -1)


def _similarity(codes_MJ: FloatArray, codes_NJ: FloatArray, precision: float) -> FloatArray:
    from scipy.spatial.distance import cdist

    return np.asarray(np.exp(-precision * cdist(codes_MJ, codes_NJ, "sqeuclidean")))


def _fit_kernel(codes_NJ: FloatArray, factors_NK: FloatArray, seed: int) -> Predict:
    """Radial kernel ridge regression; penalty and width by threefold cross-validation over contiguous folds."""
    from scipy.linalg import solve

    if len(codes_NJ) > MOST_KERNEL_POINTS:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(codes_NJ))[:MOST_KERNEL_POINTS])
        codes_NJ, factors_NK = codes_NJ[chosen], factors_NK[chosen]
    best, settings = -np.inf, (PENALTIES[0], PRECISIONS[0])
    folds = np.array_split(np.arange(len(codes_NJ)), min(NUM_FOLDS, len(codes_NJ)))
    for precision in PRECISIONS:
        similarity_NN = _similarity(codes_NJ, codes_NJ, precision)
        for penalty in PENALTIES:
            found = []
            for fold in folds:
                kept = np.setdiff1d(np.arange(len(codes_NJ)), fold)
                ridge = similarity_NN[np.ix_(kept, kept)] + penalty * np.eye(len(kept))
                weights = solve(ridge, factors_NK[kept], assume_a="pos")
                found.append(determination(factors_NK[fold], similarity_NN[np.ix_(fold, kept)] @ weights).mean())
            if np.mean(found) > best:
                best, settings = float(np.mean(found)), (penalty, precision)
    penalty, precision = settings
    ridge = _similarity(codes_NJ, codes_NJ, precision) + penalty * np.eye(len(codes_NJ))
    weights_NK = solve(ridge, factors_NK, assume_a="pos")

    def predict(codes: FloatArray) -> FloatArray:
        blocks = np.array_split(codes, range(ROWS_AT_ONCE, len(codes), ROWS_AT_ONCE))
        return np.concatenate([_similarity(block, codes_NJ, precision) @ weights_NK for block in blocks])

    return predict


PROBES = {"linear": _fit_linear, "kernel": _fit_kernel, "mlp": _fit_mlp}


def _fit(pair: Pair, columns: Sequence[int], probe: str, seed: int) -> tuple[FloatArray, FloatArray]:
    """Coefficients of each factor ``(K,)`` on the points fitted and on the test points."""
    codes_NJ, codes_MJ = standardize(pair.codes_NJ[:, columns], pair.codes_test_NJ[:, columns])
    factors_NK, factors_MK = standardize(pair.factors_NK, pair.factors_test_NK)
    predict = PROBES[probe](codes_NJ, factors_NK, seed)
    return determination(factors_NK, predict(codes_NJ)), determination(factors_MK, predict(codes_MJ))


def _read_blocks(blocks: Mapping[str, Sequence[int]] | None, size: int, what: str) -> dict[str, list[int]]:
    if blocks is None:
        return {f"all {what}": list(range(size))}
    for name, columns in blocks.items():
        if not len(columns) or not all(isinstance(c, int) and 0 <= c < size for c in columns):
            raise ValueError(
                f"{what[:-1]}_blocks[{name!r}] must list columns from 0 to {size - 1}, got {list(columns)}"
            )
    if not blocks:
        raise ValueError(f"{what[:-1]}_blocks names no block; leave it out for one block of all {what}")
    return {name: list(columns) for name, columns in blocks.items()}


@measured
def r2(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    probe: Literal["linear", "kernel", "mlp"] = "linear",
    code_blocks: Mapping[str, Sequence[int]] | None = None,
    factor_blocks: Mapping[str, Sequence[int]] | None = None,
    active: Active = None,
    seed: int = 0,
) -> R2Result:
    """Coefficient of determination of the factors, predicted from the codes, on held-out points.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` numbers of any kind; a category is not a quantity: use ``linear_probe``.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        probe: ``linear`` (least squares: identifiability up to an affine map), ``kernel`` (radial kernel ridge
            regression of at most 4096 rows: up to any smooth map) or ``mlp`` (two hidden layers of 256).
        code_blocks: columns of the codes by name, such as ``{"content": [0, 1, 2], "style": [3, 4]}``.
        factor_blocks: columns of the factors by name. A block of codes is block-identified when it predicts the factors
            of its own block (near 1) and not those of the others (near 0, where blocks are independent).
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all, and where
            ``code_blocks`` names them. See :func:`~contrafact.core.active.active_codes`.
        seed: of the rows the kernel sees, and of the network.

    Returns:
        score at most 1, higher is better, negative where predictions are worse than the mean; ``per_factor`` ``(K,)``
        from all codes; ``blocks``, each block of factors from each block of codes.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, an unknown probe, or blocks that name
            columns there are none of.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).normal(size=(600, 3))
    >>> codes = np.hstack([factors[:, :2] @ [[0.8, 0.6], [-0.6, 0.8]], 3.0 * factors[:, 2:]])
    >>> of = {"content": [0, 1], "style": [2]}
    >>> r2(codes, factors, probe="kernel", code_blocks=of, factor_blocks=of).blocks.round(1).clip(0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if probe not in PROBES:
        raise ValueError(f"probe must be 'linear', 'kernel' or 'mlp', got {probe!r}")
    if active is not None and code_blocks is not None:
        raise ValueError("code_blocks names the codes to look at, and so does active; pass one of them")
    pair = read_pair(codes, factors, codes_test, factors_test, continuous=True)
    rows = _read_blocks(code_blocks, pair.codes_NJ.shape[1], "codes")
    columns = _read_blocks(factor_blocks, pair.factors_NK.shape[1], "factors")
    train_K, per_factor = _fit(pair, range(pair.codes_NJ.shape[1]), probe, seed)
    found = [per_factor if code_blocks is None else _fit(pair, block, probe, seed)[1] for block in rows.values()]
    return R2Result(
        score=float(per_factor.mean()),
        protocol=f"r2_{probe}_{pair.tag}",
        num_train=min(len(pair.codes_NJ), MOST_KERNEL_POINTS) if probe == "kernel" else len(pair.codes_NJ),
        num_test=len(pair.codes_test_NJ),
        per_factor=per_factor,
        seed=None if probe == "linear" else seed,
        score_train=float(train_K.mean()),
        code_blocks=tuple(rows),
        factor_blocks=tuple(columns),
        blocks=np.array([[float(values_K[block].mean()) for block in columns.values()] for values_K in found]),
    )
