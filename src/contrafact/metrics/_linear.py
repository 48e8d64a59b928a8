"""Logistic regressions as the published protocols fit them.

Shape suffixes: N points, M test points, J code dimensions, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contrafact.core.matrices import dead_codes
from contrafact.core.metric import FloatArray, IntArray

LOGISTIC = "logistic_C1"
"""What a protocol's name calls :func:`fit_logistic` with its own penalty."""


def standardize(codes_NJ: FloatArray, *others: FloatArray) -> list[FloatArray]:
    """Codes and any others, shifted and scaled to the first's mean 0 and deviation 1; dead codes become 0."""
    mean_J, deviation_J = codes_NJ.mean(axis=0), codes_NJ.std(axis=0)
    live_J = ~dead_codes(codes_NJ) & (deviation_J > 0)
    scale_J = np.where(live_J, 1.0 / np.where(live_J, deviation_J, 1.0), 0.0)
    return [(values - mean_J) * scale_J for values in (codes_NJ, *others)]


def fit_logistic(
    codes_NJ: FloatArray, labels_N: IntArray, seed: int | None = None, inverse_penalty: float = 1.0
) -> Any:
    """Multinomial logistic regression, scikit-learn's default since 0.22 (L2 penalty, at most 100 L-BFGS steps)."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # The published numbers come from 100 steps whether or not they suffice.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # whole numbers are classes here
        return LogisticRegression(C=inverse_penalty, random_state=seed).fit(codes_NJ, labels_N)


def one_vs_rest_probabilities(
    codes_NJ: FloatArray, labels_N: IntArray, *others: FloatArray, inverse_penalty: float = 1.0
) -> tuple[IntArray, list[FloatArray]]:
    """Classes ``(C,)``, and for the codes and each of ``others`` the probabilities ``(N, C)`` of one model per class.

    Each model tells one class from all others; their probabilities are divided by their sum over classes, as
    scikit-learn does wherever it fits one model per class (its default before 0.22).
    """
    from scipy.special import expit

    classes_C = np.unique(labels_N)
    # Two classes are one question.
    asked_C = classes_C[1:] if len(classes_C) == 2 else classes_C
    models = [fit_logistic(codes_NJ, labels_N == value, inverse_penalty=inverse_penalty) for value in asked_C]
    results = []
    for values_NJ in (codes_NJ, *others):
        likely_NC = expit(np.stack([model.decision_function(values_NJ) for model in models], axis=1))
        if len(classes_C) == 2:
            likely_NC = np.concatenate([1.0 - likely_NC, likely_NC], axis=1)
        total_N = likely_NC.sum(axis=1, keepdims=True)
        results.append(likely_NC / np.where(total_N > 0, total_N, 1.0))
    return classes_C, results
