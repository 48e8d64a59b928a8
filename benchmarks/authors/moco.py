"""MoCo: github.com/facebookresearch/moco at the last commit that holds it (132aea9), its model and its training loop.

The body is torchvision's ResNet, with the program's own last layer; one process, so its shuffled keys are one group.
Views are made beforehand: both are given the same. Its accuracy, which this torch
refuses, is computed in another way. ``--queue`` must be a multiple of the batch, as the program asks.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from authors.beside import Beside, Ours, Stop, checkout_on_cpu, stub, torchvision
from contrafact.core.run import Run
from contrafact.methods.moco import MoCo
from contrafact.nn.projected import ProjectedEncoder
from contrafact.training.momentum import FeatureQueue, momentum_copy


def measure(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    shape, depth = (3, options.side, options.side), options.resnet
    torchvision()
    from torchvision import models

    body = getattr(models, f"resnet{depth}")
    views = [[torch.rand(options.batch, *shape) for _ in range(2)] for _ in range(options.steps + 1)]
    with contextlib.ExitStack() as stack:
        builder = module_of(checkout / "moco/builder.py", "deeplearning.cross_image_ssl.moco.builder")
        place = "deeplearning.cross_image_ssl.moco"
        above = [stub(name) for name in ("deeplearning", "deeplearning.cross_image_ssl", place)]
        stack.enter_context(checkout_on_cpu(checkout, *above, builder, stub(f"{place}.loader")))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        main = module_of(checkout / "main_moco.py", "main_moco")
        main.accuracy = accuracy
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=0, world_size=1)
        stack.callback(torch.distributed.destroy_process_group)
        model = builder.MoCo(body, 128, options.queue, 0.999, 0.2, True)
        names = [name for name, _ in model.encoder_q.named_parameters()]
        started = model.queue.T.clone()
        sgd = torch.optim.SGD

        def prepare(weights: list[Tensor], gradients: list[Tensor | None]) -> Ours:
            method = MoCo.preset("v2", queue_length=options.queue, key_groups=1, batch_size=options.batch)
            run = Run(Path(folder) / "run", device="cpu", precision=options.precision)
            encoder = ProjectedEncoder(f"resnet{depth}", shape, stem="imagenet", feature_dim=128, head_layers=2)
            their_weights, their_gradients = (
                dict(zip(names, weights[: len(names)], strict=True)),
                dict(zip(names, gradients, strict=False)),
            )
            order = [theirs_of(name, depth == 50) for name, _ in encoder.named_parameters()]
            with torch.no_grad():
                for mine, name in zip(encoder.parameters(), order, strict=True):
                    mine.copy_(their_weights[name])
            slow, queue = momentum_copy(encoder), FeatureQueue(options.queue, 128)
            queue.features.copy_(started)
            parameters = list(encoder.parameters())
            optimizer = sgd(parameters, lr=0.03, momentum=0.9, weight_decay=1e-4)
            rng = torch.Generator().manual_seed(0)
            made: list[Tensor] = []

            def step() -> Tensor:
                first, second = views[min(len(made), options.steps)]
                loss, keys, _ = method.step_loss(encoder, slow, queue.features, first, second, rng, run)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if not made:
                    made.extend(p.grad.clone() for p in parameters if p.grad is not None)
                optimizer.step()
                queue.push(keys)
                return loss

            first = step()
            return Ours(first.item(), made, [their_gradients[name] for name in order], step)  # type: ignore[misc]

        beside = Beside(options.steps, prepare)
        with beside.watching("SGD"), contextlib.suppress(Stop), contextlib.redirect_stdout(io.StringIO()):
            optimizer = torch.optim.SGD(
                [p for p in model.parameters() if p.requires_grad], 0.03, momentum=0.9, weight_decay=1e-4
            )
            given = argparse.Namespace(gpu=None, print_freq=10)
            loader = [(pair, None) for pair in views]
            main.train(loader, model, nn.CrossEntropyLoss(), optimizer, 0, given)
    return beside.result(f"MoCo v2, ResNet-{depth}, {options.side} px, N = {options.batch}, K = {options.queue}")


def accuracy(logits: Tensor, target: Tensor, topk: tuple[int, ...]) -> list[Tensor]:
    """What the program logs beside its loss, whose own way to it this torch refuses."""
    best = logits.topk(max(topk), dim=1).indices
    hit = best == target[:, None]
    return [100 * hit[:, :k].any(dim=1, keepdim=True).float().mean(dim=0) for k in topk]


def module_of(path: Path, name: str) -> ModuleType:
    """A file of the checkout under the name that its other files import it by."""
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def theirs_of(name: str, bottleneck: bool) -> str:
    """torchvision's name of one of our parameters."""
    counts = (3, 4, 6, 3) if bottleneck else (2, 2, 2, 2)
    part, *rest = name.removeprefix("body.").split(".")
    if part == "stem":
        return ("conv1" if rest[0] == "0" else "bn1") + "." + rest[1]
    if part == "heads":
        return f"fc.{rest[2]}.{rest[3]}"
    number, stage = int(rest[0]), 0
    while number >= counts[stage]:
        number, stage = number - counts[stage], stage + 1
    kind, place, what = rest[1:]
    inside = (
        f"downsample.{place}"
        if kind == "shortcut"
        else ("conv" if kind == "convolutions" else "bn") + str(int(place) + 1)
    )
    return f"layer{stage + 1}.{number}.{inside}.{what}"
