"""Losses, gradients and times of a method beside its authors' program, executed from a checkout on the same tensors.

DisCo: the training script of github.com/xrenaa/DisCo runs as it is, on the CPU, its command line given, with a
generator of ours in the place of its own and its navigator's bias (which ours has not) at zero. What it draws is noted
and given to our step, which starts from the same weights.

    python benchmarks/originals.py disco CHECKOUT --side 64 --steps 3
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator, architecture
from contrafact.core.run import Run
from contrafact.methods._edits import Edits
from contrafact.methods.disco import DisCo
from contrafact.nn.encoders import ConvEncoder

PROJECTION = 1


class Body(nn.Module):
    """Our generator as theirs: images in [−1, 1]; notes the latents of every call."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.latents = generator, []

    def forward(self, latent: Tensor) -> Tensor:
        self.latents.append(latent.detach().clone())
        return 2 * self.generator(latent) - 1


class Stop(Exception):
    """The program has made as many steps as were asked for."""


class Recorder(torch.optim.Adam):
    """Adam that notes, at the first step, weights before and gradients, and when each step ends."""

    notes: dict[str, Any]

    def step(self, closure: Any = None) -> None:
        parameters = [p for group in self.param_groups for p in group["params"]]
        if not self.notes:
            self.notes |= {"gradients": [None if p.grad is None else p.grad.clone() for p in parameters]}
            self.notes["weights"] = [p.detach().clone() for p in parameters]
        super().step(closure)
        self.notes.setdefault("ends", []).append(time.process_time())


def on_cpu(function: Any) -> Any:
    """A function of torch that takes no notice of ``device="cuda"``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("device", None)
        return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def disco_on_cpu(
    checkout: Path, body: Body, dtype: torch.dtype, steps: int, notes: dict[str, Any], shifts: list[Tensor]
) -> Iterator[None]:
    """What the script imports and calls: no CUDA, no torchvision, our generator, its own encoder and navigator."""
    side = body.generator.image_shape[1]
    given = {"G": "sngan", "dataset": 0, "exp_name": "train", "index": 0, "z_dim": 64, "dim": 64, "type": PROJECTION}
    given |= {"start": "Z", "end": "V", "B": 32, "N": 32, "K": 64, "lr": 1e-4, "max_iter": steps, "thresh": 0.95}
    given |= {"flipping": 1, "entropy": 1}
    modules = {name: types.ModuleType(name) for name in ("torchvision.transforms", "torchvision.utils", "torchvision")}
    modules["torchvision.transforms"].ToPILImage = modules["torchvision.utils"].make_grid = None  # type: ignore[attr-defined]
    loader = types.ModuleType("models.loader")

    def encoders(channels: int, args: Any) -> nn.Module:
        from models.DisCo.encoder import Baseline_Encoder, Baseline_Encoder_1  # the checkout's

        return (Baseline_Encoder if side == 64 else Baseline_Encoder_1)(args.z_dim, channels).to(dtype)

    loader.get_generator = lambda args: (body, body.generator.latent_dim, 3)  # type: ignore[attr-defined]
    loader.get_encoders = encoders  # type: ignore[attr-defined]
    Recorder.notes = notes
    with contextlib.ExitStack() as stack:
        sys.modules.update({**modules, "models.loader": loader})
        stack.enter_context(mock.patch.object(sys, "path", [str(checkout), *sys.path]))
        from models.DisCo.latent_deformator import LatentDeformator  # the checkout's

        make = LatentDeformator.__init__

        def made(self: Any, *args: Any, **kwargs: Any) -> None:
            make(self, *args, **kwargs)
            nn.init.zeros_(self.linear.bias)
            self.register_forward_pre_hook(lambda module, inputs: shifts.append(inputs[0].detach().clone()))

        stack.enter_context(mock.patch.object(LatentDeformator, "__init__", made))
        for owner in (nn.Module, Tensor):
            stack.enter_context(mock.patch.object(owner, "cuda", lambda self, *a, **k: self))
        for name in ("randn", "zeros", "randint", "rand"):
            stack.enter_context(mock.patch.object(torch, name, on_cpu(getattr(torch, name))))
        stack.enter_context(mock.patch.object(torch.optim, "Adam", Recorder))
        parsed = argparse.Namespace(**given)
        stack.enter_context(mock.patch.object(argparse.ArgumentParser, "parse_args", return_value=parsed))
        yield


def disco(checkout: Path, side: int, steps: int, dtype: torch.dtype) -> dict[str, Any]:
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    generator = architecture("vae")(10, (3, side, side)).freeze()
    body, notes = Body(generator), dict[str, Any]()
    shifts: list[Tensor] = []
    source = (checkout / "train.py").read_text()
    names: dict[str, Any] = {"__name__": "train"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("experiments").mkdir()
        with disco_on_cpu(checkout, body, dtype, steps, notes, shifts):
            exec(compile(source, str(checkout / "train.py"), "exec"), names)
        loss_theirs = names["avg_loss"].values[0]
        run = Run(Path(folder) / "run", device="cpu", precision="float32")

        method = DisCo().resolved()
        shift = torch.cat(shifts[:3])
        index = shift.abs().argmax(dim=1)
        magnitude = shift.gather(1, index[:, None])[:, 0]
        latents = torch.cat(body.latents[:6:2])
        encoder = ConvEncoder(generator.image_shape, 64, slope=0.01)
        directions = GlobalDirections(10, 64, "unit", 1.0)
        weight, _, *rest = notes["weights"]
        with torch.no_grad():
            directions.weight.copy_(weight.T)
            for mine, theirs in zip(encoder.parameters(), rest, strict=True):
                mine.copy_(theirs)
        parameters = [directions.weight, *encoder.parameters()]
        rng = torch.Generator().manual_seed(0)

        def step() -> Tensor:
            return method.step_loss(generator, encoder, directions, nn.Identity(), rng, run)[0]

        with (
            mock.patch.object(Edits, "draw", return_value=(index, magnitude)),
            mock.patch.object(type(generator), "sample", return_value=latents),
        ):
            loss = step()
        mine = torch.autograd.grad(loss, parameters)
        theirs = [notes["gradients"][0].T, *notes["gradients"][2:]]
        flat, flat_theirs = (torch.cat([g.reshape(-1) for g in some]) for some in (mine, theirs))

        optimizer = torch.optim.Adam(parameters, lr=1e-4)
        ends: list[float] = []
        for _ in range(steps):
            loss_now = step()
            optimizer.zero_grad(set_to_none=True)
            loss_now.backward()
            optimizer.step()
            ends.append(time.process_time())
    seconds = [min(b - a for a, b in itertools.pairwise(e)) for e in (notes["ends"], ends)]
    return {
        "method": f"DisCo, released, {side} px, {str(dtype).removeprefix('torch.')}",
        "loss_difference": abs(loss.item() - loss_theirs),
        "gradient_difference": float((flat - flat_theirs).norm() / flat_theirs.norm()),
        "original_s": round(seconds[0], 3),
        "ours_s": round(seconds[1], 3),
        "ratio": round(seconds[0] / seconds[1], 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=["disco"])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--side", type=int, default=64, choices=[32, 64])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    asked = parser.parse_args()
    print(json.dumps(disco(asked.checkout.resolve(), asked.side, asked.steps, getattr(torch, asked.dtype))))
