"""Joint approximate diagonalisation: the one orthonormal frame in which many symmetric matrices are nearly diagonal.

The criterion is that of Cardoso & Souloumiac, "Jacobi angles for simultaneous diagonalization", SIAM J. Matrix Anal.
Appl. 17(1), 1996, and so is the angle by which a plane is best turned, in closed form for all matrices at once. They
turn one plane after the other; here all planes turn together, by their own angles or a part of them so that the
criterion grows, since that is a few products of matrices, until it grows no more: the same frame, many times as fast
(benchmarks/README.md).

Shape suffixes: K matrices, R their side, E = R (R + 1) / 2 different entries of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

_SWEEPS = 5000
# Turns this small, in radians, change a sum of squared entries by less than float64 resolves.
_STILL = 1e-8
# Planes that turn together spoil each other's turns; half a radian is where that begins to cost more than it gains.
_LONGEST = 0.5
# Part of all squared entries that rounding may take or give: a step that gains less than that is the last.
_ROUNDING = 1e-13
_SHORTEST = 1e-6


class JointFrame(NamedTuple):
    """What :func:`joint_diagonaliser` found.

    Attributes:
        frame_RR: orthonormal; row d is the d-th direction.
        share: part of the matrices' squared entries that lies on their diagonals in this frame, at most 1.
        sweeps: how often all planes were turned, until none moved.
    """

    frame_RR: npt.NDArray[np.float64]
    share: float
    sweeps: int


def joint_diagonaliser(
    matrices_KRR: npt.NDArray[np.floating], rng: np.random.Generator, restarts: int = 6
) -> JointFrame:
    """The frame with the largest sum of squared diagonal entries, over all matrices, of several starts.

    One matrix is diagonalised exactly. Where several share no frame the criterion has local optima, hence the starts:
    the eigenvectors of the matrices' mean, then random frames.

    Args:
        matrices_KRR: symmetric matrices ``(K, R, R)``, or of others their symmetric parts; a matrix weighs as the
            square of its norm.
        rng: draws the random starts.
        restarts: how many starts, at least 1.

    Raises:
        ValueError: matrices of another shape, not finite, or all zero.

    >>> turned = np.linalg.qr(np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]))[0]
    >>> stack = np.stack([turned.T @ np.diag(d) @ turned for d in ([1.0, 2.0, 3.0], [3.0, 1.0, 1.0])])
    >>> found = joint_diagonaliser(stack, np.random.default_rng(0))
    >>> np.allclose(np.sort(np.abs(found.frame_RR @ turned.T).max(axis=1)), 1.0), round(found.share, 6)
    (True, 1.0)
    """
    matrices = np.asarray(matrices_KRR, dtype=np.float64)
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or 0 in matrices.shape:
        raise ValueError(f"expected symmetric matrices of shape (K, R, R), got {matrices.shape}")
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
    total = float(np.square(matrices).sum())
    if not 0 < total < np.inf:
        raise ValueError("the matrices must be finite and not all zero: nothing could be told apart in them")
    side = matrices.shape[1]
    starts = [np.linalg.eigh(matrices.mean(axis=0))[1].T]
    starts += [np.linalg.qr(rng.standard_normal((side, side)))[0] for _ in range(restarts - 1)]
    few = _compressed(matrices)
    return max((_ascend(few, start, total) for start in starts), key=lambda found: found.share)


def _compressed(matrices_KRR: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """At most E matrices with the same criterion in every frame.

    It is a quadratic form of the matrices as vectors, hence knows no more of them than their second moments.
    """
    side = matrices_KRR.shape[1]
    rows_E, columns_E = np.triu_indices(side)
    if len(matrices_KRR) <= len(rows_E):
        return matrices_KRR
    few_EE = np.linalg.qr(matrices_KRR[:, rows_E, columns_E], mode="r")
    few_ERR = np.empty((len(few_EE), side, side))
    few_ERR[:, rows_E, columns_E] = few_ERR[:, columns_E, rows_E] = few_EE
    return few_ERR


def _ascend(matrices_KRR: npt.NDArray[np.float64], start_RR: npt.NDArray[np.float64], total: float) -> JointFrame:
    """Uphill from one start until nothing is gained."""
    frame_RR = start_RR
    turned_KRR = frame_RR @ matrices_KRR @ frame_RR.T
    share, sweeps = _diagonal(turned_KRR) / total, 0
    while sweeps < _SWEEPS:
        sweeps += 1
        angles_RR = _angles(turned_KRR, total)
        largest = float(np.abs(angles_RR).max(initial=0.0))
        if largest <= _STILL:
            break
        part = min(1.0, _LONGEST / largest)
        while part > _SHORTEST:
            tried_RR = expm(part * angles_RR) @ frame_RR
            tried_KRR = tried_RR @ matrices_KRR @ tried_RR.T
            gained = _diagonal(tried_KRR) / total - share
            if gained >= -_ROUNDING:
                break
            part /= 2
        else:
            break
        frame_RR, turned_KRR, share = tried_RR, tried_KRR, share + gained
        if gained <= _ROUNDING:
            break
    return JointFrame(frame_RR, share, sweeps)


def _diagonal(turned_KRR: npt.NDArray[np.float64]) -> float:
    """Sum of squared diagonal entries, the criterion."""
    return float(np.square(np.einsum("krr->kr", turned_KRR)).sum())


def _angles(turned_KRR: npt.NDArray[np.float64], total: float) -> npt.NDArray[np.float64]:
    """By how much each plane would best be turned, were it the only one: antisymmetric, for the frame's rows.

    The sum of squared diagonals after a turn by θ is ½ Σ (difference·cos 2θ + twice·sin 2θ)² + const in each plane,
    with the difference of its two diagonal entries and twice the entry beside them.
    """
    diagonal_KR = np.einsum("krr->kr", turned_KRR)
    products_RR = np.einsum("kij,ki->ij", turned_KRR, diagonal_KR)
    squares_RR = np.einsum("kij,kij->ij", turned_KRR, turned_KRR)
    gram_RR = diagonal_KR.T @ diagonal_KR
    length_R = np.diag(gram_RR)
    flat_RR = length_R[:, None] + length_R - 2 * gram_RR - 4 * squares_RR
    cross_RR = 4 * (products_RR - products_RR.T)
    angles_RR = 0.25 * np.arctan2(cross_RR, flat_RR)
    # Where every turn is as good as any.
    angles_RR[np.hypot(flat_RR, cross_RR) <= np.finfo(float).eps * total] = 0.0
    # A plane has two entries, each other's reverse, and one decides: where an eighth of a circle is best either way is,
    # and rounding may say one thing of the one and another of the other.
    upper_RR: npt.NDArray[np.float64] = np.triu(angles_RR, 1)
    return upper_RR - upper_RR.T
