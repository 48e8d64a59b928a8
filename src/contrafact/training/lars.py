"""LARS: SGD whose rate for each layer is scaled to the size of its weights.

Large Batch Training of Convolutional Networks, You, Gitman & Ginsburg, 2017, https://arxiv.org/abs/1708.03888, as
SimCLR's program has it (github.com/google-research/simclr, commit 036ea7b): the rate is applied before the momentum,
and vectors (biases, batch normalisation) are neither decayed nor scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

TRUST = 0.001
"""Share η of a layer's norm that one step of rate 1 moves it by."""


class LARS(torch.optim.Optimizer):
    """v ← μ·v + γ·λ·(g + β·w), w ← w − v, with λ = η·‖w‖ / ‖g + β·w‖ for each matrix or kernel w, 1 for vectors.

    Args:
        params: parameters, or groups of them.
        lr: γ.
        momentum: μ.
        weight_decay: β.

    >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    >>> weight.grad = torch.tensor([[0.0, 2.0]])
    >>> _ = LARS([weight], lr=1.0).step()
    >>> [round(x, 4) for x in weight[0].tolist()]  # moved by a thousandth of its norm of 5
    [3.0, 3.995]
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; ``closure``, if given, makes the gradients and returns the loss, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                change, rate = weight.grad, torch.tensor(float(group["lr"]), device=weight.device)
                if weight.ndim > 1:
                    change = change.add(weight, alpha=group["weight_decay"])
                    sizes = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(change)
                    trust = TRUST * sizes[0] / sizes[1]
                    rate = rate * torch.where((sizes[0] > 0) & (sizes[1] > 0), trust, 1.0)
                state = self.state[weight]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(weight)
                velocity = state["velocity"].mul_(group["momentum"]).add_(rate * change)
                weight.sub_(velocity)
        return loss
