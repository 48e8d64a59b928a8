"""Confidence limits and paired comparisons by the bootstrap (Efron & Tibshirani 1993, Chapters 13 and 16).

Rows are drawn with replacement. Repeated rows make plug-in informations and training fits look better than fresh rows
would, so the bootstrap distribution is shifted to be centred on the estimate before limits are read off it.

Shape suffixes: N points, B resamples.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contrafact.core.dataset import check_count
from contrafact.core.metric import ArrayLike, MetricResult, MetricWarning, as_array
from contrafact.metrics._evaluate import call_static, resolve_metrics
from contrafact.metrics._evaluation import info_of

MOST_REDRAWS = 20


@dataclass(frozen=True)
class Comparison:
    """Two codes of the same images, compared score by score on the same resampled rows.

    Attributes:
        score: full name of the score (``"dci.completeness"``).
        first: the first code's value.
        second: the second's.
        difference: second minus first.
        low: lower 95 % limit of the difference.
        high: upper 95 % limit.
        p_value: two-sided, of the difference under no difference.
    """

    score: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float


def _draw(data: Mapping[str, ArrayLike | None], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Index arrays of one resample for the training and the held-out rows; every factor still varies."""
    rows: dict[str, np.ndarray] = {}
    for codes, factors in (("codes", "factors"), ("codes_test", "factors_test")):
        if data.get(codes) is None:
            continue
        size = len(as_array(data[codes]))  # type: ignore[arg-type]
        for _ in range(MOST_REDRAWS):
            index = rng.integers(size, size=size)
            labels = data.get(factors)
            if labels is None or codes == "codes_test" or (np.ptp(as_array(labels)[index], axis=0) > 0).all():
                break
        else:
            raise ValueError(f"{MOST_REDRAWS} resamples of {size} rows left a factor constant; use more points")
        rows[codes] = rows[factors] = index
    return rows


def _scores(
    name: str,
    data: Mapping[str, ArrayLike | None],
    rows: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, float]:
    drawn = {key: as_array(values)[rows[key]] for key, values in data.items() if values is not None and key in rows}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)  # the full sample's notes were given already
        return call_static(name, drawn, settings, seed).scores()


def bootstrap(
    name: str,
    data: Mapping[str, ArrayLike | None],
    result: MetricResult,
    settings: Mapping[str, Any],
    num_resamples: int,
    seed: int,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Confidence limits of each score of one static metric.

    Args:
        name: catalogue name.
        data: ``codes`` and, as far as the metric takes them, ``factors``, ``codes_test``, ``factors_test``.
        result: the metric's result on all rows.
        settings: the metric's keyword arguments.
        num_resamples: resamples.
        seed: of the resamples and of the metric.
        level: confidence.

    Returns:
        (low, high) by score name, within the metric's range.
    """
    rng = np.random.default_rng(seed)
    draws = [_scores(name, data, _draw(data, rng), settings, seed) for _ in range(num_resamples)]
    info = info_of(name)
    limits = {}
    for score, value in result.scores().items():
        if not np.isfinite(value):
            continue
        values_B = np.array([draw.get(score, np.nan) for draw in draws])
        centred_B = values_B[np.isfinite(values_B)]
        if not len(centred_B):
            continue
        tails = np.quantile(centred_B - centred_B.mean(), [(1 - level) / 2, (1 + level) / 2])
        low, high = np.clip(value + tails, min(info.low, value), max(info.high, value))
        limits[score] = (float(low), float(high))
    return limits


def compare(
    first: ArrayLike,
    second: ArrayLike,
    factors: ArrayLike,
    first_test: ArrayLike | None = None,
    second_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    metrics: str | Sequence[str] = ("mig", "modularity", "sap"),
    num_resamples: int = 200,
    seed: int = 0,
) -> list[Comparison]:
    """Which of two codes of the same images scores higher, and could it be chance of the sample?

    Both codes are scored on the same resampled rows, so what a row does to both cancels. The test says nothing about
    other training seeds: for those, score several models of each kind and use :func:`compare_runs`.

    Args:
        first: ``(N, J)`` codes.
        second: ``(N, I)`` codes of the same images in the same order.
        factors: ``(N, K)`` whole numbers.
        first_test: ``(M, J)`` held-out codes.
        second_test: ``(M, I)`` of the same images.
        factors_test: ``(M, K)`` their factors.
        metrics: static metrics, see :func:`~contrafact.metrics.evaluate`. DCI costs seconds per resample.
        num_resamples: resamples, at least 2.
        seed: of the resamples and the metrics.

    Raises:
        ValueError: different numbers of rows, fewer than 2 resamples, or what the metrics refuse.

    >>> factors = np.random.default_rng(0).integers(4, size=(500, 2))
    >>> mixed = factors @ np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> result = compare(mixed, factors * 1.0, factors, metrics="mig", num_resamples=50)[0]
    >>> result.difference > 0.5, result.p_value < 0.05
    (True, True)
    """
    if check_count("num_resamples", num_resamples) < 2:
        raise ValueError("num_resamples must be at least 2")
    sides: list[dict[str, ArrayLike | None]] = [
        {"codes": codes, "factors": factors, "codes_test": test, "factors_test": factors_test}
        for codes, test in ((first, first_test), (second, second_test))
    ]
    sizes = [len(as_array(side["codes"])) for side in sides]  # type: ignore[arg-type]
    if sizes[0] != sizes[1]:
        raise ValueError(f"both codes must be of the same images, got {sizes[0]} and {sizes[1]} rows")
    comparisons = []
    for name in resolve_metrics(metrics):
        whole = [call_static(name, side, {}, seed).scores() for side in sides]
        rng = np.random.default_rng(seed)
        draws: dict[str, list[float]] = {score: [] for score in whole[0] if score in whole[1]}
        for _ in range(num_resamples):
            rows = _draw(sides[0], rng)
            drawn = [_scores(name, side, rows, {}, seed) for side in sides]
            for score, values in draws.items():
                values.append(drawn[1][score] - drawn[0][score])
        for score, values in draws.items():
            difference = whole[1][score] - whole[0][score]
            centred_B = np.array(values) - np.mean(values)
            low, high = difference + np.quantile(centred_B, [0.025, 0.975])
            p_value = (1 + int((np.abs(centred_B) >= abs(difference)).sum())) / (num_resamples + 1)
            comparisons.append(
                Comparison(
                    f"{name}.{score}", whole[0][score], whole[1][score], difference, float(low), float(high), p_value
                )
            )
    return comparisons


def compare_runs(first: ArrayLike, second: ArrayLike, *, num_flips: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value that two methods' scores over paired runs (same seeds) differ by chance: sign-flip test.

    All sign patterns are tried where there are at most ``num_flips``; else that many are drawn.

    Args:
        first: ``(R,)`` scores.
        second: ``(R,)`` scores of the runs paired with them.
        num_flips: sign patterns at most.
        seed: of the drawn patterns.

    Raises:
        ValueError: not two vectors of the same length of at least 2.

    >>> compare_runs([0.1, 0.2, 0.15, 0.12, 0.11], [0.3, 0.35, 0.31, 0.4, 0.33])
    0.0625
    """
    a, b = (np.asarray(as_array(values), dtype=np.float64) for values in (first, second))
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2 or not np.isfinite([a, b]).all():
        raise ValueError(f"expected two finite vectors of the same length of at least 2, got {a.shape} and {b.shape}")
    difference = b - a
    if 2 ** len(a) <= num_flips:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(a))[:, None] >> np.arange(len(a))) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(num_flips, len(a)))
        signs[0] = 1.0
    sums = np.abs(signs @ difference)
    return float(np.mean(sums >= sums[0] - 1e-12))
