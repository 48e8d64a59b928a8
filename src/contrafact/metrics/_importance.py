"""How concentrated importances are: the entropies behind DCI and MED.

Shape suffixes: R rows, M masses per row.
"""

from __future__ import annotations

import numpy as np

from contrafact.core.metric import FloatArray

TINY = 1e-11  # added inside the logarithms, as the reference does


def concentration(mass: FloatArray) -> FloatArray:
    """``1 - entropy`` of each row ``(R,)`` of non-negative masses ``(R, M)``, to the base M; 0 for a row of zeros.

    A row of one entry has nothing to spread over: 1, or 0 when that entry is 0.

    >>> concentration(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])).round(4).tolist()
    [1.0, 0.0, 0.0]
    """
    total = mass.sum(axis=1)
    if mass.shape[1] == 1:
        return np.where(total > 0, 1.0, 0.0)
    share = (mass + TINY) / (mass + TINY).sum(axis=1, keepdims=True)
    result = 1.0 + (share * np.log(share)).sum(axis=1) / np.log(mass.shape[1])
    return np.where(total > 0, np.maximum(result, 0.0), 0.0)


def weighted_concentration(mass: FloatArray) -> tuple[float, FloatArray]:
    """Mean of the rows' :func:`concentration`, weighted by their mass, and the rows' own; 0 when all mass is 0."""
    per_row = concentration(mass)
    total = float(mass.sum())
    return (float(per_row @ (mass.sum(axis=1) / total)) if total > 0 else 0.0), per_row
