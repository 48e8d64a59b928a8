"""Count, mean and scatter of features that come in parts: each is seen once, and none is kept.

Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979, Eq. 2.1, for
vectors. Parts may come in any order and from any machine; sums are in float64 around the parts' own means, so that
nothing is lost to large means.

Shape suffixes: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from contrafact.core.metric import ArrayLike, FloatArray, check_codes


@dataclass(frozen=True, eq=False)
class Moments:
    """What a Gaussian fitted to features needs, and no row of them.

    Attributes:
        count: rows N.
        mean_D: their mean ``(D,)``.
        scatter_DD: sum over rows of the products of deviations from the mean, ``(D, D)``.

    >>> whole = np.random.default_rng(0).normal(size=(10, 3))
    >>> parts = Moments.of(whole[:4]) + Moments.of(whole[4:])
    >>> parts.count, bool(np.allclose(parts.covariance_DD, np.cov(whole, rowvar=False)))
    (10, True)
    """

    count: int
    mean_D: FloatArray
    scatter_DD: FloatArray

    @classmethod
    def of(cls, rows: ArrayLike) -> Moments:
        """Moments of ``(N, D)`` rows.

        Raises:
            ValueError: no rows, or values that are not finite numbers.
        """
        rows_ND = check_codes(rows, "features")
        mean_D = rows_ND.mean(axis=0)
        centred_ND = rows_ND - mean_D
        return cls(len(rows_ND), mean_D, centred_ND.T @ centred_ND)

    @classmethod
    def sum(cls, parts: Iterable[Moments]) -> Moments:
        """Moments of all parts together.

        Raises:
            ValueError: no parts, or parts of different widths.
        """
        found = list(parts)
        if not found:
            raise ValueError("there are no parts to add up; give at least one")
        return reduce(cls.__add__, found)

    def __add__(self, other: Moments) -> Moments:
        if self.mean_D.shape != other.mean_D.shape:
            raise ValueError(
                f"one part has {len(self.mean_D)} features a row, another {len(other.mean_D)}; take one extractor"
            )
        count = self.count + other.count
        gap_D = other.mean_D - self.mean_D
        return Moments(
            count,
            self.mean_D + gap_D * (other.count / count),
            self.scatter_DD + other.scatter_DD + np.outer(gap_D, gap_D) * (self.count * other.count / count),
        )

    @property
    def covariance_DD(self) -> FloatArray:
        """Unbiased covariance ``(D, D)``; of at least two rows."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 rows, got {self.count}")
        return self.scatter_DD / (self.count - 1)
