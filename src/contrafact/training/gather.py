"""Features of all processes in one batch, so that several processes minimise the loss of their joint batch."""

from __future__ import annotations

import torch
from torch import Tensor

from contrafact.core.run import Run


def gathered(features_NJ: Tensor, run: Run) -> Tensor:
    """Features ``(P·N, J)`` of all P processes, in rank order, equal in each; itself when there is one process.

    A loss of them is the joint batch's loss. Gradients flow to this process's own rows, scaled by P, so that
    ``run.backward`` ends with the joint batch's gradient: each process adds the part that its rows caused.

    Args:
        features_NJ: this process's features, equally many in each.
        run: knows the processes.
    """
    if run.world_size == 1:
        return features_NJ
    size, rank = len(features_NJ), run.rank
    everyone = run.processes.rows(features_NJ.detach())
    count = run.world_size
    own = features_NJ * count - features_NJ.detach() * (count - 1)
    return torch.cat([everyone[: rank * size], own, everyone[(rank + 1) * size :]])


def gathered_rows(values: Tensor, run: Run) -> Tensor:
    """Rows of all processes, in rank order, without gradient: labels, indices, or features for a shared queue."""
    return run.processes.rows(values.detach())
