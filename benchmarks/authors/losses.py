"""Losses of SimCLR, SupCon and CMC: sthalles/SimCLR, HobbitLong/SupContrast and HobbitLong/CMC, on the same features.

Forward and backward to the features, without the networks, which are the same convolutions in either program. SimCLR's
own authors wrote theirs in TensorFlow; the one executed is a PyTorch program that many use.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from authors.beside import checkout_on_cpu, torchvision
from contrafact.losses.contrastive import nt_xent_loss, supervised_contrastive_loss
from contrafact.methods.cmc import MemoryBanks

DIMENSIONS = 128


def simclr(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    features = unit_features(2 * options.batch)
    torchvision()
    with checkout_on_cpu(checkout):
        from simclr import SimCLR

        given = SimpleNamespace(batch_size=options.batch, n_views=2, device="cpu", temperature=0.07)

        def theirs(seen: Tensor) -> Tensor:
            return F.cross_entropy(*SimCLR.info_nce_loss(SimpleNamespace(args=given), seen))

        def ours(seen: Tensor) -> Tensor:
            return nt_xent_loss(*F.normalize(seen, dim=1).chunk(2), 0.07)

        return compared(f"SimCLR's loss, {options.batch} pairs", theirs, ours, features, options.steps)


def sup_con(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    features, labels = unit_features(2 * options.batch), torch.randint(10, (options.batch,))
    with checkout_on_cpu(checkout):
        from losses import SupConLoss

        made = SupConLoss(temperature=0.1, base_temperature=0.1)

        def theirs(seen: Tensor) -> Tensor:
            loss: Tensor = made(torch.stack(seen.chunk(2), dim=1), labels)
            return loss

        def ours(seen: Tensor) -> Tensor:
            return supervised_contrastive_loss(seen, labels.repeat(2), 0.1)

        return compared(f"SupCon's loss, {options.batch} pairs", theirs, ours, features, options.steps)


def cmc(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Eq. 12 through memory banks of 50,000 images and 4,096 negatives for each."""
    images, negatives, n = 50_000, 4096, options.batch
    features = unit_features(2 * n)
    with checkout_on_cpu(checkout):
        from NCE.NCEAverage import NCEAverage
        from NCE.NCECriterion import NCECriterion

        bank, banks = NCEAverage(DIMENSIONS, images, negatives), MemoryBanks(images, DIMENSIONS)
        banks.features.copy_(torch.stack([bank.memory_l, bank.memory_ab]))
        rows, drawn = torch.arange(n), torch.randint(images, (n, negatives))
        asked = torch.cat([rows[:, None], drawn], dim=1)
        criterion = NCECriterion(images)

        def theirs(seen: Tensor) -> Tensor:
            with contextlib.redirect_stdout(io.StringIO()):
                scores = bank(*seen.chunk(2), rows, asked)
            return sum(criterion(score) for score in scores).sum()  # type: ignore[no-any-return, attr-defined]

        def ours(seen: Tensor) -> Tensor:
            first, second = seen.chunk(2)
            loss = banks.loss(first, 1, rows, drawn, 0.07, "nce") + banks.loss(second, 0, rows, drawn, 0.07, "nce")
            for view, part in enumerate((first, second)):
                banks.update(view, rows, part.detach(), 0.5)
            return loss

        return compared(f"CMC's loss, {n} images, K = {negatives}", theirs, ours, features, options.steps)


def unit_features(count: int) -> Tensor:
    torch.manual_seed(0)
    return F.normalize(torch.randn(count, DIMENSIONS), dim=1)


def compared(
    method: str, theirs: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor], features: Tensor, steps: int
) -> dict[str, Any]:
    """Differences on the first call of each, median times of the later ones."""

    def once(loss_of: Callable[[Tensor], Tensor]) -> tuple[float, Tensor, float]:
        seen, start = features.clone().requires_grad_(), time.process_time()
        loss = loss_of(seen)
        (gradient,) = torch.autograd.grad(loss, seen)
        return loss.item(), gradient, time.process_time() - start

    (loss, gradient, _), (mine, my_gradient, _) = once(theirs), once(ours)
    times = [(once(theirs)[2], once(ours)[2]) for _ in range(steps)]
    return {
        "method": method,
        "loss": loss,
        "loss_difference": abs(mine - loss),
        "gradient_difference": float((my_gradient - gradient).norm() / gradient.norm()),
        "original_s": round(statistics.median(a for a, _ in times), 4),
        "ours_s": round(statistics.median(b for _, b in times), 4),
        "ratio": round(statistics.median(a / b for a, b in times), 2),
        "pairs": steps,
    }
