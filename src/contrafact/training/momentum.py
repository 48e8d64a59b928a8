"""A slowly following copy of a network, and the queue of features it made (He et al. 2020, MoCo).

Shape suffixes: N new features, K queue length, J dimensions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def momentum_copy(module: ModuleT) -> ModuleT:
    """A copy of ``module`` that no gradient reaches: :func:`follow` alone changes it."""
    copied = copy.deepcopy(module)
    return copied.requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move every parameter of ``slow`` towards ``fast``: θ_k ← m·θ_k + (1 − m)·θ_q, in one fused update.

    Buffers (running statistics) stay ``slow``'s own: its forward passes make them.

    Raises:
        ValueError: momentum outside [0, 1], or modules of different shapes.
    """
    if not 0.0 <= momentum <= 1.0:
        raise ValueError(f"momentum must lie in [0, 1], got {momentum}")
    targets: list[Tensor] = list(slow.parameters())
    sources: list[Tensor] = list(fast.parameters())
    if [p.shape for p in targets] != [p.shape for p in sources]:
        raise ValueError("the momentum copy and the network it follows must have the same parameters")
    torch._foreach_lerp_(targets, sources, 1.0 - momentum)


@torch.no_grad()
def in_shuffled_groups(encode: Callable[[Tensor], Tensor], images: Tensor, groups: int, rng: torch.Generator) -> Tensor:
    """What ``encode`` makes of images, in their order, when it sees them in shuffled groups of at least two.

    Each group has batch statistics of its own, other ones than the queries' batch, so that no key can be told by them
    (the shuffling of MoCo, Section 3.3, whatever the number of devices). One group is the batch as it is.
    """
    if groups == 1:
        return encode(images)
    order = torch.randperm(len(images), generator=rng).to(images.device)
    parts = images[order].chunk(max(1, min(groups, len(images) // 2)))
    shuffled = torch.cat([encode(part) for part in parts])
    return torch.empty_like(shuffled).index_copy_(0, order, shuffled)


class FeatureQueue(nn.Module):
    """The latest K features, as negatives; new ones overwrite the oldest, modulo K, in place.

    K need not be a multiple of the number pushed. The queue is never copied, so push after ``backward``: the loss's
    graph still reads what the push overwrites. Its content travels in the checkpoint; it starts as random directions.

    Args:
        length: K.
        dimensions: J.
        rng: of the initial content.

    Attributes:
        features: ``(K, J)`` unit vectors, no gradient.

    Raises:
        ValueError: a length or dimension below 1.
    """

    features: Tensor
    place: Tensor

    def __init__(self, length: int, dimensions: int, rng: torch.Generator | None = None) -> None:
        super().__init__()
        shape = (check_count("queue length", length), check_count("dimensions", dimensions))
        self.register_buffer("features", F.normalize(torch.randn(shape, generator=rng), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.features)

    @torch.no_grad()
    def push(self, features_NJ: Tensor) -> None:
        """Overwrite the oldest N features, in order.

        Raises:
            ValueError: more features than the queue holds, or of another dimension.
        """
        n = len(features_NJ)
        if n > len(self) or features_NJ.shape[1] != self.features.shape[1]:
            raise ValueError(
                f"a queue of {len(self)} features of {self.features.shape[1]} dimensions cannot take a batch of shape "
                f"{tuple(features_NJ.shape)}; make the queue at least as long as the batch"
            )
        # The place stays on the device: reading it here would make the GPU wait every step.
        rows = (self.place + torch.arange(n, device=self.place.device)).remainder_(len(self))
        self.features.index_copy_(0, rows, features_NJ.detach().to(self.features.dtype))
        self.place.add_(n).remainder_(len(self))


def check_queue(length: int, batch: int) -> int:
    """``length`` if a batch fits into a queue that long, else a ValueError, before any step is made."""
    if check_count("queue_length", length) < batch:
        raise ValueError(
            f"queue_length must be at least the batch, or new features would overwrite each other: got {length} for a "
            f"batch of {batch}; lengthen the queue or shrink batch_size"
        )
    return length
