"""LatentCLR steps against plain loops over directions, at the paper's two shapes on small generators.

    python benchmarks/latentclr.py [--threads 1] [--repeats 3] [--only style100] [--wall] [--memory]

The loop is the plain transcription: a network per direction, the generator called once per direction on its N edits,
features normalised and subtracted there, the contrast's masks filled direction by direction, Adam over K networks. The
program is that loop with a generator as the method's own program has it: grouped convolutions (StyleGAN2), weights that
are not frozen. All stop at the same layer, start from the same weights, draw the same latents and magnitudes, and their
losses are compared before they are timed. Times are the least of the repeats, which alternate between the three:
processor time, not the clock's (``--wall``), so that other load on the machine counts little. ``--memory`` takes a few
of our steps and nothing else, and prints the process's peak.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.generator import Generator
from contrafact.core.run import Run
from contrafact.generators import VAE, StyleGAN2
from contrafact.methods.latentclr import LatentCLR, LatentDirections
from generators import plain_conv

Features = Callable[[Tensor], Tensor]


class PlainDirections(nn.Module):
    """K separate networks, each with its own linear layers and batch normalisations."""

    def __init__(self, stacked: LatentDirections) -> None:
        super().__init__()
        self.scale = stacked.scale
        self.nets = nn.ModuleList()
        for k in range(stacked.num_directions):
            layers: list[nn.Module] = []
            for depth, weight in enumerate(stacked.weights_DIO):
                hidden = depth < stacked.depth - 1
                linear = nn.Linear(weight.shape[1], weight.shape[2], bias=hidden)
                with torch.no_grad():
                    linear.weight.copy_(weight[k].T)
                    if hidden:
                        linear.bias.copy_(stacked.biases_D1O[depth][k, 0])
                layers.append(linear)
                layers += [nn.BatchNorm1d(weight.shape[2]), nn.ReLU()] if hidden else []
            self.nets.append(nn.Sequential(*layers))

    def forward(self, latent: Tensor, magnitude: Tensor) -> Tensor:
        moved = []
        for net, alpha in zip(self.nets, magnitude, strict=True):
            step = net(latent / self.scale)
            moved.append(latent + self.scale * alpha * step / torch.norm(step, dim=1).reshape(-1, 1))
        return torch.cat(moved)


def plain_contrast(features: Tensor, k: int, temperature: float) -> Tensor:
    number = len(features)
    similarity = torch.exp(torch.abs(torch.mm(features, features.t().contiguous())) / temperature)
    mask = torch.zeros(number, number).bool()
    for i in range(k):
        start, end = i * (number // k), (i + 1) * (number // k)
        mask[start:end, start:end] = 1
    itself = torch.eye(number).bool()
    positive = similarity.masked_select(mask * ~itself).view(number, -1).mean(dim=-1)
    negative = similarity.masked_select(~mask).view(number, -1).mean(dim=-1)
    return -torch.log(positive / negative).mean()


def plain_step(
    method: LatentCLR, generator: Generator, features: Features, directions: PlainDirections, rng: torch.Generator
) -> Tensor:
    n, k = method.batch_size, method.num_directions
    generator = generator.truncated(method.truncation)
    latent = generator.sample(n, rng)
    magnitude = method.lowest + (method.highest - method.lowest) * torch.rand(k, generator=rng)

    def unit(x: Tensor) -> Tensor:
        return x / torch.norm(x, dim=1).reshape(-1, 1)

    with torch.no_grad():
        before = unit(features(latent).reshape(n, -1))
    edited = directions(latent, magnitude)
    parts = []
    for j in range(k):
        after = unit(features(edited[j * n : (j + 1) * n]).reshape(n, -1))
        parts.append(unit(after - before))
    return plain_contrast(torch.cat(parts), k, method.temperature or 1.0)


def grouped_first_layer(generator: StyleGAN2, latent: Tensor) -> Tensor:
    """StyleGAN2's first activations by one grouped convolution."""
    conv = generator.convs[0]
    x = generator.const.contiguous().expand(len(latent), -1, -1, -1)
    x = plain_conv(x, conv.weight.contiguous(), conv.affine(latent), True, None)
    return F.leaky_relu(x + conv.noise_strength * conv.noise + conv.bias[:, None, None], 0.2) * math.sqrt(2)


def seconds(step: Callable[[], Tensor], optimizer: torch.optim.Optimizer, clock: Callable[[], float]) -> float:
    begin = clock()
    loss = step()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return clock() - begin


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, method: LatentCLR, generator: Generator, layer: str, options: argparse.Namespace) -> None:
    method = method.resolved()
    clock = time.perf_counter if options.wall else time.process_time
    frozen = generator.freeze()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, device="cpu")
        directions = method.build_directions(frozen, run)
    assert isinstance(directions, LatentDirections)
    optimizer = torch.optim.Adam(directions.parameters(), lr=1e-3, weight_decay=1e-3, fused=True)
    rng = torch.Generator().manual_seed(0)
    if options.memory:
        before = peak_mib()
        for _ in range(3):
            seconds(lambda: method.step_loss(frozen, directions, layer, rng)[0], optimizer, clock)
        weights = sum(p.numel() for p in directions.parameters()) * 4 / 2**20
        facts = {"shapes": name, "peak_mib": round(peak_mib()), "before_mib": round(before), "networks": round(weights)}
        print(json.dumps(facts), flush=True)
        return
    free = copy.deepcopy(generator).requires_grad_(True)
    at_layer = partial(frozen.features, layer=layer)
    style = isinstance(free, StyleGAN2)
    as_released = partial(grouped_first_layer, free) if style else partial(free.features, layer=layer)
    apart = [PlainDirections(directions) for _ in range(2)]
    steps: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: method.step_loss(frozen, directions, layer, rng)[0],
        "loop": lambda: plain_step(method, frozen, at_layer, apart[0], rng),
        "program": lambda: plain_step(method, free, as_released, apart[1], rng),
    }
    optimizers = {
        "ours": optimizer,
        "loop": torch.optim.Adam(apart[0].parameters(), lr=1e-3, weight_decay=1e-3),
        "program": torch.optim.Adam(apart[1].parameters(), lr=1e-3, weight_decay=1e-3),
    }
    start, losses, least = rng.get_state(), {}, dict.fromkeys(steps, math.inf)
    for key, step in steps.items():
        rng.set_state(start)
        losses[key] = step().item()
        assert abs(losses[key] - losses["ours"]) < 1e-3, f"{name}: losses differ: {losses}"
    for _ in range(options.repeats):
        for key in steps:
            least[key] = min(least[key], seconds(steps[key], optimizers[key], clock))
    facts = {
        "shapes": name,
        "layer": layer,
        **{f"{key}_s": round(value, 3) for key, value in least.items()},
        "ratio_loop": round(least["loop"] / least["ours"], 2),
        "ratio_program": round(least["program"] / least["ours"], 2),
        "losses": {key: round(value, 4) for key, value in losses.items()},
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    style = StyleGAN2(64, channels="small", mapping_layers=2)
    decoder = VAE(64, (3, 32, 32), width=0.5)
    many, few = LatentCLR.preset("stylegan2"), dataclasses.replace(LatentCLR.preset("biggan"), truncation=0.7)
    cases = {
        "style100": ("StyleGAN2 small, K=100, N=8", many, style, "b4.conv1"),
        "style32": ("StyleGAN2 small, K=32, N=16", few, style, "b4.conv1"),
        "vae100": ("VAE decoder, 32 px, K=100, N=8", many, decoder, "blocks.0"),
        "vae32": ("VAE decoder, 32 px, K=32, N=16", few, decoder, "blocks.0"),
    }
    for key, case in cases.items():
        if not options.only or key in options.only.split(","):
            measure(*case, options)


if __name__ == "__main__":
    main()
