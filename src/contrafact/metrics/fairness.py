"""Unfairness: how much do predictions of one factor from the codes change when another is set to each of its values?

Locatello et al., "On the Fairness of Disentangled Representations", NeurIPS 2019, Section 4: total variation between
the predictions for one value of the sensitive factor and for all of them, with gradient-boosted trees.

Shape suffixes: N points, J code dimensions, K factors, C predicted classes, S values of the sensitive factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.dataset import FactorDataset, check_count
from contrafact.core.encoding import Codes, Encode, remembered
from contrafact.core.matrices import check_varying
from contrafact.core.metric import FloatArray, IntArray, MetricInfo, MetricResult, measured

INFO = MetricInfo(
    kind="interventional", low=0.0, high=1.0, higher_is_better=False, source="Locatello et al. 2019b, Section 4"
)


@dataclass(frozen=True, kw_only=True)
class FairnessResult(MetricResult):
    """An unfairness; ``score`` is the mean over pairs of predicted and sensitive factors, lower is better.

    ``per_factor`` ``(K,)`` is each predicted factor's mean over the others.

    Attributes:
        pairs: ``(K, K)`` a row per predicted factor and a column per sensitive one, zeros on the diagonal.
        largest: ``(K, K)`` the largest total variation among the sensitive factor's values, where ``pairs`` has the
            mean.
    """

    pairs: FloatArray
    largest: FloatArray

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "largest": float(self.largest.max())}


def total_variations(counts_CS: IntArray) -> FloatArray:
    """Total variation ``(S,)`` between each column's distribution and that of all columns together.

    >>> total_variations(np.array([[8, 0], [0, 8]])).tolist()
    [0.5, 0.5]
    """
    shares_CS = counts_CS / counts_CS.sum(axis=0)
    overall_C = counts_CS.sum(axis=1) / counts_CS.sum()
    return np.asarray(np.abs(shares_CS - overall_C[:, None]).sum(axis=0) / 2.0)


def _predictions(codes_NJ: FloatArray, factors_NK: IntArray, codes_MJ: FloatArray, exact: bool, seed: int) -> IntArray:
    if not exact:
        from contrafact.metrics._boosting import boosted_predictions

        return boosted_predictions(codes_NJ, factors_NK, codes_MJ, seed)
    from sklearn.ensemble import GradientBoostingClassifier

    columns = []
    for k, labels_N in enumerate(factors_NK.T):
        model = GradientBoostingClassifier(random_state=np.random.RandomState(seed + k)).fit(codes_NJ, labels_N)
        columns.append(model.predict(codes_MJ))
    return np.stack(columns, axis=1)


@measured
def fairness(
    encode: Encode | Codes,
    dataset: FactorDataset,
    *,
    num_train: int = 10_000,
    num_test: int = 100,
    estimator: Literal["fast", "exact"] = "fast",
    seed: int = 0,
) -> FairnessResult:
    """Mean total variation of predictions under interventions on every other factor.

    Args:
        encode: images ``(n, C, H, W)`` in [0, 1] to codes ``(n, J)``, or :class:`~contrafact.metrics.Codes` shared
            between metrics.
        dataset: the images and their factors, at least two.
        num_train: points that predictors are fitted on.
        num_test: draws of the other factors; each is shown with every value of the sensitive one.
        estimator: ``fast`` grows scikit-learn's trees in compiled code; ``exact`` runs it.
        seed: of the draws and of the trees.

    Returns:
        score in [0, 1], lower is fairer: 0 when no prediction depends on any other factor.

    Raises:
        ValueError: fewer than two factors, a factor that takes one value among the training points, counts that are not
            positive, an unknown estimator, or the encoder misbehaves.

    >>> from contrafact.contract.samples import Counter, Flags  # three factors, and an encoder that reads them off
    >>> fairness(Counter(), Flags(), num_train=200, num_test=20).score
    0.0
    """
    if estimator not in ("fast", "exact"):
        raise ValueError(f"estimator must be 'fast' or 'exact', got {estimator!r}")
    check_count("num_train", num_train)
    check_count("num_test", num_test)
    codes, rng = remembered(encode, dataset), np.random.default_rng(seed)
    sizes = dataset.factor_sizes
    if len(sizes) < 2:
        raise ValueError("unfairness is about another factor than the predicted one; the dataset has only one")
    train_NK = check_varying(dataset.sample(num_train, rng))
    shown = []
    for k, size in enumerate(sizes):
        drawn_SNK = np.repeat(dataset.sample(num_test, rng)[None], size, axis=0)
        drawn_SNK[:, :, k] = np.arange(size)[:, None]
        shown.append(drawn_SNK.reshape(-1, len(sizes)))
    every_MK = np.concatenate(shown)
    codes.of(np.concatenate([train_NK, every_MK]))  # each distinct image once
    train_NJ, test_MJ = (codes.of(factors).astype(np.float64) for factors in (train_NK, every_MK))
    predicted_MK = _predictions(train_NJ, train_NK, test_MJ, estimator == "exact", seed)
    mean_KK, largest_KK = np.zeros((len(sizes), len(sizes))), np.zeros((len(sizes), len(sizes)))
    parts = np.split(predicted_MK, np.cumsum([len(part) for part in shown])[:-1])
    for sensitive, (part_MK, size) in enumerate(zip(parts, sizes, strict=True)):
        value_M = np.repeat(np.arange(size), num_test)
        for target, num_classes in enumerate(sizes):
            if target != sensitive:
                counts_CS = np.zeros((num_classes, size), dtype=np.int64)
                np.add.at(counts_CS, (part_MK[:, target], value_M), 1)
                found_S = total_variations(counts_CS)
                mean_KK[target, sensitive], largest_KK[target, sensitive] = found_S.mean(), found_S.max()
    per_factor = mean_KK.sum(axis=1) / (len(sizes) - 1)
    return FairnessResult(
        score=float(per_factor.mean()),
        protocol=f"fairness_n{num_train}_test{num_test}_{estimator}",
        num_train=num_train,
        num_test=num_test,
        per_factor=per_factor,
        seed=seed,
        pairs=mean_KK,
        largest=largest_KK,
    )
