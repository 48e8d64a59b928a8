"""Checkpoints of a running loop: everything needed to continue bit by bit, read back without running code."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from contrafact.core.checksum import check_archive, write_archive
from contrafact.core.foreign import first_line
from contrafact.core.inert_files import read_inert

if TYPE_CHECKING:
    from contrafact.core.processes import Processes

RandomState = torch.Generator | np.random.Generator


def save_state(path: Path, state: Mapping[str, Any], step: int, processes: Processes) -> None:
    """Write ``state`` after ``step`` steps, atomically; every process takes part, the main one writes.

    Modules and optimisers are equal in all processes; random streams are not, so each process's are kept.
    """
    streams = processes.all_of({name: _random_state(v) for name, v in state.items() if isinstance(v, RandomState)})
    if not processes.is_main:
        return
    shared = {name: v.state_dict() for name, v in state.items() if not isinstance(v, RandomState)}
    # Through memory: torch's own file writer reports a full disk as an internal error.
    buffer = io.BytesIO()
    torch.save({"step": step, "shared": shared, "streams": streams}, buffer)
    write_archive(path, buffer.getbuffer())


def load_state(
    path: Path,
    state: Mapping[str, Any],
    rank: int,
    world_size: int,
    any_processes: bool = False,
    *,
    checksum_required: bool = True,
) -> int:
    """Put ``state`` back as it was saved; returns the number of steps done.

    With ``any_processes``, a process that was not there keeps the random streams it begins with.

    Raises:
        ValueError: damaged or foreign file, another number of processes, or names or shapes that do not match.
    """
    check_archive(path, "checkpoint of contrafact", "remove it to start again", checksum_required)
    try:
        saved = read_inert(path).content
        step, shared, streams = int(saved["step"]), dict(saved["shared"]), [dict(part) for part in saved["streams"]]
    except Exception as error:  # the documented border: whatever the file is
        raise ValueError(
            f"{path} is no whole checkpoint of contrafact ({first_line(error)}); remove it to start again"
        ) from error
    if len(streams) != world_size and not any_processes:
        raise ValueError(
            f"{path} was saved by {len(streams)} process(es), this run has {world_size}; use as many, or consent to "
            "other random streams with --change processes"
        )
    if rank >= len(streams):
        own = {n: v for n, v in state.items() if isinstance(v, RandomState)}
        state, streams = {n: v for n, v in state.items() if n not in own}, [{}] * (rank + 1)
    expected = {n for n, v in state.items() if not isinstance(v, RandomState)}
    if set(shared) != expected or set(streams[rank]) != set(state) - expected:
        held = sorted(map(str, shared))
        raise ValueError(f"{path} holds {held}, this method needs {sorted(expected)}; it is another method's")
    for name, value in state.items():
        try:
            if isinstance(value, torch.Generator):
                value.set_state(streams[rank][name])
            elif isinstance(value, np.random.Generator):
                value.bit_generator.state = json.loads(streams[rank][name])
            else:
                value.load_state_dict(shared[name])
        except Exception as error:  # the documented border: a stranger's content fails in a loader in any way
            why = str(error) or type(error).__name__
            raise ValueError(f"{path} does not fit this method's {name} ({why}); remove it to start again") from error
    return step


def _random_state(stream: RandomState) -> Any:
    # numpy's state holds integers beyond 64 bits; as text they pass through the safe loader.
    return stream.get_state() if isinstance(stream, torch.Generator) else json.dumps(stream.bit_generator.state)
