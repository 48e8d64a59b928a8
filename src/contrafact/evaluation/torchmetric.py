"""Running scores as a ``torchmetrics.Metric``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from contrafact.evaluation.running import Running


def torch_metric(running: Running) -> Any:
    """A ``torchmetrics.Metric`` whose states are rows: it gathers them from all processes, on whatever device they are.

    Raises:
        ImportError: torchmetrics is not installed.
    """
    import importlib

    base: Any = importlib.import_module("torchmetrics").Metric
    joined = importlib.import_module("torchmetrics.utilities").dim_zero_cat

    class TorchMetric(base):  # type: ignore[misc]
        is_differentiable = False
        full_state_update = False
        codes: list[Tensor]
        factors: list[Tensor]

        def __init__(self) -> None:
            super().__init__()
            self.add_state("codes", default=[], dist_reduce_fx="cat")
            self.add_state("factors", default=[], dist_reduce_fx="cat")

        def update(self, codes: Tensor, factors: Tensor) -> None:
            self.codes.append(codes.detach())
            self.factors.append(factors.detach())

        def forward(self, *args: Any, **kwargs: Any) -> None:
            self.update(*args, **kwargs)  # a batch is too few to score

        def compute(self) -> dict[str, Tensor]:
            rows = Running(
                running.metrics,
                settings=running.settings,
                continuous=running.continuous,
                most=running.most,
                seed=running.seed,
                gather=False,  # torchmetrics has done it
            )
            rows.update(joined(self.codes), joined(self.factors))
            return {name: torch.tensor(value) for name, value in rows.compute().items()}

        def __reduce__(self) -> tuple[Any, ...]:
            return torch_metric, (running,), self.__getstate__()  # the class is made here, so pickle cannot find it

    return TorchMetric()
