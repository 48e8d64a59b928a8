"""DisCo steps per second against a plain transcription of the paper's step, at the paper's and the quick shapes.

The plain step is what a reader of the paper would write: float32, contiguous layout, images generated with gradients
for base and edited latents alike, two encoder calls, nothing shared between pairs. Both run here, one after the other,
and their losses are compared. Seconds are of the processor.

    python benchmarks/disco.py --only quick
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

import contrafact as cf
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator, architecture
from contrafact.core.run import Run
from contrafact.methods.disco import DisCo
from contrafact.nn.encoders import ConvEncoder


def plain_loss(
    method: DisCo, generator: Generator, encoder: ConvEncoder, directions: GlobalDirections, rng: torch.Generator
) -> torch.Tensor:
    index, magnitude = method.edits.draw(method.num_directions, rng)
    bases = method.edits.samples_per_direction if method.edits.shared_bases else len(index)
    latent = generator.sample(bases, rng).repeat(len(index) // bases, 1)
    vectors = directions.weight / directions.weight.norm(dim=1, keepdim=True)
    moved = latent + directions.scale * magnitude[:, None] * vectors[index]
    before = encoder.head(encoder.convolutions(generator(latent).contiguous()).flatten(1))
    after = encoder.head(encoder.convolutions(generator(moved).contiguous()).flatten(1))
    variation = F.normalize((after - before).abs(), dim=1)
    if method.edits.batching == "all_pairs":
        query = key = variation
        same = index[:, None] == index[None]
        counted = 1 - torch.eye(len(index))
        c = variation.view(-1, method.edits.samples_per_direction, variation.shape[1]).mean(dim=1)
    else:
        query, key = variation[: method.edits.num_queries], variation[method.edits.num_queries :]
        same = (index[method.edits.num_queries :] == index[0]).expand(len(query), -1)
        counted = torch.ones(len(query), len(key))
        c = variation[: method.edits.num_queries + method.edits.num_positives].mean(dim=0, keepdim=True)
        c = query if method.domination == "query" else c
    a = query @ key.T
    if method.contrast.detach_negatives:
        a = torch.where(same, a, query @ key.detach().T)
    label = a.detach()
    flipped = -label * torch.log(torch.sigmoid(a)) - (1 - label) * torch.log(1 - torch.sigmoid(a))
    negative = torch.where(a >= method.contrast.threshold, flipped, -torch.log(1 - torch.sigmoid(a)))
    contrast = (torch.where(same, -torch.log(torch.sigmoid(a)), negative) * counted).sum() / counted.sum()
    p = torch.softmax(c, dim=1)
    return contrast + method.domination_weight * -(p * torch.log(p)).sum(dim=1).mean()


def seconds_per_step(step: Callable[[], torch.Tensor], parameters: list[torch.nn.Parameter], repeats: int) -> float:
    optimizer = torch.optim.Adam(parameters, lr=1e-5)
    times = []
    for number in range(repeats + 1):
        begin = time.process_time()
        loss = step()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number:  # the first step chooses kernels
            times.append(time.process_time() - begin)
    return statistics.median(times)


def measure(name: str, method: DisCo, generator: Generator, width: float, repeats: int) -> dict[str, object]:
    method = method.resolved()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, precision="auto")
        torch.manual_seed(0)
        encoder = ConvEncoder(generator.image_shape, method.code_dim or 1, width)
        plain_encoder = ConvEncoder(generator.image_shape, method.code_dim or 1, width)
        plain_encoder.load_state_dict(encoder.state_dict())
        plain_encoder.to(memory_format=torch.contiguous_format)
        rng = torch.Generator().manual_seed(1)
        directions = GlobalDirections.random(generator.latent_dim, method.num_directions, rng, scale=1.0)
        classifier = torch.nn.Identity()
        generator.freeze()

        def ours() -> torch.Tensor:
            return method.step_loss(generator, encoder, directions, classifier, rng, run)[0]

        def plain() -> torch.Tensor:
            return plain_loss(method, generator, plain_encoder, directions, rng)

        state = rng.get_state()
        loss_ours = ours().item()
        rng.set_state(state)
        loss_plain = plain().item()
        fast = seconds_per_step(ours, [*encoder.parameters(), *directions.parameters()], repeats)
        generator.requires_grad_(True)  # a plain program freezes nothing; it only leaves G out of the optimiser
        slow = seconds_per_step(plain, [*plain_encoder.parameters(), *directions.parameters()], repeats)
    return {
        "shapes": name,
        "plain_s_per_step": round(slow, 3),
        "ours_s_per_step": round(fast, 3),
        "ratio": round(slow / fast, 2),
        "loss_plain": round(loss_plain, 4),
        "loss_ours": round(loss_ours, 4),
        "precision": run.precision,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["paper", "quick"])
    only = parser.parse_args().only
    torch.manual_seed(0)
    if only != "quick":
        paper = architecture("vae")(10, (3, 64, 64))
        print(json.dumps(measure("paper: 64 px, 128 pairs, J = 64", DisCo(), paper, 1.0, 3)))
    if only != "paper":
        quick = DisCo.preset("quick")
        shipped = cf.load_generator("shapes3d")
        print(json.dumps(measure("quick: 32 px, all pairs", quick, shipped, quick.encoder_width, 10)))
