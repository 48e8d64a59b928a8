"""LatentCLR: github.com/catlab-team/latentclr, its trainer with its StyleGAN2 (random weights), model, loss and Adam.

The program edits W and does not truncate what it takes features of, so ours does not either; α = 1 and k directions
of N latents each, as its README has for StyleGAN2. BigGAN's and StyleGAN's generators, which it imports, are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from authors.beside import Beside, Ours, Stop, checkout_on_cpu, stub
from contrafact.core.run import Run
from contrafact.generators._settings import Settings
from contrafact.generators.stylegan2 import StyleGAN2, read
from contrafact.methods.latentclr import LatentCLR, LatentDirections


def measure(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    k, latents = options.directions, list[Tensor]()
    torch.manual_seed(0)
    with contextlib.ExitStack() as stack:
        unused = (
            stub("colat.generators.biggan", BigGANGenerator=None),
            stub("colat.generators.stylegan", StyleGANGenerator=None),
        )
        download = stub("colat.utils.model_utils", download_ckpt=None)
        stack.enter_context(checkout_on_cpu(checkout, *unused, download))
        from colat.generators.stylegan2 import StyleGAN2Generator, StyleGAN2Model
        from colat.loss import ContrastiveLoss
        from colat.models import NonlinearConditional
        from colat.projectors import IdentityProjector
        from colat.trainer import Trainer

        def load(self: Any) -> None:
            self.resolution = options.side
            self.model = StyleGAN2Model(options.side, 512, 8)

        stack.enter_context(mock.patch.object(StyleGAN2Generator, "load_model", load))
        program = StyleGAN2Generator("cpu", use_w=True, feature_layer="conv1")
        draw = program.sample_latent

        def noted(*args: Any) -> Tensor:
            latents.append(draw(*args).detach())
            return latents[-1]

        program.sample_latent = noted
        model = NonlinearConditional(k, 512, depth=3, alpha=1.0)
        generator = read({"g_ema": program.model.state_dict()}, Settings(Path("stylegan2.pt"), {}))
        assert generator is not None
        generator.freeze()
        adam = torch.optim.Adam

        def prepare(weights: list[Tensor], gradients: list[Tensor | None]) -> Ours:
            method = LatentCLR.preset(
                "stylegan2", num_directions=k, batch_size=options.batch, truncation=1.0, layer="b4.conv1"
            ).resolved()
            with (
                tempfile.TemporaryDirectory() as folder,
                mock.patch.object(StyleGAN2, "latent_scale", return_value=1.0),
            ):
                directions = method.build_directions(generator, Run(folder, device="cpu"))
            assert isinstance(directions, LatentDirections)
            names = [name for name, _ in model.named_parameters()]
            assert all(g is not None for g in gradients)
            theirs = as_ours(dict(zip(names, gradients, strict=True)))  # type: ignore[arg-type]
            mine = dict(directions.named_parameters())
            with torch.no_grad():
                for name, weight in as_ours(dict(zip(names, weights, strict=True))).items():
                    mine[name].copy_(weight)
            optimizer = adam(directions.parameters(), lr=1e-3, weight_decay=1e-3, fused=True)
            rng, base = torch.Generator().manual_seed(0), latents[0]

            def loss() -> Tensor:
                with mock.patch.object(StyleGAN2, "sample", return_value=base):
                    return method.step_loss(generator, directions, "b4.conv1", rng)[0]

            def step() -> None:
                now = loss()
                optimizer.zero_grad(set_to_none=True)
                now.backward()
                optimizer.step()

            first = loss()
            made = torch.autograd.grad(first, [mine[name] for name in theirs])
            return Ours(first.item(), made, list(theirs.values()), step)

        beside = Beside(options.steps, prepare)
        with beside.watching("Adam"):
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3)
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1000, 5000], 0.2)
            loss_of = ContrastiveLoss(k, temp=0.5, abs=True, reduce="mean")
            trainer = Trainer(
                model, loss_of, optimizer, program, IdentityProjector(), options.batch, options.steps + 2,
                torch.device("cpu"), scheduler=schedule,
            )  # fmt: skip
            with contextlib.suppress(Stop):
                trainer._train_loop(0, options.steps + 2)
    return beside.result(f"LatentCLR, StyleGAN2, K = {k}, N = {options.batch}")


def as_ours(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The program's tensors by name, a network for each direction, stacked as ours are."""
    layers: dict[tuple[str, str], list[Tensor]] = {}
    for name, tensor in tensors.items():
        layer, kind = name.split(".")[2:]
        layers.setdefault((layer, kind), []).append(tensor)
    stacked: dict[str, Tensor] = {}
    for (layer, kind), parts in layers.items():
        what, number = layer.split("_")
        place = int(number) - 1
        if what == "batchnorm":
            stacked[f"norms.{place}.{kind}"] = torch.cat(parts)
        elif kind == "bias":
            stacked[f"biases_D1O.{place}"] = torch.stack([bias[None] for bias in parts])
        else:
            stacked[f"weights_DIO.{place}"] = torch.stack([weight.T for weight in parts])
    return stacked
