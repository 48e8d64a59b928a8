"""What keeps CD-GAN's knob from the classes where there are no labels: settings and two controls, one at a time.

    OMP_NUM_THREADS=1 python benchmarks/cd_gan_unlabelled.py [--rows "NAME;NAME"] [--seeds 1] [--steps 800] [--side 14]
        [--out FILE.json]

Fashion-MNIST, pooled to 14 pixels, a quarter of the width. A row says how k-means on the class codes of the test images
agrees with their labels, how the knob's positions agree with what a classifier says of 100 images of each (it sees
labels, CD-GAN does not), and the probe's three numbers; below it, every 100 steps, the contrast, the content's loss,
and the norms of the gradients that critic, class and content send to a batch of generated images. ``--out`` names a
file of the same figures with command, machine and date, written anew after each run.

Controls: an untrained encoder; InfoGAN; and CD-GAN's networks and turns with InfoGAN's cross-entropy for the contrast.
"""

import argparse
import functools
import platform
import shlex
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import contrafact as cf
from contrafact.bench.usage import commit, processor
from contrafact.core import command
from contrafact.core.dataset import ImageDataset
from contrafact.core.device import environment, find_device
from contrafact.core.files import write_json
from contrafact.core.run import Run
from contrafact.methods.cd_gan import CDGAN
from contrafact.metrics.clustering import compare_partitions, k_means
from contrafact.nn.critics import ClassEncoder, ConvTrunk

IMAGES = 100
"""Images of each position that the classifier looks at."""
EVERY = 100
PROBED = ("class_coverage", "class_spread", "content_read")
TRACED = ("step", "contrast", "content", "critic_gradient", "class_gradient", "content_gradient")
"""What is kept every :data:`EVERY` steps."""


class Pooled(ImageDataset):
    """Fashion-MNIST in memory, its images averaged down to ``side`` pixels."""

    def __init__(self, split: str, side: int) -> None:
        whole = cf.load_dataset("fashion-mnist", split=split)
        self.name, self.source, self.image_shape = whole.name, whole.source, (1, side, side)
        self.class_names, self._labels = whole.class_names, np.asarray(whole.labels)
        parts = np.array_split(np.arange(len(whole)), 20)
        self._images = torch.cat([F.interpolate(whole.batch(part), size=side, mode="area") for part in parts])

    @property
    def labels(self) -> Any:
        return self._labels

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: Any) -> Tensor:
        return self._images[torch.as_tensor(indices)]


@dataclass(frozen=True)
class Watched(CDGAN):
    """CD-GAN that keeps the norms of the gradients its generator gets, and may bound those of class and content."""

    most: float = 0.0
    """Largest norm of class and content together, as a share of the critic's; 0 for no bound."""
    cross_entropy: bool = False
    """Whether the contrast is replaced by the cross-entropy of one logit per class."""

    @classmethod
    def name(cls) -> str:
        return "cd_gan"

    def train(self, source: ImageDataset, run: Run) -> Any:
        self.__dict__["trace"] = []
        head = "softmax" if self.cross_entropy else "unit"
        with mock.patch("contrafact.methods.cd_gan.ClassEncoder", functools.partial(ClassEncoder, head=head)):
            return super().train(source, run)

    def contrast(self, features: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        if not self.cross_entropy:
            return super().contrast(features, labels)
        return F.cross_entropy(torch.cat([*features]), torch.cat([*labels]))

    def generator_loss(self, game: Any, encoder: Any, real: Any, crops: Any) -> Any:
        made: list[Tensor] = []
        handle = game.generator.register_forward_hook(lambda module, given, images: made.append(images))
        loss, parts = super().generator_loss(game, encoder, real, crops)
        handle.remove()
        trace, fooling = self.__dict__["trace"], parts["generator"]
        step = self.__dict__["turn"] = self.__dict__.get("turn", -1) + 1

        def norm(part: Tensor) -> float:
            (gradient,) = torch.autograd.grad(part, made[0], retain_graph=True)
            return float(gradient.norm())

        if step % EVERY == 0 or step == self.steps - 1:
            of_class, of_content = self.contrast_weight * parts["contrast"], self.content_weight * parts["content"]
            values = float(parts["contrast"].detach()), float(parts["content"].detach())
            trace.append((step, *values, norm(fooling), norm(of_class), norm(of_content)))
        if self.most:
            share = min(1.0, self.most * norm(fooling) / max(1e-12, norm(loss - fooling)))
            loss = fooling + share * (loss - fooling)
        return loss, parts


CENTRED = {"centred": True, "contrast_weight": 0.3, "content_weight": 0.5}
ROWS: dict[str, dict[str, Any]] = {
    "untrained": {},
    "infogan": {},
    "unsupervised": {},
    "bounded": {"most": 0.5},
    "cross-entropy": {"cross_entropy": True, "class_dim": 10},
    "weights": {"contrast_weight": 0.3, "content_weight": 0.5},
    "centred": CENTRED,
    "centred, z of 8": CENTRED | {"noise_dim": 8},
    "centred, z of 8, content 1": CENTRED | {"noise_dim": 8, "content_weight": 1.0},
    "centred, z of 8, content 2": CENTRED | {"noise_dim": 8, "content_weight": 2.0},
}


def classifier_of(images: ImageDataset, steps: int) -> nn.Module:
    """A small classifier, trained on all labels."""
    torch.manual_seed(0)
    trunk = ConvTrunk(images.image_shape, 0.5)
    network = nn.Sequential(trunk, nn.Linear(trunk.out_dim, 10))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    labels_N, rng = torch.as_tensor(images.labels).long(), np.random.default_rng(0)
    for _ in range(steps):
        drawn = rng.integers(0, len(images), 128)
        loss = F.cross_entropy(network(images.batch(drawn)), labels_N[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@torch.no_grad()
def clusters(encoder: Any, test: ImageDataset) -> dict[str, float]:
    parts = np.array_split(np.arange(len(test)), 10)
    codes = torch.cat([encoder(test.batch(part))[:, : encoder.class_dim] for part in parts]).numpy()
    return compare_partitions(k_means(codes, 10, 3, 0), test.labels)


@torch.no_grad()
def knob(generator: Any, classifier: nn.Module) -> dict[str, float]:
    positions = torch.arange(10).repeat_interleave(IMAGES)
    latents = generator.eval().latents_of_class(positions, torch.Generator().manual_seed(1))
    return compare_partitions(positions, classifier(generator(latents).clamp(0, 1)).argmax(dim=1))


def figures_of(name: str, seed: int, steps: int, train: Pooled, test: Pooled, classifier: nn.Module) -> dict[str, Any]:
    """What a row comes to at a seed."""
    if name == "untrained":
        torch.manual_seed(seed)
        return {"clusters": clusters(ClassEncoder(test.image_shape, 50, 40, "conv", 0.25).eval(), test)}
    small = {"width": 0.25, "steps": steps}
    preset = CDGAN.presets["quick_unsupervised"] | {"average": 0.0}
    method = (
        cf.methods.InfoGAN.preset("quick", **small)
        if name == "infogan"
        else Watched(**{**preset, **small, **ROWS[name]})
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the probe says is printed
        learned = method.fit(train, Run(Path(folder) / "run", seed=seed, progress=False))
    return {
        "clusters": clusters(learned.encoder, test),
        "knob": knob(learned.generator, classifier),
        "probed": {key: value for key, value in learned.generator.note.items() if key in PROBED},
        "trace": [dict(zip(TRACED, line, strict=True)) for line in method.__dict__.get("trace", [])],
    }


def show(name: str, seed: int, figures: dict[str, Any]) -> None:
    text = " ".join(f"{key} {value:.3f}" for key, value in figures["clusters"].items())
    if "knob" in figures:
        text += " | knob nmi {nmi:.3f} purity {purity:.3f}".format(**figures["knob"]) + f" {figures['probed']}"
    print(name, seed, text, flush=True)
    for line in figures.get("trace", []):
        print("   ", *(f"{value:.4g}" for value in line.values()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="", help="some of: " + "; ".join(ROWS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--side", type=int, default=14)
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    asked = parser.parse_args()
    chosen = [row.strip() for row in asked.rows.split(";")] if asked.rows else list(ROWS)
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}; known: {'; '.join(ROWS)}")
    facts = {
        "command": shlex.join(command.recorded()),
        "environment": environment(find_device("auto")),
        "machine": platform.node(),
        "processor": processor(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "seeds": list(range(asked.seeds)),
        "steps": asked.steps,
        "side": asked.side,
    }
    train, test = Pooled("train", asked.side), Pooled("test", asked.side)
    classifier = classifier_of(train, min(1200, 3 * asked.steps))
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, seed in ((name, seed) for name in chosen for seed in facts["seeds"]):
        figures = figures_of(name, seed, asked.steps, train, test, classifier)
        show(name, seed, figures)
        rows.setdefault(name, []).append({"seed": seed, **figures})
        if asked.out is not None:
            write_json(asked.out, {**facts, "rows": rows})


if __name__ == "__main__":
    main()
