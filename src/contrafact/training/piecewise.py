"""Whether a batch may be taken apart: what a network says of a row must not depend on the others."""

from __future__ import annotations

from torch import nn


def mixes_rows(module: nn.Module) -> bool:
    """Whether what a network says of a row depends on the others of its batch: it normalises over the batch.

    >>> mixes_rows(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))), mixes_rows(nn.LayerNorm(2))
    (True, False)
    """
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
