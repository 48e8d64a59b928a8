"""Is one code better than another, or is it chance? Paired tests over rows and over runs.

Resampling as for confidence limits (``_bootstrap``), both codes on the same rows; Efron & Tibshirani 1993, Chapter 16.

Shape suffixes: N points, B resamples, R runs, P pairs of methods, F patterns of signs.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contrafact.core.dataset import check_count
from contrafact.core.frames import TableLike, columns_of
from contrafact.core.inputs import MISSING, Missing, read_inputs
from contrafact.core.metric import ArrayLike, Continuous, FloatArray, MetricWarning, as_array
from contrafact.evaluation.bootstrap import Data, centred_limits, deviations, draw_rows, score_rows, split_as_scored
from contrafact.evaluation.codes import call_static, continuous_setting, resolve_metrics
from contrafact.evaluation.ranks import Correction, corrected
from contrafact.evaluation.result import info_of, write_results

if TYPE_CHECKING:
    from rich.table import Table

ROWWISE = " left out for a missing value in either code or a factor: row-wise deletion"
_PAIRS_AT_ONCE = 64
"""Pairs of methods whose runs' signs are flipped at once: some megabytes of sums."""
PAIRWISE = " have missing values: each code and factor was compared on the rows that have both (pairwise deletion)"


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
        p_corrected: the same, corrected for the number of scores that were compared.
        missing: what was done where a value is missing; empty where none is.
    """

    score: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    p_corrected: float
    missing: str = ""


def compare(
    first: TableLike,
    second: TableLike,
    factors: TableLike,
    first_test: TableLike | None = None,
    second_test: TableLike | None = None,
    factors_test: TableLike | None = None,
    *,
    metrics: str | Sequence[str] = ("mig", "modularity", "sap"),
    continuous: Continuous | None = None,
    missing: Missing = "rows",
    num_resamples: int = 200,
    correction: Correction = "holm",
    seed: int = 0,
) -> list[Comparison]:
    """Which of two codes of the same images scores higher, and could it be chance of the sample?

    Both codes are scored on the same resampled rows, so what a row does to both cancels. The test says nothing about
    other training seeds: for those, score several models of each kind and use :func:`compare_runs`.

    Args:
        first: ``(N, J)`` codes.
        second: ``(N, I)`` codes of the same images in the same order.
        factors: ``(N, K)`` whole numbers or words, or any numbers when ``continuous``. Tables are welcome, here and in
            place of codes.
        first_test: ``(M, J)`` held-out codes.
        second_test: ``(M, I)`` of the same images.
        factors_test: ``(M, K)`` their factors.
        metrics: static metrics, see :func:`~contrafact.metrics.evaluate`. DCI costs seconds per resample.
        continuous: score continuous factors, with metrics whose definition allows it; None goes by the columns of a
            table.
        missing: rows where either code, or a factor, lacks a value (NaN in a table, None, a mask): ``rows`` leaves them
            out for both codes, so that both are scored on the same rows; ``pairs``, for metrics that compare pairs
            (their ``INFO.pairs``), leaves them out of the pairs of code and factor that lack the value, and out of
            other metrics; ``refuse`` says where they are. A warning, and each comparison, says what was done.
        num_resamples: resamples, at least 2. The smallest p-value they can give is one over one more than their number.
        correction: of the p-values for the number of scores, see :func:`~contrafact.evaluation.ranks.corrected`.
        seed: of the resamples and the metrics.

    Returns:
        one comparison per score that both codes have; infinite ones (a total correlation may be) are left out.

    Raises:
        ValueError: different numbers of rows, rows of different images, no row without a missing value, fewer than 2
            resamples, or what the metrics refuse.

    >>> factors = np.random.default_rng(0).integers(4, size=(500, 2))
    >>> mixed = factors @ np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> result = compare(mixed, factors * 1.0, factors, metrics="mig", num_resamples=50)[0]
    >>> result.difference > 0.5, result.p_value < 0.05
    (True, True)
    """
    if check_count("num_resamples", num_resamples) < 2:
        raise ValueError("num_resamples must be at least 2")
    for first_codes, second_codes in ((first, second), (first_test, second_test)):
        sizes = [0 if codes is None else len(columns_of(codes, "codes")) for codes in (first_codes, second_codes)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"both codes must be of the same images, got {sizes[0]} and {sizes[1]} rows")
    if missing not in MISSING:
        raise ValueError(f"missing must be 'rows', 'pairs' or 'refuse', got {missing!r}")
    read = [
        read_inputs(codes, factors, test, factors_test, missing="refuse" if missing == "refuse" else "pairs")
        for codes, test in ((first, first_test), (second, second_test))
    ]
    continuous = (read[0].continuous or False) if continuous is None else continuous
    given: list[Data] = [
        {"codes": r.codes, "factors": r.factors, "codes_test": r.codes_test, "factors_test": r.factors_test}
        for r in read
    ]
    complete, holes = _complete(given)
    comparisons = []
    for name in resolve_metrics(metrics):
        settings = continuous_setting(name, continuous)
        by_pairs = missing == "pairs" and info_of(name).pairs
        sides = given if by_pairs else complete
        said = holes and holes + (PAIRWISE if by_pairs else ROWWISE)
        whole = [call_static(name, side, settings, seed) for side in sides]
        repeats = info_of(name).repeats
        parts = [split_as_scored(side, result, repeats) for side, result in zip(sides, whole, strict=True)]
        values = [result.scores() for result in whole]
        both = [score for score in values[0] if np.isfinite([v.get(score, np.nan) for v in values]).all()]
        draws: dict[str, list[float]] = {score: [] for score in both}
        rng = np.random.default_rng(seed)
        for _ in range(num_resamples):
            rows = draw_rows(parts[0], repeats, rng)
            drawn = [score_rows(name, part, rows, settings, seed) for part in parts]
            for score, differences in draws.items():
                differences.append(drawn[1][score] - drawn[0][score])
        for score, differences in draws.items():
            difference, values_B = values[1][score] - values[0][score], np.array(differences)
            moved_B = deviations(values_B[np.isfinite(values_B)], repeats)
            extreme = int((np.abs(moved_B) >= abs(difference)).sum())
            comparisons.append(
                Comparison(
                    f"{name}.{score}",
                    values[0][score],
                    values[1][score],
                    difference,
                    *centred_limits(difference, moved_B),
                    p_value=(1 + extreme) / (len(moved_B) + 1),
                    p_corrected=1.0,
                    missing=said,
                )
            )
    for note in _said_of_missing(comparisons):
        warnings.warn(note, MetricWarning, stacklevel=2)
    adjusted = corrected([row.p_value for row in comparisons], correction)
    return [replace(row, p_corrected=float(p)) for row, p in zip(comparisons, adjusted, strict=True)]


def _complete(sides: Sequence[Data]) -> tuple[Sequence[Data], str]:
    """Both codes without the rows where either, or a factor, lacks a value, and how many those are.

    Raises:
        ValueError: no row is left.
    """
    kept, said = [dict(side) for side in sides], []
    for pair in (("codes", "factors"), ("codes_test", "factors_test")):
        given = [side[name] for side in sides for name in pair]
        masked = [values for values in given if isinstance(values, np.ma.MaskedArray)]
        if not masked:
            continue
        hole_N = np.logical_or.reduce([np.ma.getmaskarray(values).any(axis=1) for values in masked])
        where = f"{int(hole_N.sum())} of {len(hole_N)} rows of {' and '.join(pair)}"
        if hole_N.all():
            raise ValueError(f"{where} have a missing value in one code or the other; leave out the columns with most")
        said.append(where)
        for side in kept:
            for name in pair:
                values = side[name]
                if values is not None:
                    whole = np.ma.getdata(values) if isinstance(values, np.ma.MaskedArray) else as_array(values)
                    side[name] = whole[~hole_N]
    return kept, ", ".join(said)


def _said_of_missing(comparisons: Sequence[Comparison]) -> list[str]:
    """What was done about missing values, and in which scores."""
    of: dict[str, list[str]] = {}
    for row in comparisons:
        if row.missing:
            of.setdefault(row.missing, []).append(row.score)
    return [f"{', '.join(scores)}: {said}" for said, scores in of.items()]


def comparison_notes(
    comparisons: Sequence[Comparison], num_resamples: int, correction: Correction = "holm"
) -> list[str]:
    """What the p-values of a comparison can and cannot say.

    >>> comparison_notes([], 200)
    ['200 resamples can give no p below 0.005; corrected for 0 scores by Holm']
    """
    how = (
        "not corrected" if correction == "none" else f"corrected for {len(comparisons)} scores by {correction.title()}"
    )
    smallest = f"{num_resamples} resamples can give no p below {1 / (num_resamples + 1):.1g}; {how}"
    return [*_said_of_missing(comparisons), smallest]


def comparison_table(comparisons: Sequence[Comparison], first: str = "first", second: str = "second") -> Table:
    """A ``rich`` table of comparisons, the two codes under names of their own."""
    from rich.table import Table

    table = Table(title=f"{second} against {first}, the same rows", title_justify="left")
    table.add_column("score")
    for column in (first, second, "difference", "95 %", "p", "corrected"):
        table.add_column(column, justify="right")
    for row in comparisons:
        values = (f"{row.first:.4f}", f"{row.second:.4f}", f"{row.difference:+.4f}")
        table.add_row(
            row.score, *values, f"{row.low:+.4f} to {row.high:+.4f}", f"{row.p_value:.3g}", f"{row.p_corrected:.3g}"
        )
    return table


def write_comparisons(comparisons: Sequence[Comparison], path: str | Path) -> Path:
    """Write comparisons to ``path``, as its suffix says: ``.json`` or ``.csv``.

    Raises:
        ValueError: another suffix.
    """
    rows = [asdict(row) for row in comparisons]
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(Comparison)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_results(path, json.dumps(rows, indent=1, allow_nan=False), out.getvalue())


def compare_runs(first: ArrayLike, second: ArrayLike, *, num_flips: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value that two methods' scores over paired runs (same seeds) differ by chance: sign-flip test.

    All sign patterns are tried where there are at most ``num_flips``; else that many are drawn. Of few runs no p-value
    is small, however far apart they lie (:func:`~contrafact.metrics.smallest_p`): five give none below 0.0625.

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
    return float(flip_p_values((b - a)[None], num_flips=num_flips, seed=seed)[0])


def flip_p_values(differences: FloatArray, *, num_flips: int = 10_000, seed: int = 0) -> FloatArray:
    """:func:`compare_runs` of many pairs of methods at once, all by the same sign patterns.

    Args:
        differences: ``(P, R)`` of each pair's scores, run by run, finite.
        num_flips: sign patterns at most.
        seed: of the drawn patterns.

    Returns:
        ``(P,)`` p-values.

    >>> flip_p_values(np.array([[0.2, 0.25, 0.16, 0.28, 0.22], [1.0, -1.0, 1.0, -1.0, 0.0]])).tolist()
    [0.0625, 1.0]
    """
    num_runs = differences.shape[1]
    if 2**num_runs <= num_flips:
        signs_FR = 1.0 - 2.0 * ((np.arange(2**num_runs)[:, None] >> np.arange(num_runs)) & 1)
    else:
        signs_FR = np.random.default_rng(seed).choice([-1.0, 1.0], size=(num_flips, num_runs))
        signs_FR[0] = 1.0
    found = []
    for some in np.array_split(differences, max(1, len(differences) // _PAIRS_AT_ONCE)):
        sums_FP = np.abs(signs_FR @ some.T)
        found.append(np.mean(sums_FP >= sums_FP[0] - 1e-12, axis=0))
    return np.concatenate(found)
