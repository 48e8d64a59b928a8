"""Speed of ContraLORD's second stage against a plain transcription of its Algorithm 1; memory of its latent tables.

    OMP_NUM_THREADS=1 python benchmarks/contralord.py [--repeats 3] [--images 1000000] [--skip step|table]

Processor time, so that a busy machine does not count. Losses are compared on the same weights, images and views first,
with batch normalisation in evaluation mode, since ours passes clean images and views through the encoder together.

The plain step follows the algorithm line by line: each contrastive term makes its own views and passes them through the
encoder and a momentum encoder of its own, the generator collects gradients for weights nobody updates, Adam and the
momentum loop over parameters, queues are concatenated anew, memory is laid out as torch does by default. The careful
one makes views once, encodes them once for both terms and freezes the generator; its momentum encoders are still two.

The table is that of images without labels (256 + 128 + 128 numbers each, with Adam's moments), on disk, in a process of
its own, trained with stage 1's order and batch against random targets.
"""

import argparse
import dataclasses
import functools
import json
import multiprocessing
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from contrafact.core.run import Run
from contrafact.generators.lord import LORD as Decoder
from contrafact.methods.contralord import ContraLORD
from contrafact.nn.factor_codes import SharedEncoder
from contrafact.training.latent_table import EpochOrder, LatentTable
from contrafact.training.latent_training import descend
from contrafact.training.momentum import FeatureQueue, follow, momentum_copy
from contrafact.training.views import Views

FACTORS, RESIDUAL = ("floor hue", "wall hue", "object hue"), 7
CASES = {
    "conv encoder of half width, 32 px, batch 256": {
        "encoder": "conv",
        "encoder_width": 0.5,
        "queue_length": 4096,
        "encoder_batch_size": 256,
    },
    "ResNet-18, 32 px, batch 32, K 12,800": {"encoder": "resnet18", "queue_length": 12_800, "encoder_batch_size": 32},
}


def seconds(steps, repeats):
    """Median processor time of each step; they take turns, so that a change of the machine's load meets all alike."""
    times = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            begin = time.process_time()
            step()
            if turn:  # the first call warms up
                times[name].append(time.process_time() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


def networks(method, contiguous):
    """Encoder and generator, the same weights each time."""
    torch.manual_seed(0)
    encoder = SharedEncoder((3, 32, 32), FACTORS, 1, RESIDUAL, 0, method.encoder, method.encoder_width)
    generator = Decoder(len(FACTORS) + RESIDUAL, (3, 32, 32))
    if contiguous:
        for module in (encoder, generator):
            module.to(memory_format=torch.contiguous_format)
    return encoder, generator


def normalized(x):
    return x / x.norm(dim=1, keepdim=True)


class Plain:
    """Algorithm 1's second half, line by line."""

    def __init__(self, method, views, queues, careful):
        self.method, self.views, self.careful = method, views, careful
        self.encoder, self.generator = networks(method, contiguous=True)
        self.slow = [momentum_copy(self.encoder) for _ in range(2)]  # content, residual
        self.queues = [queue.features.clone() for queue in queues]
        self.adam = torch.optim.Adam(self.encoder.parameters(), lr=method.encoder_rate)
        if careful:
            self.generator.requires_grad_(False)

    def encode(self, network, images):
        return network.heads(F.relu(network.trunk.encode(images.contiguous()))).split([len(FACTORS), RESIDUAL], dim=1)

    def loss(self, pictures, target, rng):
        method = self.method
        codes = torch.cat(self.encode(self.encoder, pictures), dim=1)
        loss = F.mse_loss(self.generator(codes), pictures)
        loss = loss + method.latent_weight * F.mse_loss(codes, target)
        keys, views = [], None
        if self.careful:
            views = self.views(pictures, rng), self.views(pictures, rng)
            queries = self.encode(self.encoder, views[0])
        for part, weight in enumerate((method.content_weight, method.residual_weight)):
            first, second = views or (self.views(pictures, rng), self.views(pictures, rng))
            query = normalized(queries[part] if self.careful else self.encode(self.encoder, first)[part])
            with torch.no_grad():
                key = normalized(self.encode(self.slow[part], second)[part])
            positive = torch.einsum("nj,nj->n", query, key)[:, None]
            logits = torch.cat([positive, query @ self.queues[part].T], dim=1) / method.temperature
            loss = loss + weight * F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
            keys.append(key)
        return loss, keys

    def step(self, pictures, target, rng):
        loss, keys = self.loss(pictures, target, rng)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            for slow in self.slow:
                for theirs, own in zip(slow.parameters(), self.encoder.parameters(), strict=True):
                    theirs.data = theirs.data * self.method.momentum + own.data * (1 - self.method.momentum)
        for part, key in enumerate(keys):
            self.queues[part] = torch.cat([key, self.queues[part][: -len(key)]])


class Ours:
    """What the method does with a batch."""

    def __init__(self, method, views, queues, run):
        self.method, self.views, self.queues, self.run = method, views, queues, run
        self.encoder, self.generator = networks(method, contiguous=False)
        self.generator.requires_grad_(False)
        self.slow = momentum_copy(self.encoder)
        self.adam = torch.optim.Adam(self.encoder.parameters(), lr=method.encoder_rate, fused=True)

    def loss(self, pictures, target, rng):
        return self.method.encoder_loss(
            self.encoder, self.slow, self.generator, self.queues, pictures, target, self.views, rng, rng, self.run
        )

    def step(self, pictures, target, rng):
        loss, _, keys = self.loss(pictures, target, rng)
        descend(self.adam, loss, self.run)
        follow(self.slow, self.encoder, self.method.momentum)
        for queue, key in zip(self.queues, keys, strict=True):
            queue.push(key)


class SameViews:
    """The first two views of a batch, again and again, so that every reading of the step sees the same."""

    def __init__(self, views, pictures):
        rng = torch.Generator().manual_seed(5)
        self.pair, self.count = (views(pictures, rng), views(pictures, rng)), 0

    def __call__(self, pictures, rng):
        self.count += 1
        return self.pair[(self.count - 1) % 2]


def steps(repeats, precision):
    """Each case's losses and times."""
    figures, views = {}, Views(("light",))  # what augmentations=auto leaves of MoCo's on shapes3d's hues
    for name, settings in CASES.items():
        method = dataclasses.replace(ContraLORD(), **settings)
        run = Run(Path(tempfile.mkdtemp()) / "run", device="cpu", precision=precision, progress=False)
        sizes = (len(FACTORS), RESIDUAL)
        rng = torch.Generator().manual_seed(1)
        queues = [FeatureQueue(method.queue_length, size, rng) for size in sizes]
        n = method.encoder_batch_size
        pictures, target = torch.rand(n, 3, 32, 32, generator=rng), torch.randn(n, sum(sizes), generator=rng)
        readings = {
            "plain": Plain(method, views, queues, careful=False),
            "careful": Plain(method, views, queues, careful=True),
            "ours": Ours(method, views, queues, run),
        }
        losses = {}
        for reading, step in readings.items():
            step.views = SameViews(views, pictures)
            for network in (step.encoder, *([step.slow] if reading == "ours" else step.slow)):
                network.train(False)
            losses[reading] = round(step.loss(pictures, target, rng)[0].item(), 5)
            for network in (step.encoder, *([step.slow] if reading == "ours" else step.slow)):
                network.train(True)
            step.views = views
        spread = max(losses.values()) - min(losses.values())
        if spread > (1e-3 if run.precision == "float32" else 0.05) * abs(losses["plain"]):
            raise SystemExit(f"{name}: the readings disagree: {losses}")
        times = seconds({r: functools.partial(s.step, pictures, target, rng) for r, s in readings.items()}, repeats)
        figures[name] = {"losses": losses, "seconds": {r: round(t, 3) for r, t in times.items()}}
        for reading in ("plain", "careful"):
            figures[name][f"ratio_to_{reading}"] = round(times[reading] / times["ours"], 2)
    return figures


def resident():
    """Megabytes this process holds now, and held at most (getrusage would count its parent's, from before the exec)."""
    status = Path("/proc/self/status").read_text()
    return [int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) // 1024 for name in ("VmRSS", "VmHWM")]


def table(folder, num_images, updates, answers):
    """Stage 1's updates of a table on disk: time of each part, and memory."""
    method = ContraLORD()
    dim = method.discriminative_dim + 2 * method.content_dim
    before, _ = resident()
    begin = time.perf_counter()
    rows = LatentTable(num_images, dim, torch.Generator().manual_seed(0), file=Path(folder) / "table")
    made = time.perf_counter() - begin
    order = EpochOrder(num_images, method.batch_size, np.random.default_rng(0))
    target = torch.randn(method.batch_size, dim)
    begin, busy = time.perf_counter(), time.process_time()
    for step in range(updates):
        taken = rows.take(order.batch(step))
        (taken.values_ND - target).square().sum().backward()
        rows.update(taken, method.latent_rate)
    spent, busy = time.perf_counter() - begin, time.process_time() - busy
    size = (Path(folder) / "table").stat().st_size
    figures = {"images": num_images, "numbers_each": dim, "file_GB": round(size / 1e9, 2), "updates": updates}
    figures |= {"fill_seconds": round(made, 1), "update_ms": round(1e3 * spent / updates, 2)}
    figures |= {"update_processor_ms": round(1e3 * busy / updates, 2), "resident_before_MB": before}
    answers.put({**figures, "peak_resident_MB": resident()[1]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="float32")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--folder", help="where the table's file goes; needs 12 bytes a number")
    parser.add_argument("--skip", choices=["step", "table"])
    given = parser.parse_args()
    figures = {"threads": torch.get_num_threads()}
    if given.skip != "step":
        figures["step"] = steps(given.repeats, given.precision)
    if given.skip != "table":
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            process = context.Process(target=table, args=(folder, given.images, given.updates, answers))
            process.start()
            figures["table"] = answers.get()
            process.join()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
