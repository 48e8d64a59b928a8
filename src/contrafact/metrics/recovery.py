"""Ground-truth recovery: how well found directions match the true ones of a generator whose factors are known.

Ours: each true direction is matched with a different found one so that the sum of |cosine| is largest (Hungarian
matching), because order and sign are free. Where directions differ from place to place, cosines are taken at each
latent and averaged before matching.

Shape suffixes: N latents, D found directions, K true directions, L latent dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.directions import Directions
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, MetricInfo, MetricResult, as_array, measured

INFO = MetricInfo(
    kind="directions", low=0.0, high=1.0, higher_is_better=True, source="contrafact; Kuhn 1955 (matching)"
)

TANGENT_STEP = 1e-2  # in float32 rounding and curvature each cost about 1e-4 at this step


@dataclass(frozen=True, kw_only=True)
class RecoveryResult(MetricResult):
    """Matched cosines; ``matrix`` ``(D, K)`` holds |cosine| of every found with every true direction.

    Attributes:
        matches: found direction of each true one ``(K,)``, -1 where there were too few.
        chance: the score that as many random directions reach on average, from the same dimensions.
    """

    matches: IntArray
    chance: float

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "chance": self.chance}


def _unit(vectors: ArrayLike, name: str) -> FloatArray:
    values: FloatArray = as_array(vectors).astype(np.float64)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise ValueError(f"{name} must have shape (directions, L) or (N, directions, L), got {values.shape}")
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    bad = ~(np.isfinite(lengths[..., 0]) & (lengths[..., 0] > 0))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} {where if len(where) > 1 else where[0]} is zero or not finite: it has no direction")
    return np.asarray(values / lengths)


def _cosines(found: FloatArray, true: FloatArray) -> FloatArray:
    if found.ndim == 2 and true.ndim == 2:
        return np.abs(found @ true.T)
    latents = max(len(values) if values.ndim == 3 else 1 for values in (found, true))
    found, true = (
        np.broadcast_to(values, (latents, *values.shape[-2:])) if values.ndim == 2 else values
        for values in (found, true)
    )
    return np.asarray(np.abs(found @ true.transpose(0, 2, 1)).mean(axis=0))


def _match(cosine_DK: FloatArray) -> tuple[FloatArray, IntArray]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cosine_DK, maximize=True)
    matches_K = np.full(cosine_DK.shape[1], -1, dtype=np.int64)
    matches_K[columns] = rows
    matched_K = np.where(matches_K >= 0, cosine_DK[matches_K, np.arange(len(matches_K))], 0.0)
    return matched_K, matches_K


@measured
def recovery(found: ArrayLike, true: ArrayLike, *, chance_draws: int = 20, seed: int = 0) -> RecoveryResult:
    """Mean |cosine| of the true directions with the found ones they are matched with.

    Args:
        found: ``(D, L)`` directions, or ``(N, D, L)`` at N latents (:func:`tangents`). Lengths do not matter.
        true: ``(K, L)``, or ``(N, K, L)`` at the same latents.
        chance_draws: how often random directions are drawn for ``chance``.
        seed: of those draws.

    Returns:
        score in [0, 1], higher is better; ``per_factor`` ``(K,)``. A true direction without a partner (D < K)
        scores 0. Random directions score well above 0, more so the fewer dimensions there are: compare ``chance``.

    Raises:
        ValueError: shapes that do not fit, a zero or non-finite direction.

    >>> import numpy as np
    >>> result = recovery(np.array([[0.0, -2.0], [1.0, 0.0]]), np.eye(2))
    >>> result.score, result.matches.tolist()
    (1.0, [1, 0])
    """
    found_unit, true_unit = _unit(found, "found"), _unit(true, "true")
    if found_unit.shape[-1] != true_unit.shape[-1]:
        raise ValueError(
            f"found directions have {found_unit.shape[-1]} dimensions but true ones {true_unit.shape[-1]}; "
            "take both from the same latent space"
        )
    if found_unit.ndim == true_unit.ndim == 3 and len(found_unit) != len(true_unit):
        raise ValueError(f"found is given at {len(found_unit)} latents but true at {len(true_unit)}; use the same ones")
    cosine_DK = _cosines(found_unit, true_unit)
    matched_K, matches_K = _match(cosine_DK)
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((chance_draws, *found_unit.shape[-2:]))
    draws /= np.linalg.norm(draws, axis=-1, keepdims=True)
    chance = float(np.mean([_match(_cosines(draw, true_unit))[0].mean() for draw in draws])) if chance_draws else 0.0
    local = max(found_unit.ndim, true_unit.ndim) == 3
    return RecoveryResult(
        score=float(matched_K.mean()),
        protocol="recovery_local" if local else "recovery",
        num_train=max(len(v) if v.ndim == 3 else 1 for v in (found_unit, true_unit)),
        per_factor=matched_K,
        matrix=cosine_DK,
        seed=seed,
        matches=matches_K,
        chance=chance,
        notes=("fewer found than true directions: those left over score 0",) if (matches_K < 0).any() else (),
    )


def tangents(directions: Directions, latent: Tensor) -> Tensor:
    """Where each direction points at each latent: its derivative with respect to the magnitude, at magnitude 0.

    Args:
        directions: any directions.
        latent: ``(N, L)``.

    Returns:
        ``(N, D, L)``, not normalised.

    Raises:
        ValueError: latents of the wrong shape.

    >>> from contrafact.core.directions import GlobalDirections
    >>> tangents(GlobalDirections.of(torch.eye(2)), torch.zeros(1, 2)).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    n, d = latent.shape[0], directions.num_directions
    repeated: Any = latent.repeat_interleave(d, dim=0)
    index = torch.arange(d, device=latent.device).repeat(n)
    # Central differences: a navigator's own derivative at exactly 0 may not exist (the kink of a norm).
    step = torch.full((n * d,), TANGENT_STEP, dtype=repeated.dtype, device=latent.device)
    with torch.no_grad():
        difference = directions(repeated, index, step) - directions(repeated, index, -step)
    flat = difference if difference.ndim == 2 else difference.mean(dim=1)
    result: Tensor = (flat / (2 * TANGENT_STEP)).reshape(n, d, -1)
    return result
