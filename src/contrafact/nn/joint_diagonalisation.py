"""Joint approximate diagonalisation: the one orthonormal frame in which many symmetric matrices are nearly diagonal.

Cardoso & Souloumiac, "Jacobi angles for simultaneous diagonalization", SIAM J. Matrix Anal. Appl. 17(1), 1996: one
plane after the other is turned by the angle that is best for all matrices at once, in closed form, until none turns.

Shape suffixes: K matrices, R their side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_SWEEPS = 200
# Turns this small change a sum of squared entries by less than float64 resolves.
_STILL = 1e-8


class JointFrame(NamedTuple):
    """What :func:`joint_diagonaliser` found.

    Attributes:
        frame_RR: orthonormal; row d is the d-th direction.
        share: part of the matrices' squared entries that lies on their diagonals in this frame, at most 1.
        sweeps: how often all planes were turned, until nothing moved.
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
        matrices_KRR: symmetric matrices ``(K, R, R)``; a matrix weighs as the square of its norm.
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
    total = float(np.square(matrices).sum())
    if not 0 < total < np.inf:
        raise ValueError("the matrices must be finite and not all zero: nothing could be told apart in them")
    side = matrices.shape[1]
    starts = [np.linalg.eigh(matrices.mean(axis=0))[1].T]
    starts += [np.linalg.qr(rng.standard_normal((side, side)))[0] for _ in range(restarts - 1)]
    best: JointFrame | None = None
    for start in starts:
        found = _sweep(matrices, start, total)
        if best is None or found.share > best.share:
            best = found
    assert best is not None
    return best


def _sweep(matrices_KRR: npt.NDArray[np.float64], start_RR: npt.NDArray[np.float64], total: float) -> JointFrame:
    side = len(start_RR)
    frame = start_RR.copy()
    # The matrices' number last: every operation of a turn then runs over contiguous numbers.
    turned_RRK = np.ascontiguousarray((start_RR @ matrices_KRR @ start_RR.T).transpose(1, 2, 0))
    largest, sweeps = np.inf, 0
    while largest > _STILL and sweeps < _SWEEPS:
        largest, sweeps = 0.0, sweeps + 1
        for i in range(side - 1):
            for j in range(i + 1, side):
                difference, twice = turned_RRK[i, i] - turned_RRK[j, j], 2 * turned_RRK[i, j]
                # The sum of squared diagonals after a turn by θ is ½ Σ (difference·cos 2θ + twice·sin 2θ)² + const.
                flat, cross = difference @ difference - twice @ twice, 2 * (difference @ twice)
                angle = 0.25 * np.arctan2(cross, flat)
                if abs(angle) <= _STILL or np.hypot(flat, cross) <= np.finfo(float).eps * total:
                    continue
                largest = max(largest, abs(angle))
                cos, sin = np.cos(angle), np.sin(angle)
                _turn(frame, i, j, cos, sin)
                _turn(turned_RRK, i, j, cos, sin)
                _turn(turned_RRK.swapaxes(0, 1), i, j, cos, sin)
    diagonal = np.einsum("rrk->rk", turned_RRK)
    return JointFrame(frame, float(np.square(diagonal).sum() / total), sweeps)


def _turn(rows: npt.NDArray[np.float64], i: int, j: int, cos: float, sin: float) -> None:
    """Rotate rows i and j into each other, in place."""
    first, second = rows[i] * cos + rows[j] * sin, rows[j] * cos - rows[i] * sin
    rows[i], rows[j] = first, second
