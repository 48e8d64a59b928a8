"""How a learning rate rises and falls over a run."""

from __future__ import annotations

import math

import torch


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: a linear rise over ``warmup`` steps, then half a cosine down to 0.

    >>> [round(warmup_cosine(step, 12, 2), 2) for step in (0, 1, 2, 7, 12)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of the optimiser this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
