"""Scores within a training loop: rows come batch by batch, from one process or several, and are scored when asked.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.dataset import check_count
from contrafact.core.metric import ArrayLike, Continuous, as_array
from contrafact.evaluation.codes import evaluate, resolve_metrics
from contrafact.evaluation.result import Evaluation

Array = npt.NDArray[Any]


class Running:
    """Metrics of codes that are collected while a model trains or is validated, in the manner of torchmetrics.

    Rows are kept on the processor, at most ``most`` of them: a random sample of all that came, the same for the same
    seed. Where ``torch.distributed`` has been started, :meth:`compute` scores the rows of all processes together, and
    every process gets the same scores; all must call it.

    Args:
        metrics: names in any spelling, a list or comma-separated.
        settings: keyword arguments by metric name.
        continuous: whether factors are measurements, see :func:`~contrafact.metrics.evaluate`.
        most: rows to keep.
        seed: of the sample and of the metrics.
        gather: score the rows of all processes, where there are several; else each its own.

    Raises:
        ValueError: an unknown metric, one that takes more than codes and factors, or ``most`` is not positive.

    >>> scores = Running("mig")
    >>> rng = np.random.default_rng(0)
    >>> for _ in range(10):
    ...     factors = rng.integers(4, size=(64, 2))
    ...     scores.update(factors * [1.0, -2.0], factors)
    >>> {name: round(value, 1) for name, value in scores.compute().items()}, len(scores)
    ({'mig.score': 1.0}, 640)
    >>> scores.reset(), len(scores)
    (None, 0)
    """

    def __init__(
        self,
        metrics: str | Sequence[str] = "mig,modularity,sap",
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        continuous: Continuous = False,
        most: int = 10_000,
        seed: int = 0,
        gather: bool = True,
    ) -> None:
        self.metrics = tuple(resolve_metrics(metrics))
        self.settings = dict(settings or {})
        self.continuous = continuous
        self.most = check_count("most", most)
        self.seed = seed
        self.gather = gather
        self.evaluation: Evaluation | None = None
        self.reset()

    def __len__(self) -> int:
        return sum(map(len, self._keys))

    def reset(self) -> None:
        """Forget all rows."""
        self._codes: list[Array] = []
        self._factors: list[Array] = []
        self._keys: list[Array] = []
        # Each process draws keys of its own: the same ones would pick the same places of every process's rows.
        self._rng = np.random.default_rng((self.seed, _rank()))

    def update(self, codes: ArrayLike, factors: ArrayLike) -> None:
        """Add the rows of a batch.

        Args:
            codes: ``(n, J)``, of any device; gradients are not kept.
            factors: ``(n, K)`` of the same images.

        Raises:
            ValueError: no matrices, different numbers of rows, or other columns than before.
        """
        codes_NJ, factors_NK = (np.array(as_array(values)) for values in (codes, factors))
        shapes = f"{codes_NJ.shape} and {factors_NK.shape}"
        if codes_NJ.ndim != 2 or factors_NK.ndim != 2 or len(codes_NJ) != len(factors_NK):
            raise ValueError(f"expected codes (n, J) and factors (n, K) of the same n images, got {shapes}")
        if self._codes and (codes_NJ.shape[1:], factors_NK.shape[1:]) != (
            self._codes[0].shape[1:],
            self._factors[0].shape[1:],
        ):
            raise ValueError(f"expected as many columns as in the batches before, got {shapes}; reset() starts anew")
        self._codes.append(codes_NJ)
        self._factors.append(factors_NK)
        self._keys.append(self._rng.random(len(codes_NJ)))
        if len(self) > 2 * self.most:
            rows = _sampled(self._rows(), self.most)
            self._codes, self._factors, self._keys = ([part] for part in rows)

    def _rows(self) -> tuple[Array, Array, Array]:
        return np.concatenate(self._codes), np.concatenate(self._factors), np.concatenate(self._keys)

    def compute(self) -> dict[str, float]:
        """Every score by full name, of the rows so far of all processes; :attr:`evaluation` has the rest.

        Raises:
            ValueError: there are no rows, or what a metric refuses.
        """
        mine = self._rows() if self._codes else None
        parts = [part for part in (_gathered(mine) if self.gather else [mine]) if part is not None]
        if not parts:
            raise ValueError("there are no rows to score; call update(codes, factors) first")
        rows = tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
        codes_NJ, factors_NK, _ = _sampled((rows[0], rows[1], rows[2]), self.most)
        self.evaluation = evaluate(
            codes_NJ,
            factors_NK,
            metrics=self.metrics,
            settings=self.settings,
            continuous=self.continuous,
            seed=self.seed,
            active=None,
        )
        return self.evaluation.scores()

    def as_torchmetric(self) -> Any:
        """The same as a ``torchmetrics.Metric``, for a ``MetricCollection`` or a Lightning module.

        A call (``metric(codes, factors)``) only adds the rows, since a batch is too few to score.

        Raises:
            ValueError: torchmetrics is not installed.
        """
        try:
            from contrafact.evaluation.torchmetric import torch_metric

            return torch_metric(self)
        except ImportError as error:
            raise ValueError("a torchmetrics.Metric needs torchmetrics: pip install torchmetrics") from error


def _sampled(rows: tuple[Array, Array, Array], most: int) -> tuple[Array, Array, Array]:
    """The rows with the smallest keys, in their order: a random sample of all that ever had a key."""
    codes_NJ, factors_NK, keys_N = rows
    if len(keys_N) <= most:
        return rows
    kept = np.sort(np.argpartition(keys_N, most - 1)[:most])
    return codes_NJ[kept], factors_NK[kept], keys_N[kept]


def _distributed() -> Any:
    """``torch.distributed`` where processes have been joined, else None; torch is not imported for it."""
    found = getattr(sys.modules.get("torch"), "distributed", None)
    return found if found is not None and found.is_available() and found.is_initialized() else None


def _rank() -> int:
    joined = _distributed()
    return 0 if joined is None else int(joined.get_rank())


def _gathered(part: Any) -> list[Any]:
    """What each process holds, in the order of their ranks."""
    joined = _distributed()
    if joined is None:
        return [part]
    parts = [None] * joined.get_world_size()
    joined.all_gather_object(parts, part)
    return parts
