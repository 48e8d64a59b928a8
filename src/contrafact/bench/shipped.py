"""The generators that come with the package: how a run becomes one, and the score each carries.

python -m contrafact.bench.shipped runs/shapes3d shapes3d
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import torch

from contrafact.core.artefact import save_artefact
from contrafact.core.command import without_home
from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import Generator
from contrafact.core.method import load_run
from contrafact.data.load import load_dataset
from contrafact.generators.checkpoints import WEIGHTS, load_generator
from contrafact.metrics.fid import fid


@torch.no_grad()
def sample_distance(generator: Generator, dataset: ImageDataset, samples: int = 2000, seed: int = 0) -> float:
    """Fréchet distance between 8×8 thumbnails of a generator's samples and of images: 0 for equal distributions.

    Thumbnails see colours, places and sizes, and need no network whose weights would have to be downloaded.

    Args:
        generator: where samples come from.
        dataset: images of the generator's size.
        samples: how many of each.
        seed: of both draws.
    """
    made = generator(generator.sample(samples, torch.Generator().manual_seed(seed)))
    real = dataset.random_batch(samples, np.random.default_rng(seed))
    thumbnails = [torch.nn.functional.adaptive_avg_pool2d(x, 8).flatten(1).double().numpy() for x in (real, made)]
    return fid(*thumbnails).score


def ship(folder: str | Path, name: str) -> Path:
    """Write a run's generator to the package as ``name``: half precision, with its command, scores and data.

    Args:
        folder: a finished run on images.
        name: name for ``load_generator``.

    Returns:
        the file.
    """
    run = load_run(folder)
    generator = run.generator
    dataset = load_dataset(generator.note["trained_on"], size=generator.image_shape[-1])
    path = WEIGHTS / f"{name}.safetensors"
    command = shlex.join(["contrafact", *map(without_home, run.config["command"][1:])])
    generator.note = {"command": command, **generator.note, "images": dataset.source_name}
    save_artefact(generator, path, torch.float16)
    # The score is that of the file as it will be loaded, rounding included.
    generator.note["sample_distance"] = round(sample_distance(load_generator(path), dataset), 4)
    save_artefact(generator, path, torch.float16)
    return path


if __name__ == "__main__":
    print(ship(*sys.argv[1:3]))
