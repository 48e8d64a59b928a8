"""The processes that train one run together, as torchrun starts them; alone, everything here is free.

Rank and number come from the environment variables that torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK).
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def _leave(own: weakref.ref[dist.ProcessGroup]) -> None:
    """Leave the group, unless another has taken its place, while the interpreter is whole.

    Gloo's threads need the interpreter to let go of what they exchanged last: one that still does so in its teardown
    aborts the process, and torchrun calls a finished run a failed one. They end with the group, which goes when nobody
    holds it any more. A process that ends by an exception leaves that to its launcher, as its last exchange may wait
    for the others.
    """
    group = own()
    ours = group is not None and dist.is_initialized() and dist.group.WORLD is group
    del group
    if ours and getattr(sys, "last_value", None) is None:
        dist.destroy_process_group()


class Processes:
    """This process among those that train together; made on every process, before the first exchange.

    Args:
        device: where the training runs: GPUs exchange by NCCL, all else by Gloo.

    Attributes:
        index: this process's number, from 0.
        count: how many there are.
        device: the device of this process; with several on one machine, each has its own GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.index, self.count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.device = device
        if self.count == 1:
            return
        if device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(self.device)
        if not dist.is_initialized():
            # its functions hold, to the end, the group that there is when they are imported: of that, none
            importlib.import_module("torch.distributed.nn")
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            if device.type != "cuda":
                assert dist.group.WORLD is not None
                atexit.register(_leave, weakref.ref(dist.group.WORLD))

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()

    def total(self, value: Tensor) -> Tensor:
        """Sum over the processes, equal in each; ``value`` stays as it is."""
        summed = value.detach().to(self.device, copy=True).contiguous()
        if self.count > 1:
            dist.all_reduce(summed)
        return summed.to(value.device)

    def begin_total(self, value: Tensor) -> Callable[[], Tensor]:
        """Begin :meth:`total` of a tensor that nobody else uses; what is returned waits for the sum."""
        summed = value.detach().to(self.device).contiguous()
        work = dist.all_reduce(summed, async_op=True) if self.count > 1 else None

        def wait() -> Tensor:
            if work is not None:
                work.wait()
            return summed.to(value.device)

        return wait

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes, equal in each."""
        return self.total(value) / self.count

    def rows(self, value: Tensor) -> Tensor:
        """Rows of all processes one below the other, in their order; equally many in each."""
        if self.count == 1:
            return value
        parts = [torch.empty_like(value) for _ in range(self.count)]
        dist.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    def all_of(self, thing: Any) -> list[Any]:
        """Every process's ``thing``, in their order. Whatever is exchanged comes from this program, not from a file."""
        if self.count == 1:
            return [thing]
        things: list[Any] = [None] * self.count
        dist.all_gather_object(things, thing)
        return things

    def first_of(self, thing: T) -> T:
        """The main process's ``thing``."""
        if self.count == 1:
            return thing
        box = [thing]
        dist.broadcast_object_list(box, src=0)
        return box[0]
