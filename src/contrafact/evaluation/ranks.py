"""Do several methods differ, over runs paired by seed or data set? Ranks, and tests corrected for their number.

Friedman's test on ranks, in Iman and Davenport's form; Nemenyi's critical difference: Demšar, "Statistical Comparisons
of Classifiers over Multiple Data Sets", JMLR 2006, Sections 3.2.2 and 3.2.4. Pairwise tests with Holm's correction
instead, since with Nemenyi's a pair's verdict hangs on which other methods are there: Benavoli, Corani and Mangili,
"Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 2016.

Shape suffixes: R runs, M methods, T tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from contrafact.core.metric import ArrayLike, FloatArray, as_array
from contrafact.evaluation.result import direction_of

if TYPE_CHECKING:
    from rich.table import Table

Correction = Literal["holm", "bonferroni", "none"]
Test = Literal["wilcoxon", "flip", "nemenyi"]
CORRECTIONS, TESTS = ("holm", "bonferroni", "none"), ("wilcoxon", "flip", "nemenyi")
FEWEST_RUNS, FEWEST_METHODS = 10, 5  # below both the chi-squared form of Friedman's test is rough (Demšar 2006)


def smallest_p(num_runs: int) -> float:
    """The smallest two-sided p-value that so many paired runs can give, however large the difference.

    Each of the ``2 ** num_runs`` patterns of signs is as likely as any other if nothing differs, and two are extreme.

    >>> smallest_p(5), smallest_p(6)
    (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - num_runs))


def runs_needed(level: float = 0.05, num_tests: int = 1) -> int:
    """Runs from which a p-value can fall below a level, after correction for so many tests.

    >>> runs_needed(), runs_needed(num_tests=6)
    (6, 8)
    """
    return math.floor(1 - math.log2(level / num_tests)) + 1


def corrected(p_values: ArrayLike, correction: Correction = "holm") -> FloatArray:
    """P-values ``(T,)`` such that the chance of any false one below a level is at most the level.

    Args:
        p_values: ``(T,)``, each in [0, 1].
        correction: ``holm``, step by step from the smallest (Holm 1979); ``bonferroni``, all times T; ``none``.

    Raises:
        ValueError: unknown correction, or no p-values.

    >>> corrected([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be 'holm', 'bonferroni' or 'none', got {correction!r}")
    p_T = np.asarray(as_array(p_values), dtype=np.float64)
    if p_T.ndim != 1 or not ((p_T >= 0) & (p_T <= 1)).all():
        raise ValueError(f"expected p-values between 0 and 1, got {p_values!r}")
    if correction == "none":
        return p_T
    if correction == "bonferroni":
        return np.minimum(1.0, p_T * len(p_T))
    order = np.argsort(p_T, kind="stable")
    adjusted_T = np.empty_like(p_T)
    adjusted_T[order] = np.minimum(1.0, np.maximum.accumulate(p_T[order] * np.arange(len(p_T), 0, -1)))
    return adjusted_T


@dataclass(frozen=True)
class Difference:
    """Two methods of many.

    Attributes:
        first: a method.
        second: another.
        difference: mean of the second's scores less the first's.
        p_value: two-sided.
        p_corrected: for the number of pairs.
        differs: whether the corrected value is below the level; with Nemenyi's test, whether mean ranks lie further
            apart than the critical difference.
    """

    first: str
    second: str
    difference: float
    p_value: float
    p_corrected: float
    differs: bool


@dataclass(frozen=True)
class Ranking:
    """Several methods, ranked in every run.

    Attributes:
        score: what was compared.
        methods: M names.
        num_runs: R.
        means: mean score of each method.
        mean_ranks: mean rank of each method, 1 the best; equal scores share theirs.
        chi_squared: Friedman's statistic, corrected for ties; M - 1 degrees of freedom.
        p_value: of no difference among all, by Iman and Davenport's F.
        differences: every pair.
        test: by which pairs were compared.
        correction: for their number.
        level: below which a p-value tells a difference.
        critical_difference: of mean ranks, with Nemenyi's test.
    """

    score: str
    methods: tuple[str, ...]
    num_runs: int
    means: tuple[float, ...]
    mean_ranks: tuple[float, ...]
    chi_squared: float
    p_value: float
    differences: tuple[Difference, ...]
    test: Test
    correction: Correction
    level: float
    critical_difference: float | None = None

    def groups(self) -> list[tuple[str, ...]]:
        """Methods next to each other in rank of which no two differ: two or more, none a part of another."""
        order = [self.methods[m] for m in np.argsort(self.mean_ranks, kind="stable")]
        differ = {frozenset((pair.first, pair.second)) for pair in self.differences if pair.differs}
        found: list[tuple[int, int]] = []
        for start in range(len(order)):
            end = start
            while end + 1 < len(order) and not any(
                frozenset((order[i], order[end + 1])) in differ for i in range(start, end + 1)
            ):
                end += 1
            if end > start and not any(first <= start and end <= last for first, last in found):
                found.append((start, end))
        return [tuple(order[start : end + 1]) for start, end in found]

    def notes(self) -> list[str]:
        """What the numbers can and cannot say."""
        tests = len(self.differences)
        lines = [f"all {len(self.methods)} methods: Friedman's test, Iman and Davenport's F: p = {self.p_value:.3g}"]
        if self.test == "nemenyi":
            lines.append(
                f"pairs: Nemenyi's test; mean ranks differ at {self.level:g} from {self.critical_difference:.3g} apart"
            )
        else:
            named = {"wilcoxon": "Wilcoxon's signed-rank test", "flip": "sign-flip test"}[self.test]
            how = (
                "not corrected for their number"
                if self.correction == "none"
                else f"corrected by {self.correction.title()}"
            )
            lines.append(f"pairs: {named}, two-sided, {tests} of them, {how}")
            factor = 1 if self.correction == "none" else tests
            least = smallest_p(self.num_runs)
            line = f"{self.num_runs} paired runs can give no p below {least:.3g}"
            if factor > 1:
                line += f", and none below {min(1.0, least * factor):.3g} once corrected"
            if least * factor >= self.level:
                needed = runs_needed(self.level, factor)
                line += f": no difference, however large, can show at {self.level:g}; {needed} runs can show one"
            lines.append(line)
        if self.num_runs <= FEWEST_RUNS or len(self.methods) < FEWEST_METHODS:
            lines.append("few runs or methods: the p-value of all together is rough")
        return lines

    def caption(self) -> str:
        """One line on what a picture shows."""
        how = "Nemenyi" if self.test == "nemenyi" else f"{self.test.title()}, {self.correction.title()}"
        return f"{self.score}: mean rank over {self.num_runs} runs (1 is best); bars join what does not differ ({how})"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        from dataclasses import asdict

        return {**asdict(self), "groups": [list(group) for group in self.groups()], "notes": self.notes()}

    def plot(self, ax: Any = None) -> Any:
        """A critical-difference diagram (:func:`~contrafact.evaluation.pictures.plot_ranking`); matplotlib's axes."""
        from contrafact.evaluation.pictures import plot_ranking

        return plot_ranking(self, ax)

    def tables(self) -> list[Table]:
        """Two ``rich`` tables: methods by rank, and pairs."""
        from rich.table import Table

        ranks = Table(title=f"{self.score}, {self.num_runs} paired runs", title_justify="left")
        for column in ("method", "mean", "mean rank"):
            ranks.add_column(column, justify="left" if column == "method" else "right")
        for m in np.argsort(self.mean_ranks, kind="stable"):
            ranks.add_row(self.methods[m], f"{self.means[m]:.4f}", f"{self.mean_ranks[m]:.2f}")
        pairs = Table(title_justify="left")
        for column in ("pair", "difference", "p", "corrected", ""):
            pairs.add_column(column, justify="left" if column == "pair" else "right")
        for pair in sorted(self.differences, key=lambda pair: pair.p_value):
            values = (f"{pair.difference:+.4f}", f"{pair.p_value:.3g}", f"{pair.p_corrected:.3g}")
            pairs.add_row(f"{pair.second} − {pair.first}", *values, "differ" if pair.differs else "")
        return [ranks, pairs]


def rank_methods(
    scores: Mapping[str, ArrayLike],
    *,
    score: str = "score",
    higher_is_better: bool | None = None,
    test: Test = "wilcoxon",
    correction: Correction = "holm",
    level: float = 0.05,
) -> Ranking:
    """Which of several methods differ, over runs paired by seed (or data sets, or folds)?

    Args:
        scores: by name ``(R,)`` scores, the runs in the same order in each.
        score: what they are scores of, a metric's full name (``"mig.score"``) or your own.
        higher_is_better: which end is; None asks the metric, and takes higher for a name of your own.
        test: of pairs: ``wilcoxon`` signed ranks, ``flip`` of signs (:func:`~contrafact.metrics.compare_runs`), or
            ``nemenyi`` on mean ranks, with one critical difference.
        correction: of the pairs' p-values for their number: ``holm``, ``bonferroni`` or ``none``; Nemenyi's test needs
            none.
        level: below which a p-value tells a difference.

    Raises:
        ValueError: fewer than two methods or runs, different numbers of runs, scores that are not finite, or an unknown
            test or correction.

    >>> ranking = rank_methods({"a": [0.1, 0.2, 0.1], "b": [0.3, 0.5, 0.4], "c": [0.2, 0.4, 0.3]})
    >>> ranking.mean_ranks, ranking.notes()[2]
    ((3.0, 1.0, 2.0), '3 paired runs can give no p below 0.25, and none below 0.75 once corrected: no difference, \
however large, can show at 0.05; 7 runs can show one')
    """
    from scipy.stats import f as f_distribution
    from scipy.stats import rankdata, studentized_range

    if test not in TESTS:
        raise ValueError(f"test must be 'wilcoxon', 'flip' or 'nemenyi', got {test!r}")
    names = tuple(scores)
    columns = [np.asarray(as_array(values), dtype=np.float64) for values in scores.values()]
    sizes = {values.shape for values in columns}
    if len(names) < 2 or len(sizes) != 1 or len(next(iter(sizes))) != 1 or len(columns[0]) < 2:
        shown = ", ".join(f"{name} {values.shape}" for name, values in zip(names, columns, strict=True))
        raise ValueError(f"expected two methods or more, each with a score of the same two or more runs; got {shown}")
    values_RM = np.stack(columns, axis=1)
    if not np.isfinite(values_RM).all():
        raise ValueError("scores must be finite; leave out the runs in which a method has none, for all methods")
    if higher_is_better is None:
        higher_is_better = direction_of(score) >= 0
    num_runs, num_methods = values_RM.shape
    ranks_RM = rankdata(-values_RM if higher_is_better else values_RM, axis=1)
    mean_M = ranks_RM.mean(axis=0)
    chi_squared = _friedman(ranks_RM)
    room = num_runs * (num_methods - 1) - chi_squared
    statistic = (num_runs - 1) * chi_squared / room if room > 1e-9 else math.inf
    p_all = float(f_distribution.sf(statistic, num_methods - 1, (num_methods - 1) * (num_runs - 1)))
    pairs = list(itertools.combinations(range(num_methods), 2))
    critical = None
    if test == "nemenyi":
        error = math.sqrt(num_methods * (num_methods + 1) / (6 * num_runs))
        critical = float(studentized_range.ppf(1 - level, num_methods, np.inf) / math.sqrt(2) * error)
        gaps_T = np.array([abs(mean_M[i] - mean_M[j]) for i, j in pairs])
        p_T = studentized_range.sf(gaps_T / error * math.sqrt(2), num_methods, np.inf)
        adjusted_T, correction = p_T, "none"
    else:
        p_T = _pair_p_values(np.array([values_RM[:, j] - values_RM[:, i] for i, j in pairs]), test)
        adjusted_T = corrected(p_T, correction)
    differences = tuple(
        Difference(
            names[i],
            names[j],
            float(values_RM[:, j].mean() - values_RM[:, i].mean()),
            float(p),
            float(adjusted),
            bool(adjusted < level),
        )
        for (i, j), p, adjusted in zip(pairs, p_T, adjusted_T, strict=True)
    )
    means = tuple(values_RM.mean(axis=0).tolist())
    ranks = tuple(mean_M.tolist())
    return Ranking(
        score, names, num_runs, means, ranks, chi_squared, p_all, differences, test, correction, level, critical
    )


def _friedman(ranks_RM: FloatArray) -> float:
    """Friedman's statistic, corrected for ties; 0 where all methods are equal in every run."""
    num_runs, num_methods = ranks_RM.shape
    middle = (num_methods + 1) / 2
    spread = float(((ranks_RM - middle) ** 2).sum()) / (num_runs * (num_methods - 1))
    between = num_runs * float(((ranks_RM.mean(axis=0) - middle) ** 2).sum())
    return between / spread if spread > 0 else 0.0


def _pair_p_values(differences_TR: FloatArray, test: str) -> FloatArray:
    from scipy.stats import wilcoxon

    from contrafact.evaluation.compare import flip_p_values

    if test == "flip":
        return flip_p_values(differences_TR)
    return np.array([wilcoxon(d, zero_method="wilcox").pvalue if d.any() else 1.0 for d in differences_TR])


def paired(runs: Sequence[tuple[str, str, Mapping[str, float]]], score: str) -> dict[str, list[float]]:
    """Scores by method, in the order of the runs that all methods have.

    Args:
        runs: a method's name, what pairs the run (its seed, its data set), and scores by full name.
        score: which score.

    Raises:
        ValueError: nobody has the score, a method has a run twice, or no two runs are shared by all.

    >>> paired([("a", "0", {"s": 1.0}), ("b", "0", {"s": 2.0}), ("a", "1", {"s": 3.0}), ("b", "1", {"s": 4.0})], "s")
    {'a': [1.0, 3.0], 'b': [2.0, 4.0]}
    """
    by_method: dict[str, dict[str, float]] = {}
    for method, run, scores in runs:
        if score not in scores:
            continue
        if run in by_method.setdefault(method, {}):
            raise ValueError(f"{method} has two runs {run!r} with {score}; runs are paired by that, so keep one")
        by_method[method][run] = scores[score]
    if not by_method:
        known = sorted({name for _, _, scores in runs for name in scores})
        raise ValueError(f"no run has the score {score!r}; they have: {', '.join(known[:20]) or 'none'}")
    shared = [run for run in next(iter(by_method.values())) if all(run in held for held in by_method.values())]
    if len(shared) < 2:
        listed = "; ".join(f"{method}: {', '.join(held)}" for method, held in by_method.items())
        raise ValueError(
            f"methods are compared on runs that all of them have, at least two, paired by seed; got {listed}"
        )
    return {method: [held[run] for run in shared] for method, held in by_method.items()}
