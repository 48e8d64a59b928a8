"""What a training step will hold in memory, measured on two rows before it starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

GIB = 2**30


def graph_bytes(function: Callable[[Tensor], Tensor], rows: Tensor) -> int:
    """Bytes that each row adds to what is kept for going back through ``function``.

    Args:
        function: ``(N, …)`` to anything with gradients.
        rows: two of what it takes.

    >>> weight = torch.ones(3, requires_grad=True)
    >>> graph_bytes(lambda rows: (rows * weight).exp(), torch.ones(2, 3))  # the row, and its exponential, in float32
    24
    """

    def held(count: int) -> int:
        some = rows[:count].detach().clone().requires_grad_(rows.requires_grad)  # of their own memory
        sizes: dict[int, int] = {}

        def note(kept: Tensor) -> Tensor:
            storage = kept.untyped_storage()
            # On the meta device nothing has an address; the storage itself tells them apart.
            sizes[storage.data_ptr() or storage._cdata] = storage.nbytes()
            return kept

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
            result = function(some)
        assert result is not None, "alive until here, so that no address is counted twice"
        return sum(sizes.values())

    return held(2) - held(1)


def free_bytes(device: torch.device) -> int | None:
    """Memory that is left on a device; None where the system does not say.

    >>> free_bytes(torch.device("meta")) is None
    True
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    left = [_available(Path("/proc/meminfo")), _of_group(Path("/sys/fs/cgroup"))]
    return min((number for number in left if number is not None), default=None)


def _available(path: Path) -> int | None:
    """MemAvailable of Linux, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_group(folder: Path) -> int | None:
    """What a container's limit leaves, in bytes."""
    try:
        most, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return None if most == "max" else int(most) - int(used)


def refuse_too_much(needed: int, device: torch.device, advice: str, free: int | None = None) -> None:
    """Say what a step will hold where it is much, and refuse it where there is not as much.

    Args:
        needed: bytes that it keeps for its gradients: a lower bound of what it takes.
        device: where.
        advice: what to set so that it takes less.
        free: bytes left; None asks the system.

    Raises:
        ValueError: less is free.

    >>> refuse_too_much(3 * GIB, torch.device("cpu"), "set batch_size to 4", free=2 * GIB)
    Traceback (most recent call last):
    ValueError: a step keeps about 3.0 GiB for its gradients, and 2.0 GiB are free on cpu; set batch_size to 4
    """
    free = free_bytes(device) if free is None else free
    if free is not None and needed > free:
        raise ValueError(
            f"a step keeps about {needed / GIB:.1f} GiB for its gradients, and {free / GIB:.1f} GiB are free on "
            f"{device}; {advice}"
        )
    if needed >= GIB:
        print(f"a step keeps about {needed / GIB:.1f} GiB for its gradients; to take less, {advice}", file=sys.stderr)
