"""DisCo: github.com/xrenaa/DisCo, its training script with its command line given.

With ``--generator stylegan2`` the generator is the program's own StyleGAN2, at the settings it has for Shapes3D and
with random weights, which ours reads; with ``vae`` a decoder of ours is both programs' generator (the release has none
of its own at 32 px). The navigator's bias, which ours has not, is zero. What the script draws is given to our step.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.utils.cpp_extension
from torch import Tensor, nn

from authors.beside import Beside, Ours, Stop, checkout_on_cpu, stub
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator, architecture
from contrafact.core.run import Run
from contrafact.generators._settings import Settings
from contrafact.generators.stylegan2 import read
from contrafact.methods._edits import Edits
from contrafact.methods.disco import DisCo
from contrafact.nn.encoders import ConvEncoder

PROJECTION = 1


class Body(nn.Module):
    """Our generator as theirs: images in [−1, 1]."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latent: Tensor) -> Tensor:
        return 2 * self.generator(latent) - 1


def measure(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    side, style, dtype = options.side, options.generator == "stylegan2", torch.get_default_dtype()
    latents: list[Tensor] = []
    shifts: list[Tensor] = []
    given = {"G": "stylegan" if style else "sngan", "start": "W" if style else "Z", "end": "V", "dataset": 0}
    given |= {"exp_name": "train", "index": 0, "z_dim": 64, "dim": 64, "type": PROJECTION, "lr": 1e-4}
    given |= {"B": options.batch, "N": options.batch, "K": 2 * options.batch, "max_iter": options.steps + 2}
    given |= {"thresh": 0.95, "flipping": 1, "entropy": 1}
    torch.manual_seed(0)
    source = (checkout / "train.py").read_text()
    loader = stub("models.loader")
    picture = stub("torchvision.transforms", ToPILImage=None), stub("torchvision.utils", make_grid=None)
    plot = stub("matplotlib", use=lambda name: None), stub("matplotlib.pyplot")

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.chdir(folder))
        Path("experiments").mkdir()
        stack.enter_context(checkout_on_cpu(checkout, loader, stub("torchvision"), *picture, *plot))
        stack.enter_context(mock.patch.object(torch.utils.cpp_extension, "load"))
        from models.DisCo.encoder import Baseline_Encoder, Baseline_Encoder_1
        from models.DisCo.latent_deformator import LatentDeformator

        if style:
            from models.StyleGAN2.models import Generator as StyleGAN2

            body = StyleGAN2(size=side, style_dim=512, n_mlp=3, small=True, channel_multiplier=4)
            ours = read({"g_ema": body.state_dict()}, Settings(Path("stylegan2.pt"), {}))
            assert ours is not None
            generator: Generator = ours.freeze()
        else:
            generator = architecture("vae")(10, (3, side, side)).freeze()
            body = Body(generator)
        width = generator.latent_dim

        def note_latent(module: nn.Module, inputs: Any, named: Any) -> None:
            latents.append((named["styles"][0] if style else inputs[0]).detach().clone())

        body.register_forward_pre_hook(note_latent, with_kwargs=True)
        loader.get_generator = lambda args: (body, width, 3)  # type: ignore[attr-defined]
        encoder_of = Baseline_Encoder if side == 64 else Baseline_Encoder_1
        loader.get_encoders = lambda channels, args: encoder_of(args.z_dim, channels).to(dtype)  # type: ignore[attr-defined]
        make = LatentDeformator.__init__

        def made(self: Any, *args: Any, **kwargs: Any) -> None:
            make(self, *args, **kwargs)
            nn.init.zeros_(self.linear.bias)
            self.register_forward_pre_hook(lambda module, inputs: shifts.append(inputs[0].detach().clone()))

        stack.enter_context(mock.patch.object(LatentDeformator, "__init__", made))
        parsed = argparse.Namespace(**given)
        stack.enter_context(mock.patch.object(argparse.ArgumentParser, "parse_args", return_value=parsed))
        adam = torch.optim.Adam

        def prepare(weights: list[Tensor], gradients: list[Tensor | None]) -> Ours:
            method = DisCo(edits=Edits(**sizes_of(options.batch))).resolved()
            run = Run(Path(folder) / "run", device="cpu", precision=options.precision)
            shift = torch.cat(shifts[:3])
            index = shift.abs().argmax(dim=1)
            magnitude = shift.gather(1, index[:, None])[:, 0]
            base = torch.cat(latents[:6:2])
            encoder = ConvEncoder(generator.image_shape, 64, slope=0.01)
            directions = GlobalDirections(width, 64, "unit", 1.0, num_layers=generator.num_layers)
            with torch.no_grad():
                directions.weight.copy_(weights[0].T)
                for mine, theirs in zip(encoder.parameters(), weights[2:], strict=True):
                    mine.copy_(theirs)
            parameters = [directions.weight, *encoder.parameters()]
            optimizer, rng = adam(parameters, lr=1e-4, fused=True), torch.Generator().manual_seed(0)

            def loss() -> Tensor:
                with (
                    mock.patch.object(Edits, "draw", return_value=(index, magnitude)),
                    mock.patch.object(type(generator), "sample", return_value=base),
                ):
                    return method.step_loss(generator, encoder, directions, nn.Identity(), rng, run)[0]

            def step() -> None:
                now = loss()
                optimizer.zero_grad(set_to_none=True)
                now.backward()
                optimizer.step()

            first = loss()
            assert gradients[0] is not None
            theirs = [gradients[0].T, *(g for g in gradients[2:] if g is not None)]
            return Ours(first.item(), torch.autograd.grad(first, parameters), theirs, step)

        beside = Beside(options.steps, prepare)
        with beside.watching("Adam"), contextlib.suppress(Stop):
            exec(compile(source, str(checkout / "train.py"), "exec"), {"__name__": "train"})
    kind = "its StyleGAN2" if style else "a decoder of ours"
    return beside.result(f"DisCo, released, {kind}, {side} px, B = N = {options.batch}")


def sizes_of(batch: int) -> dict[str, int]:
    return {"num_queries": batch, "num_positives": batch, "num_negatives": 2 * batch}
