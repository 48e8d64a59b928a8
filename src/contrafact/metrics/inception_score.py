"""Inception score: generated images that a classifier is sure of, and that together show all its classes.

Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, Section 4. With another classifier than
Inception the protocol carries its name.

Shape suffixes: N images, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from contrafact.core.dataset import check_count
from contrafact.core.metric import FloatArray, MetricInfo, MetricResult, measured
from contrafact.nn.features import Extractor, Images, features_of, named_extractor

INFO = MetricInfo(
    kind="images", low=1.0, high=math.inf, higher_is_better=True, source="Salimans et al. 2016, Section 4"
)


@dataclass(frozen=True, kw_only=True)
class InceptionScoreResult(MetricResult):
    """The mean over splits of the generated images.

    Attributes:
        deviation: standard deviation over splits.
    """

    deviation: float

    def scores(self) -> dict[str, float]:
        return {"score": self.score, "deviation": self.deviation}


def _split_score(probability_NC: FloatArray) -> float:
    """``exp E KL(p(y|x) ‖ p(y))``."""
    marginal_C = probability_NC.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probability_NC > 0, probability_NC * np.log(probability_NC / marginal_C), 0.0)
    return math.exp(max(0.0, float(terms.sum(axis=1).mean())))


@measured
def inception_score(
    generated: Images,
    *,
    classifier: Extractor | str = "inception",
    splits: int = 10,
    batch_size: int = 64,
    seed: int = 0,
) -> InceptionScoreResult:
    """``exp E KL(p(y|x) ‖ p(y))``, mean over splits.

    Args:
        generated: images ``(N, C, H, W)`` in [0, 1], an iterable of such batches, or class logits ``(N, C)``.
        classifier: ``"inception"``, or a function from images to class logits ``(n, C)``.
        splits: parts the images are shuffled into.
        batch_size: images per call of the classifier.
        seed: of the shuffle.

    Returns:
        score in [1, number of classes], higher is better. It sees neither missing variety within a class nor
        distance to real images.

    Raises:
        ValueError: Inception is not at hand, shapes do not fit, values are not finite, or fewer images than splits.

    >>> round(inception_score(np.log(np.eye(4)[np.arange(40) % 4] + 1e-12), splits=1).score, 3)
    4.0
    """
    given = isinstance(generated, torch.Tensor | np.ndarray) and generated.ndim == 2
    function, name = (None, "logits") if given else named_extractor(classifier, "logits_unbiased")
    logits_NC = features_of(generated, function, "generated", batch_size)
    if len(logits_NC) < check_count("splits", splits):
        raise ValueError(f"cannot cut {len(logits_NC)} images into {splits} splits; generate more or pass splits=")
    odds_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    probability_NC = odds_NC / odds_NC.sum(axis=1, keepdims=True)
    order_N = np.random.default_rng(seed).permutation(len(probability_NC))
    values = [_split_score(probability_NC[part]) for part in np.array_split(order_N, splits)]
    return InceptionScoreResult(
        score=float(np.mean(values)),
        protocol=f"inception_score_{name}_n{len(logits_NC)}_splits{splits}",
        num_train=len(logits_NC),
        seed=seed,
        deviation=float(np.std(values)),
    )
