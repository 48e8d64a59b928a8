"""Metrics of codes as scorers of scikit-learn: for ``cross_val_score``, ``GridSearchCV`` and the like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contrafact.core.metric import Continuous
from contrafact.evaluation.codes import evaluate, resolve_metrics
from contrafact.evaluation.result import info_of


@dataclass(frozen=True)
class Scorer:
    """Scores a fitted transformer by how well the codes it makes of the images name their factors.

    Attributes:
        metric: catalogue name.
        score: name of the score among the metric's; None for its first.
        settings: the metric's keyword arguments.
        continuous: whether factors are measurements; None goes by the columns of a table.
        seed: of the metric.
    """

    metric: str
    score: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    continuous: Continuous | None = None
    seed: int = 0

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """The score of ``estimator.transform(X)`` against factors ``y`` ``(N, K)``; higher is better, always.

        Raises:
            ValueError: no such score, or what the metric refuses.
        """
        result = evaluate(
            estimator.transform(X),
            y,
            metrics=[self.metric],
            settings={self.metric: self.settings},
            continuous=self.continuous,
            seed=self.seed,
            active=None,
        ).results[self.metric]
        scores = result.scores()
        name = next(iter(scores)) if self.score is None else self.score
        if name not in scores:
            raise ValueError(f"{self.metric} has no score {name!r}; it has: {', '.join(scores)}")
        return scores[name] if info_of(self.metric).higher_is_better else -scores[name]


def scorer(
    metric: str,
    *,
    settings: Mapping[str, Any] | None = None,
    continuous: Continuous | None = None,
    seed: int = 0,
) -> Scorer:
    """A metric as ``scoring=`` of scikit-learn: the estimator transforms images to codes, ``y`` are their factors.

    Where lower scores are better the scorer gives their negative, as scikit-learn's own do.

    Args:
        metric: its name, or the full name of one of its scores (``"dci.completeness"``).
        settings: its keyword arguments.
        continuous: whether factors are measurements; None goes by the columns of a table.
        seed: of the metric.

    Raises:
        ValueError: an unknown metric, or one that takes more than codes and factors.

    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import cross_val_score
    >>> factors = np.random.default_rng(0).integers(4, size=(600, 2))
    >>> bool((cross_val_score(PCA(2), factors * [1.0, 5.0], factors, scoring=scorer("mig"), cv=3) > 0.7).all())
    True
    """
    name, _, score = metric.partition(".")
    return Scorer(resolve_metrics([name])[0], score or None, dict(settings or {}), continuous, seed)
