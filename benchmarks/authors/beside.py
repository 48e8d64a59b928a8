"""An authors' program running as it is and, after each of its optimiser's steps, one of ours on the same tensors."""

from __future__ import annotations

import contextlib
import importlib
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn


class Stop(Exception):
    """The program has made as many steps as were asked for."""


class Ours(NamedTuple):
    """Our side of the first step, on the program's weights and draws.

    Attributes:
        loss: of the first step.
        gradients: of every trained tensor, in the order of ``theirs``.
        theirs: the program's gradients, shaped as ours.
        step: what a step of ours is: loss, gradients, update.
    """

    loss: float
    gradients: Sequence[Tensor]
    theirs: Sequence[Tensor]
    step: Callable[[], object]


class Beside:
    """Turns of a program and of ours, and the processor time of each.

    Args:
        steps: turns that are timed; one more, the first, is compared.
        prepare: from the program's weights before its first step and its gradients in it to our side.
    """

    def __init__(self, steps: int, prepare: Callable[[list[Tensor], list[Tensor | None]], Ours]) -> None:
        self.steps, self.prepare = steps, prepare
        self.losses: list[float] = []
        self.times: list[tuple[float, float]] = []
        self.ours: Ours | None = None
        self._since = 0.0

    @contextlib.contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Lets the optimiser ``torch.optim.NAME`` of the program give turns, and notes the loss it goes down."""
        kind, backward, beside = getattr(torch.optim, name), Tensor.backward, self

        class Watched(kind):  # type: ignore[misc, valid-type]
            def step(self, closure: Any = None) -> None:
                beside._turn([p for group in self.param_groups for p in group["params"]], super().step)

        def noted(tensor: Tensor, *args: Any, **kwargs: Any) -> None:
            if not self.losses:
                self.losses.append(tensor.item())
            backward(tensor, *args, **kwargs)

        with mock.patch.object(torch.optim, name, Watched), mock.patch.object(Tensor, "backward", noted):
            yield

    def _turn(self, parameters: list[Tensor], update: Callable[[], object]) -> None:
        if self.ours is None:
            weights = [p.detach().clone() for p in parameters]
            self.ours = self.prepare(weights, [None if p.grad is None else p.grad.clone() for p in parameters])
            self.ours.step()
            update()
        else:
            update()
            middle = time.process_time()
            self.ours.step()
            self.times.append((middle - self._since, time.process_time() - middle))
        if len(self.times) >= self.steps:
            raise Stop
        self._since = time.process_time()

    def result(self, method: str) -> dict[str, Any]:
        """Differences of the first step, median seconds of the others and the median of their ratios."""
        assert self.ours is not None, "the program made no step"
        mine, theirs = (torch.cat([g.reshape(-1) for g in some]) for some in (self.ours.gradients, self.ours.theirs))
        return {
            "method": method,
            "loss": self.losses[0],
            "loss_difference": abs(self.ours.loss - self.losses[0]),
            "gradient_difference": float((mine - theirs).norm() / theirs.norm()),
            "original_s": round(statistics.median(theirs for theirs, _ in self.times), 4),
            "ours_s": round(statistics.median(ours for _, ours in self.times), 4),
            "ratio": round(statistics.median(theirs / ours for theirs, ours in self.times), 2),
            "pairs": len(self.times),
        }


def _on_cpu(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("device", None)
        return function(*args, **kwargs)

    return call


def stub(name: str, **content: Any) -> types.ModuleType:
    """A module that holds nothing but ``content``."""
    module = types.ModuleType(name)
    vars(module).update(content)
    return module


@contextlib.contextmanager
def checkout_on_cpu(checkout: Path, *stubs: types.ModuleType) -> Iterator[None]:
    """Imports from a checkout, with ``stubs`` for what is not installed, and no CUDA; all undone afterwards."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(sys.modules, {module.__name__: module for module in stubs}))
        stack.enter_context(mock.patch.object(sys, "path", [str(checkout), *sys.path]))
        for owner in (nn.Module, Tensor):
            stack.enter_context(mock.patch.object(owner, "cuda", lambda self, *a, **k: self))
        for name in ("randn", "zeros", "randint", "rand"):
            stack.enter_context(mock.patch.object(torch, name, _on_cpu(getattr(torch, name))))
        yield


def torchvision() -> types.ModuleType:
    """torchvision from PYTHONPATH; its Python is all that is needed, so its compiled part need not fit this torch."""
    if not hasattr(torchvision, "operators"):
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):
                operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision.operators = operators  # type: ignore[attr-defined]
    return importlib.import_module("torchvision")
