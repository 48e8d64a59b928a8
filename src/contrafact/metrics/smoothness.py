"""Smoothness: mean pairwise Gaussian potential of embeddings on the sphere; small when they spread evenly.

"ContraLORD", Section 3.4, Eq. 7, after the uniformity of Wang & Isola, ICML 2020: the sum of E exp(-t ‖g_i - g_j‖²)
over content and residual embeddings, t = 2. As printed, collapse scores highest (2 for two embeddings) and perfect
uniformity lowest (about 0.04 in 128 dimensions), yet the paper's tables report higher as better: both the raw value
and its -log are given here, and lower raw is better.

Shape suffixes: N points, J code dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from contrafact.core.dataset import check_count
from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, check_codes, measured

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=2.0,
    higher_is_better=False,
    source="ContraLORD, Eq. 7",
    ranges={"negative_log": (-math.log(2), math.inf)},
)
CHUNK = 1024  # rows compared at a time


@dataclass(frozen=True, kw_only=True)
class SmoothnessResult(MetricResult):
    """``score`` is the raw sum of Eq. 7, in (0, 1] per embedding; lower is more even.

    Attributes:
        negative_log: ``-log(score)``, higher is more even.
    """

    negative_log: float

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "negative_log": self.negative_log}

    def details(self) -> list[str]:
        """The remark without which the number is misread."""
        return ["lower is more even; ContraLORD's tables report higher as better, though collapse scores highest"]


def potential(codes_NJ: FloatArray, t: float) -> float:
    """Mean of ``exp(-t ‖g_i - g_j‖²)`` over pairs of different rows of ``(N, J)`` unit vectors.

    >>> round(potential(np.array([[1.0, 0.0], [-1.0, 0.0]]), t=0.25), 4) == round(math.exp(-1), 4)
    True
    """
    n = len(codes_NJ)
    total = 0.0
    for first in range(0, n, CHUNK):
        cosine = codes_NJ[first : first + CHUNK] @ codes_NJ.T
        total += float(np.exp(np.minimum(2.0 * t * (cosine - 1.0), 0.0)).sum())
    return (total - n) / (n * (n - 1))


@measured
def smoothness(
    codes: ArrayLike,
    residual_codes: ArrayLike | None = None,
    *,
    t: float = 2.0,
    max_points: int = 10_000,
    seed: int = 0,
) -> SmoothnessResult:
    """Mean pairwise Gaussian potential of the L2-normalised codes, plus that of the residual codes.

    Args:
        codes: ``(N, J)`` content embeddings.
        residual_codes: ``(N, R)`` residual embeddings, None when there are none.
        t: sharpness of the kernel.
        max_points: more rows than this are drawn at random: the cost is quadratic.
        seed: of that draw.

    Returns:
        score in (0, 1], or (0, 2] with residual codes; lower is more even.

    Raises:
        ValueError: fewer than two rows, a row of zeros (it has no place on the sphere), or ``t`` is not positive.

    >>> import numpy as np
    >>> smoothness(np.ones((4, 3))).score
    1.0
    """
    if not t > 0:
        raise ValueError(f"t must be positive, got {t}")
    check_count("max_points", max_points)
    score, notes = 0.0, []
    given = [("codes", codes)] + ([("residual_codes", residual_codes)] if residual_codes is not None else [])
    rows = 0
    for name, values in given:
        values_NJ = check_codes(values, name)
        if len(values_NJ) < 2:
            raise ValueError(f"{name} needs at least two rows to have pairs, got 1")
        if len(values_NJ) > max_points:
            notes.append(f"{name}: {max_points} of {len(values_NJ)} rows drawn")
            values_NJ = np.random.default_rng(seed).choice(values_NJ, max_points, replace=False)
        lengths_N = np.linalg.norm(values_NJ, axis=1)
        if not lengths_N.all():
            raise ValueError(f"{name}: row {int(np.argmin(lengths_N))} is all zeros and has no place on the sphere")
        score += potential(values_NJ / lengths_N[:, None], t)
        rows = len(values_NJ)
    score = min(score, float(len(given)))
    return SmoothnessResult(
        score=score,
        protocol=f"smoothness_n{rows}_t{t:g}_embeddings{len(given)}",
        num_train=rows,
        seed=seed if notes else None,
        negative_log=-math.log(score) if score > 0 else math.inf,
        notes=tuple(notes),
    )
