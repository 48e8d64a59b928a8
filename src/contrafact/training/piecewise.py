"""A network on a few rows at a time, with gradients as if it had seen them all at once.

Between pieces nothing is kept but what went in: going back, each piece is computed a second time (Chen et al. 2016,
https://arxiv.org/abs/1604.06174). Gradients are the same up to the order of sums; memory is that of one piece.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def in_pieces(function: Callable[[Tensor], Tensor], rows: Tensor, size: int) -> Tensor:
    """``function(rows)``, computed on ``size`` rows at a time.

    Args:
        function: ``(N, …)`` to ``(N, …)``, each row by itself.
        rows: what it takes.
        size: rows of a piece; 0 for all at once, with nothing computed twice.

    >>> weight = torch.ones(3, requires_grad=True)
    >>> in_pieces(lambda rows: rows * weight, torch.ones(5, 3), 2).sum().backward()
    >>> weight.grad.tolist()
    [5.0, 5.0, 5.0]
    """
    if not size:
        return function(rows)
    if not torch.is_grad_enabled():
        return torch.cat([function(piece) for piece in rows.split(size)])
    pieces = [checkpoint(function, piece, use_reentrant=False) for piece in rows.split(size)]
    return torch.cat(pieces)


def mixes_rows(module: nn.Module) -> bool:
    """Whether what a network says of a row depends on the others of its batch: it normalises over the batch.

    >>> mixes_rows(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))), mixes_rows(nn.LayerNorm(2))
    (True, False)
    """
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
