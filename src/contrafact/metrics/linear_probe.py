"""Linear probe: top-1 and top-5 accuracy of a linear classifier on frozen codes.

Zhang et al. 2016; Chen et al., "A Simple Framework for Contrastive Learning", ICML 2020, Section 2.2.

Shape suffixes: N points, M test points, J code dimensions, K factors, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contrafact.core.active import Active
from contrafact.core.dataset import check_count
from contrafact.core.matrices import Pair, read_pair
from contrafact.core.metric import ArrayLike, FloatArray, IntArray, MetricInfo, MetricResult, measured
from contrafact.metrics._linear import LOGISTIC, standardize
from contrafact.metrics._logistic import fit_logistic

INFO = MetricInfo(
    kind="static",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="Chen et al. 2020, Section 2.2",
    enough={"top1": 300},
)
TOP = 5


@dataclass(frozen=True, kw_only=True)
class ProbeResult(MetricResult):
    """``score`` is the mean top-1 test accuracy, ``per_factor`` ``(K,)`` its parts.

    Attributes:
        top5: mean top-5 test accuracy; 1 for factors of five values or fewer.
        score_train: mean top-1 accuracy on the points fitted.
        per_factor_top5: ``(K,)``.
    """

    top5: float
    score_train: float
    per_factor_top5: FloatArray

    def scores(self) -> dict[str, float]:
        return {"top1": self.score, "top5": self.top5, "train": self.score_train}


def top_accuracy(scores_MC: FloatArray, classes_C: IntArray, labels_M: IntArray, top: int) -> float:
    """Share of points whose label is among the ``top`` highest-scoring classes; ties go to the first class.

    >>> top_accuracy(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]), np.array([0, 1, 2]), np.array([1, 0]), 2)
    1.0
    """
    order_MC = np.argsort(-scores_MC, axis=1, kind="stable")[:, :top]
    return float(np.mean((classes_C[order_MC] == labels_M[:, None]).any(axis=1)))


def _fit_sgd(
    codes_NJ: FloatArray, labels_N: IntArray, epochs: int, seed: int
) -> tuple[Callable[[FloatArray], FloatArray], IntArray]:
    """Softmax regression by SGD: batch 256, momentum 0.9, no weight decay, cosine decay from 0.1."""
    import torch

    classes_C, places_N = np.unique(labels_N, return_inverse=True)
    inputs, targets = torch.from_numpy(codes_NJ).float(), torch.from_numpy(places_N)
    rng = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(inputs.shape[1], len(classes_C))
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=rng).split(256):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        schedule.step()

    def scores(codes: FloatArray) -> FloatArray:
        with torch.no_grad():
            return np.asarray(layer(torch.from_numpy(codes).float()).double().numpy())

    return scores, classes_C


def probe_pair(pair: Pair, solver: str, epochs: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Test top-1, test top-5 and training top-1 accuracies ``(K,)`` of linear classifiers on a pair's codes."""
    train_NJ, test_MJ = standardize(pair.codes_NJ, pair.codes_test_NJ)
    rows = []
    for k in range(pair.factors_NK.shape[1]):
        labels_N, labels_M = pair.factors_NK[:, k], pair.factors_test_NK[:, k]
        if solver == "sgd":
            scores, classes_C = _fit_sgd(train_NJ, labels_N, epochs, seed)
        else:
            model = fit_logistic(train_NJ, labels_N)
            scores, classes_C = model.probabilities, model.classes_C
        held_out_MC = scores(test_MJ)
        rows.append(
            (
                top_accuracy(held_out_MC, classes_C, labels_M, 1),
                top_accuracy(held_out_MC, classes_C, labels_M, TOP),
                top_accuracy(scores(train_NJ), classes_C, labels_N, 1),
            )
        )
    top1_K, top5_K, train_K = np.array(rows).T
    return top1_K, top5_K, train_K


def check_solver(solver: str, epochs: int) -> str:
    """``solver`` if there is such a one, with its tag for the protocol.

    Raises:
        ValueError: unknown solver, or ``epochs`` is not a positive whole number.
    """
    if solver not in ("logistic", "sgd"):
        raise ValueError(f"solver must be 'logistic' or 'sgd', got {solver!r}")
    return f"sgd{check_count('epochs', epochs)}" if solver == "sgd" else LOGISTIC


@measured
def linear_probe(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    solver: Literal["logistic", "sgd"] = "logistic",
    epochs: int = 90,
    seed: int = 0,
    active: Active = None,
) -> ProbeResult:
    """Top-1 and top-5 accuracy of one linear classifier per factor on standardised codes.

    Args:
        codes: ``(N, J)`` numbers to fit on.
        factors: ``(N, K)`` whole numbers; one column for class labels.
        codes_test: ``(M, J)`` held-out codes; without them a third of the rows is held out.
        factors_test: ``(M, K)`` their factors.
        solver: ``logistic`` (L2-penalised, L-BFGS) or ``sgd`` (the self-supervision papers': no penalty, cosine decay).
        epochs: of ``sgd``.
        seed: of the ``sgd`` order.
        active: which codes to look at: a share of the widest code's range, or numbers of codes; None for all. See
            :func:`~contrafact.core.active.active_codes`.

    Returns:
        score in [0, 1], higher is better; guessing scores the share of the commonest value.

    Raises:
        ValueError: shapes, values or lengths do not fit, a factor is constant, or the solver is unknown.

    >>> import numpy as np
    >>> factors = np.random.default_rng(0).integers(2, size=(300, 2))
    >>> linear_probe(factors * [1.0, -2.0], factors).score
    1.0
    """
    tag = check_solver(solver, epochs)
    pair = read_pair(codes, factors, codes_test, factors_test)
    top1_K, top5_K, train_K = probe_pair(pair, solver, epochs, seed)
    return ProbeResult(
        score=float(top1_K.mean()),
        protocol=f"linear_probe_{pair.tag}_{tag}",
        num_train=len(pair.codes_NJ),
        num_test=len(pair.codes_test_NJ),
        per_factor=top1_K,
        seed=seed if solver == "sgd" else None,
        notes=pair.notes,
        top5=float(top5_K.mean()),
        score_train=float(train_K.mean()),
        per_factor_top5=top5_K,
    )
