"""CD-GAN: github.com/learninginvision/CoDeGAN, its authors' later program (the first was not published), Fashion-MNIST.

Its solver's three turns, generator, encoder, critic, without labels; ours is the preset ``later_program`` with the
program's encoder as an encoder of one's own. What is compared is one turn of each from the same weights, latents and
real images, the crop left out; what is timed are whole turns, crops and draws included. Its critic is low for real
images, ours high: the last layer has the other sign.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from authors.beside import checkout_on_cpu, torchvision
from contrafact.core.memory import MemoryImages
from contrafact.core.run import Run
from contrafact.methods._gan import Game
from contrafact.methods.cd_gan import CDGAN, RealImages
from contrafact.nn.critics import ClassEncoder


def without_cuda(kind: type) -> Any:
    """``kind.to`` that takes no notice of a CUDA device."""
    to = kind.to  # type: ignore[attr-defined]

    def moved(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self if args and str(args[0]).startswith("cuda") else to(self, *args, **kwargs)

    return mock.patch.object(kind, "to", moved)


def measure(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    torchvision()
    config = yaml.safe_load((checkout / "configs/fashionmnist_un.yml").read_text())
    method = CDGAN.preset("later_program", batch_size=64, encoder_batch=options.batch)
    config |= {"e_batch_size": options.batch, "g_batch_size": 64, "d_batch_size": 64}
    images = torch.rand(512, 1, 28, 28)
    with contextlib.ExitStack() as stack:
        stack.enter_context(checkout_on_cpu(checkout))
        for kind in (nn.Module, Tensor):
            stack.enter_context(without_cuda(kind))
        from solvers import solver_fashion as program

        folder = stack.enter_context(tempfile.TemporaryDirectory())
        solver = program.Solver(config)
        solver.train()
        run = Run(folder, device="cpu", precision=options.precision)
        trunk = nn.Sequential(*copied(solver.E.cnn), nn.Flatten(), *copied(solver.E.fc[:-1]))
        encoder = ClassEncoder((1, 28, 28), 120, 40, trunk)
        game = Game(method, MemoryImages(images), run, class_count=10)
        adam, real = method.adam(encoder.parameters()), RealImages(method, None, game.pool, encoder, run)
        crops = torch.Generator().manual_seed(0)

        update, down = game.update, list[float]()

        def noted(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
            down.append(loss.item())
            update(optimizer, loss)

        stack.enter_context(mock.patch.object(game, "update", noted))

        def ours(name: str, batch: Tensor) -> float:
            if name == "D":
                game.critic_turn()
            elif name == "G":
                game.update(game.generator_optimizer, method.generator_loss(game, encoder, real, crops)[0])
            else:
                game.update(adam, method.encoder_loss(game, encoder, real, crops, 0)[0])
            return down[-1]

        def theirs(name: str, batch: Tensor) -> float:
            if name == "D":
                return float(solver.optimize_parametersD(batch))
            if name == "G":
                return float(solver.optimize_parametersG())
            contrast, content = solver.optimize_parametersE(ec=True)
            return method.contrast_weight * contrast + method.content_weight * content

        losses, far, size = [], 0.0, 0.0
        for name in ("G", "E", "D"):
            pairs = weights_of(solver, game, encoder)
            with torch.no_grad():
                for mine, other, factor in pairs["all"]:
                    mine.copy_(other * factor)
            count = options.batch if name == "E" else 64
            noise, classes = torch.randn(count, 40), torch.arange(count) % 10
            latent = torch.cat([noise, torch.eye(10)[classes]], dim=1)
            batch, mix = images[:64], torch.rand(64, 1, 1, 1)
            with (
                mock.patch.object(program, "sample_noise", return_value=(latent, noise, classes)),
                mock.patch.object(program, "train_transform_simple", Tensor.detach),
                mock.patch.object(sys.modules[CDGAN.__module__], "Views", return_value=lambda seen, rng: seen),
                mock.patch.object(type(game.generator), "sample", return_value=latent),
                mock.patch.object(type(game.generator), "latents_of_class", return_value=latent),
                mock.patch.object(game.pool, "random_batch", return_value=batch),
                mock.patch.object(torch, "rand", lambda *shape, mix=mix, **named: mix.view(shape)),
            ):
                losses.append(abs(theirs(name, batch) - ours(name, batch)))
            for mine, other, factor in pairs[name]:
                scale = factor * (method.contrast_weight if name == "E" else 1.0)
                far += float((mine.grad - other.grad * scale).square().sum()) / scale**2
                size += float(other.grad.square().sum())
        times = []
        draw = np.random.default_rng(0)
        for _ in range(options.steps + 1):
            batch = images[torch.from_numpy(draw.integers(0, 512, 64))]
            stamps = [time.process_time()]
            for step in (theirs, ours):
                for name in ("G", "E", "D"):
                    step(name, batch)
                stamps.append(time.process_time())
            times.append((stamps[1] - stamps[0], stamps[2] - stamps[1]))
    times = times[1:]
    return {
        "method": f"CD-GAN, the later program, Fashion-MNIST's settings, {options.batch} images for the encoder",
        "loss_difference": max(losses),
        "gradient_difference": (far / size) ** 0.5,
        "original_s": round(statistics.median(a for a, _ in times), 4),
        "ours_s": round(statistics.median(b for _, b in times), 4),
        "ratio": round(statistics.median(a / b for a, b in times), 2),
        "pairs": len(times),
    }


def copied(layers: nn.Module) -> list[nn.Module]:
    return list(copy.deepcopy(layers))  # type: ignore[arg-type]


def weights_of(solver: Any, game: Game, encoder: ClassEncoder) -> dict[str, list[tuple[Tensor, Tensor, float]]]:
    """Our parameters, the program's and by what to multiply the latter, of each network and of all.

    Biases before a batch normalisation, which ours leaves out, change nothing.
    """
    generator = list(game.generator.parameters())
    g = solver.G
    made = [g.fc[0].weight, g.fc[1].weight, g.fc[1].bias, g.fc[3].weight, g.fc[4].weight, g.fc[4].bias]
    made += [g.cnn[0].weight, g.cnn[1].weight, g.cnn[1].bias, g.cnn[3].weight, g.cnn[3].bias]
    critic, judge = list(game.critic.parameters()), list(solver.D.parameters())
    signs = [1.0] * (len(judge) - 2) + [-1.0, -1.0]
    pairs = {
        "G": [(mine, other, 1.0) for mine, other in zip(generator, made, strict=True)],
        "D": list(zip(critic, judge, signs, strict=True)),
        "E": [],
    }
    own, seen = list(encoder.parameters()), list(solver.E.parameters())
    pairs["E"] = [(mine, other, 1.0) for mine, other in zip(own[:-2], seen[:-2], strict=True)]
    pairs["all"] = [pair for some in ("G", "D", "E") for pair in pairs[some]]
    with torch.no_grad():
        for mine, other in zip(own[-2:], seen[-2:], strict=True):
            mine.copy_(other.roll(-40, 0))  # codes of the class come first in ours
    return pairs
