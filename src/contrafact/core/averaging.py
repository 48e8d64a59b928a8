"""The mean gradient of several processes, exchanged while the rest of the gradient is still being computed.

As in Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training" (VLDB 2020): parameters in
buckets, in the reverse of their order, because the last layers' gradients are there first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from contrafact.core.processes import Processes

BUCKET_BYTES = 8 * 2**20
"""Of gradients that are exchanged in one message."""


class _Bucket:
    """Parameters whose gradients travel together."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters, self.missing = parameters, len(parameters)
        self._wait: Callable[[], Tensor] | None = None

    def send(self, processes: Processes) -> None:
        """Begin to exchange what gradients there are; those that are not count as zeros."""
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self._wait = processes.begin_total(torch.cat([part.detach().flatten() for part in parts]))

    def receive(self, count: int) -> None:
        """Wait for the sum, and give each parameter its mean."""
        assert self._wait is not None
        mean = self._wait().div_(count)
        for p, gradient in zip(self.parameters, mean.split([p.numel() for p in self.parameters]), strict=True):
            if p.grad is None:
                p.grad = torch.empty_like(p)
            p.grad.copy_(gradient.view_as(p))


def backward_and_average(
    loss: Tensor, parameters: Iterable[nn.Parameter], processes: Processes, bucket_bytes: int = BUCKET_BYTES
) -> None:
    """``loss.backward()``, after which the parameters' gradients are means over the processes.

    Messages leave in the same order in each process, whatever parameters its loss depends on; those it does not depend
    on count as zeros.

    Args:
        loss: what this process minimises.
        parameters: whose gradients are averaged; others keep this process's own.
        processes: two or more.
        bucket_bytes: of one message, at least one parameter's.
    """
    buckets = [_Bucket(part) for part in in_buckets(parameters, bucket_bytes)]
    bucket_of = {p: bucket for bucket in buckets for p in bucket.parameters}
    sent = 0

    def send_complete(parameter: Tensor) -> None:
        nonlocal sent
        bucket_of[parameter].missing -= 1  # type: ignore[index]
        while sent < len(buckets) and buckets[sent].missing == 0:
            buckets[sent].send(processes)
            sent += 1

    hooks = [p.register_post_accumulate_grad_hook(send_complete) for p in bucket_of]
    try:
        loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    for bucket in buckets[sent:]:
        bucket.send(processes)
    for bucket in buckets:
        bucket.receive(processes.count)


def in_buckets(parameters: Iterable[nn.Parameter], bucket_bytes: int) -> list[list[nn.Parameter]]:
    """Those that are trained, in reverse order, in parts of at most so many bytes, of one type and device each.

    >>> sizes = [nn.Parameter(torch.zeros(n)) for n in (3, 1, 1, 2)]
    >>> [[len(p) for p in part] for part in in_buckets(sizes, 12)]
    [[2, 1], [1], [3]]
    """
    buckets: list[list[nn.Parameter]] = []
    held = 0
    for p in reversed([p for p in dict.fromkeys(parameters) if p.requires_grad]):
        size = p.numel() * p.element_size()
        last = buckets[-1][-1] if buckets else None
        if last is None or held + size > bucket_bytes or (last.dtype, last.device) != (p.dtype, p.device):
            buckets.append([])
            held = 0
        buckets[-1].append(p)
        held += size
    return buckets
