"""Sub-embedding gaps: does each part of an embedding know its own task, and only that?

"Unsupervised Disentanglement without Autoencoding", Section 2: linear classifiers on the whole code and on each of its
parts, per task; the gap |C(z₀) - C(z₁)|, and whether each part is best at a task of its own (the diagonal trend), by
more than the test points' binomial error, which the paper does not ask for.

Shape suffixes: N points, M test points, J code dimensions, P parts, K factors (tasks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from contrafact.core.matrices import read_pair
from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, measured
from contrafact.metrics.linear_probe import check_solver, probe_pair

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Unsupervised Disentanglement w/o Autoencoding, §2",
    enough={"gap": 300, "whole": 300},
)
CERTAIN = 1.96
"""Standard errors by which a part must be the best at a task for the task to be its own: 95 % of chance differences are
smaller. The parts are read on the same points, so their errors mostly agree and this is on the careful side; the
paper's own trend counts any difference, and then holds by chance in half of all runs."""


@dataclass(frozen=True, kw_only=True)
class GapResult(MetricResult):
    """``score`` is the mean gap, ``per_factor`` ``(K,)`` the gap at each task, ``matrix`` ``(P, K)`` the accuracies.

    Attributes:
        whole: accuracy of the whole code at each task ``(K,)``.
        error: binomial standard error ``(K,)`` of the difference between the best two parts at each task.
        diagonal: each part is the best at a task of its own, by more than ``CERTAIN`` errors (the diagonal trend).
        matched: mean accuracy of the parts at the tasks they are matched with, one task each.
        unmatched: mean accuracy at the others.
        tasks: K names of the tasks, where they are known.
    """

    whole: FloatArray
    error: FloatArray
    diagonal: bool
    matched: float
    unmatched: float
    tasks: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        return {
            "gap": self.score,
            "matched": self.matched,
            "unmatched": self.unmatched,
            "whole": float(self.whole.mean()),
            "diagonal": float(self.diagonal),
        }

    def details(self) -> list[str]:
        """Accuracy in % by task, of the whole code and of each part, the gap and the error of what decides it."""
        matrix = np.empty((0, len(self.whole))) if self.matrix is None else self.matrix
        gap = self.per_factor if self.per_factor is not None else np.empty(0)
        rows = [("whole", self.whole), *((f"part {k}", row) for k, row in enumerate(matrix)), ("gap", gap)]
        rows += [("± error", self.error)]
        names = self.tasks or tuple(f"task {k}" for k in range(len(self.whole)))
        head = " " * 8 + "".join(f"  {name:>8}" for name in names)
        return [
            head,
            *(
                f"{label:<8}"
                + "".join(f"  {100 * v:>{max(8, len(name))}.1f}" for v, name in zip(row, names, strict=True))
                for label, row in rows
            ),
        ]


@measured
def sub_embedding_gaps(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    parts: int | Sequence[int] = 2,
    solver: Literal["logistic", "sgd"] = "logistic",
    epochs: int = 90,
    seed: int = 0,
) -> GapResult:
    """Accuracy of linear classifiers on parts of the code, per task, and the gaps between the parts.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` whole numbers, one column per task.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        parts: number of equal parts, or the width of each.
        solver: see :func:`~contrafact.metrics.linear_probe`.
        epochs: of ``sgd``.
        seed: of the ``sgd`` order.

    Returns:
        score in [0, 1]: the mean over tasks of the best part's accuracy minus the mean of the others' (for two parts
        ``|C(z₀) - C(z₁)|``). A large gap with a poor best part means little: read ``matrix`` too.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or the parts do not fill the code.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(400, 2))
    >>> result = sub_embedding_gaps(factors * [1.0, -2.0], factors)
    >>> result.diagonal, result.matched
    (True, 1.0)
    """
    from scipy.optimize import linear_sum_assignment

    tag = check_solver(solver, epochs)
    pair = read_pair(codes, factors, codes_test, factors_test)
    num_codes = pair.codes_NJ.shape[1]
    widths = [num_codes // parts] * parts if isinstance(parts, int) and parts > 0 else list(np.atleast_1d(parts))
    if len(widths) < 2 or min(widths) < 1 or sum(widths) != num_codes:
        raise ValueError(
            f"parts={parts} does not cut {num_codes} codes into at least two parts that fill them; "
            "pass a number that divides them, or widths that add up to them"
        )
    edges = np.concatenate([[0], np.cumsum(widths)])
    whole_K = probe_pair(pair, solver, epochs, seed)[0]
    rows = []
    for first, stop in pairwise(edges):
        part = replace(pair, codes_NJ=pair.codes_NJ[:, first:stop], codes_test_NJ=pair.codes_test_NJ[:, first:stop])
        rows.append(probe_pair(part, solver, epochs, seed)[0])
    accuracy_PK = np.array(rows)
    num_parts, num_tasks = accuracy_PK.shape
    best_K = accuracy_PK.max(axis=0)
    gap_K = best_K - (accuracy_PK.sum(axis=0) - best_K) / (num_parts - 1)
    matched = np.zeros_like(accuracy_PK, dtype=bool)
    matched[linear_sum_assignment(accuracy_PK, maximize=True)] = True
    second_K = np.sort(accuracy_PK, axis=0)[-2]
    error_K = np.sqrt((best_K * (1 - best_K) + second_K * (1 - second_K)) / len(pair.codes_test_NJ))
    # A task that two parts do equally well at, as far as so many test points can tell, belongs to neither.
    owners = accuracy_PK.argmax(axis=0)[best_K - second_K > CERTAIN * error_K]
    diagonal = len(np.unique(owners)) == min(num_parts, num_tasks)
    return GapResult(
        score=float(gap_K.mean()),
        protocol=f"sub_embedding_gaps_{pair.tag}_parts{num_parts}_{tag}_errors{CERTAIN:g}",
        num_train=len(pair.codes_NJ),
        num_test=len(pair.codes_test_NJ),
        per_factor=gap_K,
        matrix=accuracy_PK,
        seed=seed if solver == "sgd" else None,
        notes=pair.notes,
        whole=whole_K,
        error=error_K,
        diagonal=bool(diagonal),
        matched=float(accuracy_PK[matched].mean()),
        unmatched=float(accuracy_PK[~matched].mean()),
    )
