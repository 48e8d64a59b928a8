"""Which codes a metric looks at: one rule for all metrics of codes.

A variational autoencoder leaves the latents it does not need at their prior: their means still move, by 1e-4 of what
the others move, and a metric that bins each code over its own range, or that counts codes, takes that noise for a code
like any other.

Shape suffixes: N points, J code dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from contrafact.core.matrices import dead_codes
from contrafact.core.metric import ArrayLike, BoolArray, IntArray, as_array, check_codes_as_given

Active: TypeAlias = float | Sequence[int] | Sequence[bool] | IntArray | BoolArray | None
"""A share of the widest code's range, or the codes themselves: their numbers, or a truth value for each."""

NEARLY_DEAD = 0.01
"""Codes that move less than this share of the widest are remarked upon.

Collapsed latents lie at 1e-4 and below, latents that carry a factor within a tenth of the widest, and InfoMEC's authors
prune at a twentieth: a hundredth lies well between.
"""
LEAST_KL = 0.01
"""Nats of divergence from the prior, mean over images, from which on a latent is in use."""


def active_codes(codes: ArrayLike, active: Active) -> BoolArray:
    """Which codes ``(J,)`` a rule keeps.

    Args:
        codes: ``(N, J)`` numbers.
        active: a share in (0, 1): codes whose range exceeds it times the largest range (when no code moves, all are
            kept); a sequence of J truth values; or the numbers of the codes to keep. None keeps all.

    Raises:
        ValueError: codes are no matrix of numbers, the share is outside (0, 1), a code does not exist, or none is kept.

    >>> active_codes([[0.0, 0.0, 1.0], [1.0, 1e-4, 0.0]], 0.01).tolist()
    [True, False, True]
    """
    codes_NJ = check_codes_as_given(codes)
    num_codes = codes_NJ.shape[1]
    if active is None:
        return np.ones(num_codes, dtype=bool)
    given = as_array(active)
    if given.ndim == 0:
        return _wide_codes(codes_NJ, given)
    kept_J = np.zeros(num_codes, dtype=bool)
    if given.dtype == np.bool_ and given.shape == (num_codes,):
        kept_J = given
    elif given.ndim == 1 and np.issubdtype(given.dtype, np.integer) and (abs(2 * given + 1) < 2 * num_codes).all():
        kept_J[given] = True
    else:
        raise ValueError(
            f"active must be a share of the widest code's range, {num_codes} truth values, or numbers of codes from 0 "
            f"to {num_codes - 1}; got {given.dtype} of shape {given.shape}"
        )
    if not kept_J.any():
        raise ValueError("active keeps no code; name at least one")
    return kept_J


def _wide_codes(codes_NJ: npt.NDArray[np.floating[Any]], share: npt.NDArray[Any]) -> BoolArray:
    if share.dtype == np.bool_ or not np.issubdtype(share.dtype, np.number) or not 0 < share < 1:
        raise ValueError(f"active as a share of the widest code's range must lie between 0 and 1, got {share.tolist()}")
    range_J = np.ptp(codes_NJ, axis=0)
    moving_J = ~dead_codes(codes_NJ)
    if not moving_J.any():
        return np.ones(len(range_J), dtype=bool)
    return np.asarray(moving_J & (range_J > float(share) * range_J[moving_J].max()))


def active_by_kl(kl: ArrayLike, least: float = LEAST_KL) -> BoolArray:
    """Which latents ``(J,)`` of a variational autoencoder are in use: a mask for ``active=``.

    Args:
        kl: divergence of the posterior from the prior in nats, ``(J,)`` means over images or ``(N, J)`` of each.
        least: nats of mean divergence above which a latent counts.

    Raises:
        ValueError: not one or two dimensions of finite numbers, or ``least`` is negative.

    >>> active_by_kl([3.2, 1e-4, 0.5]).tolist()
    [True, False, True]
    """
    given = as_array(kl)
    if given.ndim not in (1, 2) or not given.size:
        raise ValueError(f"kl must have shape (J,) or (N, J), got {given.shape}")
    if not (math.isfinite(least) and least >= 0):
        raise ValueError(f"least must be a number of nats, 0 or more, got {least}")
    values_NJ = check_codes_as_given(np.atleast_2d(given), "kl")
    return np.asarray(values_NJ.mean(axis=0, dtype=np.float64) > least)


def nearly_dead(codes: ArrayLike) -> list[int]:
    """Numbers of the codes that move, but less than a hundredth as far as the widest; none of what is no matrix."""
    try:
        codes_NJ = check_codes_as_given(codes)
    except ValueError:
        return []
    narrow_J = ~active_codes(codes_NJ, NEARLY_DEAD) & ~dead_codes(codes_NJ)
    return [int(j) for j in np.flatnonzero(narrow_J)]


def active_tag(active: Active, kept_J: BoolArray) -> str:
    """What the protocol's name says of a rule: the share, or how many of how many."""
    if active is None:
        return ""
    given = as_array(active)
    return f"_active{float(given):g}" if given.ndim == 0 else f"_active{int(kept_J.sum())}of{len(kept_J)}"
