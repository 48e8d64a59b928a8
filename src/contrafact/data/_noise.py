"""Uniform noise that depends on an image's index alone: the same image is the same in every batch and process.

Shape suffixes: N images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import IntArray


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The splitmix64 finaliser (Steele, Lea & Flood 2014), in place: a bijection that scatters neighbours."""
    scratch = values >> np.uint64(30)
    values ^= scratch
    values *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(values, np.uint64(27), out=scratch)
    values ^= scratch
    values *= np.uint64(0x94D049BB133111EB)
    np.right_shift(values, np.uint64(31), out=scratch)
    values ^= scratch
    return values


def uniforms(indices: IntArray, count: int, seed: int) -> npt.NDArray[np.float32]:
    """Numbers uniform in [0, 1) in steps of 2^-16, ``count`` for each index: float32 ``(N, count)``.

    >>> bool((uniforms(np.array([7, 3]), 5, seed=0)[1] == uniforms(np.array([3]), 5, seed=0)[0]).all())
    True
    """
    words = -(-count // 4)  # each 64-bit word gives four numbers
    key = _mix(np.array([seed], dtype=np.int64).astype(np.uint64))
    counters: npt.NDArray[np.uint64] = np.arange(words, dtype=np.uint64) + key  # arithmetic is modulo 2^64
    counters = indices.astype(np.uint64)[:, None] * np.uint64(words) + counters
    counters *= np.uint64(0x9E3779B97F4A7C15)
    quarters = _mix(counters).view(np.uint16)[:, :count]
    return quarters.astype(np.float32) * np.float32(2**-16)
