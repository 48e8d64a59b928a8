"""Faults that lives must find: a harness that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kill.process import Command


def write_in_place() -> int:
    """Write every file where it belongs, bit by bit, instead of beside it."""
    from contrafact.core import files

    @contextmanager
    def in_place(path: str | Path) -> Iterator[Path]:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target

    files.atomic_path = in_place
    return 0


def forget_the_optimizer() -> int:
    """Leave the optimiser out of every checkpoint."""
    import torch

    from contrafact.core.run import Run

    steps = Run.steps

    def forgetful(self: Run, total: int, state: dict[str, Any], what: str = "training") -> Iterator[int]:
        kept = {name: value for name, value in state.items() if not isinstance(value, torch.optim.Optimizer)}
        return steps(self, total, kept, what)

    Run.steps = forgetful  # type: ignore[method-assign]
    return 0


def promise_too_early() -> int:
    """Write result.json, which says that the artefacts are there, before they are."""
    from contrafact.core.run import RESULT, Run, write_json

    finish = Run.finish

    def early(self: Run, artefacts: Any, seconds: float) -> None:
        names = [name for name in ("encoder", "directions", "generator") if getattr(artefacts, name) is not None]
        write_json(self.folder / RESULT, {"artefacts": names, "seconds": 0.0})
        finish(self, artefacts, seconds)

    Run.finish = early  # type: ignore[method-assign]
    return 0


def share_folders() -> int:
    """Let everybody have every claim."""
    from contrafact.core import claim

    claim._lock = lambda descriptor: True
    claim._is_current = lambda lock, descriptor: True
    claim._is_free = lambda holder, locked: True
    return 0


SABOTAGE: dict[str, Command] = {
    "write-in-place": write_in_place,
    "forget-optimizer": forget_the_optimizer,
    "promise-early": promise_too_early,
    "share-folders": share_folders,
}
"""Each breaks this process; the result is an exit code, as a command's."""
