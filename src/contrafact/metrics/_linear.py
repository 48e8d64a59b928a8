"""Standardised codes, and logistic regression stopped where scikit-learn stops it.

Shape suffixes: N points, J code dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contrafact.core.matrices import dead_codes
from contrafact.core.metric import FloatArray, IntArray

SMALLEST = 1e-150  # of which the square is a number still
LOGISTIC = "logistic_C1"
"""What a protocol's name calls multinomial logistic regression with its own penalty."""


def standardize(codes_NJ: FloatArray, *others: FloatArray) -> list[FloatArray]:
    """Codes and any others, shifted and scaled to the first's mean 0 and deviation 1; dead codes become 0."""
    mean_J, scale_J = standard_scale(codes_NJ)
    results = []
    for values in (codes_NJ, *others):
        results.append(values - mean_J)
        results[-1] *= scale_J
    return results


def standard_scale(codes_NJ: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What :func:`standardize` takes away from each code ``(J,)``, and multiplies it by, 0 for dead codes."""
    mean_J, deviation_J = codes_NJ.mean(axis=0), codes_NJ.std(axis=0)
    live_J = ~dead_codes(codes_NJ)
    for j in np.flatnonzero(live_J & (deviation_J < SMALLEST)):  # whose squares are too small to be told apart
        exponent = int(np.frexp(np.abs(codes_NJ[:, j]).max())[1])
        deviation_J[j] = np.ldexp(np.ldexp(codes_NJ[:, j], -exponent).std(), exponent)
    live_J &= deviation_J > np.finfo(np.float64).tiny
    return mean_J, np.where(live_J, 1.0 / np.where(live_J, deviation_J, 1.0), 0.0)


def fit_lbfgs(codes_NJ: FloatArray, labels_N: IntArray, seed: int | None = None, inverse_penalty: float = 1.0) -> Any:
    """Multinomial logistic regression as scikit-learn's default since 0.22 leaves it, after at most 100 steps.

    On standardised codes that is near the optimum, which :func:`contrafact.metrics._logistic.fit_logistic` reaches. On
    codes as they come it may be far from it, and published numbers come from there.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # whole numbers are classes here
        return LogisticRegression(C=inverse_penalty, random_state=seed).fit(codes_NJ, labels_N)
