"""Information between factors and quantised codes that are distributions: a mean and a deviation for every image.

Do and Tran, "Theory and Evaluation Metrics for Learning Disentangled Representations", ICLR 2020.

Shape suffixes: N points, J code dimensions, K factors, B bins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from contrafact.core.metric import ArrayLike, FloatArray, check_codes
from contrafact.metrics._debias import Bias, corrected_entropy, informations
from contrafact.metrics._information import AnyInts, discretize, entropy, relabel

LIMITS = (-4.0, 4.0)
SMALLEST_DENSITY = 1e-5  # a posterior too narrow to be seen at any bin's centre counts for the bin of its mean
ROWS_AT_ONCE = 20_000


class Quantized(NamedTuple):
    """Entropies and informations in nats.

    Attributes:
        information_JK: mutual information of each code and factor.
        entropy_J: entropy of each quantised code.
        entropy_K: entropy of each factor.
    """

    information_JK: FloatArray
    entropy_J: FloatArray
    entropy_K: FloatArray


def check_deviations(deviations: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Deviations as float64 of the codes' shape.

    Raises:
        ValueError: anything :func:`check_codes` refuses, another shape than the codes', or a value not positive.
    """
    values_NJ = check_codes(deviations, "deviations")
    if values_NJ.shape != shape:
        raise ValueError(f"deviations must have the codes' shape {shape}, got {values_NJ.shape}")
    if values_NJ.min() <= 0:
        row, column = map(int, np.argwhere(values_NJ <= 0)[0])
        raise ValueError(
            f"deviations must be positive: row {row}, column {column} is {values_NJ[row, column]}; "
            "pass the standard deviations of the encoder's distribution, or leave them out"
        )
    return values_NJ


def _shares(mean_N: FloatArray, deviation_N: FloatArray, edges: FloatArray) -> FloatArray:
    """Share of each distribution in each bin ``(N, B)``."""
    centres = (edges[1:] + edges[:-1]) / 2
    distance_NB = (centres - mean_N[:, None]) / deviation_N[:, None]
    density_NB = np.exp(-0.5 * distance_NB**2) / (deviation_N[:, None] * np.sqrt(2 * np.pi))
    unseen_N = density_NB.max(axis=1) < SMALLEST_DENSITY
    own_N = np.searchsorted(edges[1:-1], mean_N[unseen_N], side="right")
    density_NB[unseen_N] = np.eye(len(centres))[own_N]
    return np.asarray(density_NB / density_NB.sum(axis=1, keepdims=True))


def _entropy(shares: FloatArray, axis: int | None = None) -> FloatArray:
    safe = np.where(shares > 0, shares, 1.0)
    return np.asarray(-(shares * np.log(safe)).sum(axis=axis))


def _of_posterior(
    codes_NJ: FloatArray, deviations_NJ: FloatArray, factors_NK: AnyInts, num_bins: int
) -> tuple[FloatArray, FloatArray]:
    from scipy.sparse import csr_array

    num_points, num_codes = codes_NJ.shape
    edges = np.linspace(*LIMITS, num_bins + 1)
    labels_NK = np.stack([relabel(column_N) for column_N in factors_NK.T], axis=1)
    first_K = np.concatenate([[0], np.cumsum(labels_NK.max(axis=0) + 1)])
    columns = (labels_NK + first_K[:-1]).ravel()
    rows = np.arange(0, len(columns) + 1, factors_NK.shape[1])
    one_hot = csr_array((np.ones(len(columns)), columns, rows), shape=(num_points, int(first_K[-1])))
    information_JK, entropy_J = np.zeros((num_codes, factors_NK.shape[1])), np.zeros(num_codes)
    for j in range(num_codes):
        counts_VB = np.zeros((int(first_K[-1]), num_bins))  # V values of all factors, one factor after the other
        for start in range(0, num_points, ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            counts_VB += one_hot[block].T @ _shares(codes_NJ[block, j], deviations_NJ[block, j], edges)
        joint_VB = counts_VB / num_points
        entropy_J[j] = _entropy(joint_VB[: first_K[1]].sum(axis=0))
        of_value_V, marginal_V = _entropy(joint_VB, axis=1), _entropy(joint_VB.sum(axis=1)[:, None], axis=1)
        joint_K, factor_K = (np.add.reduceat(values_V, first_K[:-1]) for values_V in (of_value_V, marginal_V))
        information_JK[j] = np.maximum(entropy_J[j] + factor_K - joint_K, 0.0)
    return information_JK, entropy_J


def quantize(
    codes_NJ: FloatArray,
    factors_NK: AnyInts,
    deviations: ArrayLike | None,
    num_bins: int,
    bias: Bias = "none",
) -> Quantized:
    """Entropies and informations of factors and codes in equal-width bins.

    Codes alone are cut over their own range; codes with ``deviations`` are normal distributions, whose shares of the
    bins between -4 and 4 are averaged.

    Raises:
        ValueError: anything :func:`check_deviations` refuses, ``num_bins`` is not a whole number of at least 1, or a
            correction for chance, which is one of counts, of codes with ``deviations``.
    """
    bins_JN = discretize(codes_NJ, num_bins)
    if deviations is not None:
        if bias != "none":
            raise ValueError(f"bias={bias!r} corrects counts of codes in bins; leave it out, or leave out deviations")
        entropy_K = np.array([entropy(column_N) for column_N in factors_NK.T])
        deviations_NJ = check_deviations(deviations, codes_NJ.shape)
        return Quantized(*_of_posterior(codes_NJ, deviations_NJ, factors_NK, num_bins), entropy_K)
    information_JK, entropy_K = informations(bins_JN, factors_NK, bias)
    entropy_J = np.array([corrected_entropy(bins_N, bias) for bins_N in bins_JN])
    return Quantized(information_JK, entropy_J, entropy_K)
