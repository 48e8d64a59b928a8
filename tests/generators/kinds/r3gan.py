"""R3GAN as its program writes it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from contrafact.core.generator import Generator
from tests.generators.kinds import Kind
from tests.generators.recorded import Recorded
from tests.generators.writing import nvidia_network, write_nvidia


def write(recorded: Recorded, folder: Path, state: dict[str, torch.Tensor] | None = None) -> Path:
    """A network pickle."""
    network = nvidia_network(recorded.state if state is None else state, {}, recorded.meta["init"])
    return write_nvidia(folder / "network.pkl", {"G": None, "D": None, "G_ema": network, "training_set_kwargs": {}})


def difference(generator: Generator, recorded: Recorded) -> float:
    """Of the images of noise and classes."""
    label = recorded["label"] if generator.num_classes else None
    with torch.no_grad():
        images = generator(generator.map(recorded["latent"], label))
    return float((images - (recorded["image"] + 1) / 2).abs().max())


def _kind(name: str, read: str) -> Kind:
    written = partial(lambda name, folder: write(Recorded(name), folder), name)
    return Kind("R3GAN", "brownvc/R3GAN", "`.pkl`", read, written, name, {}, difference)


KINDS = [
    _kind("r3gan_plain", "`G_ema`; all stages in float32"),
    _kind("r3gan_conditional", "of classes: its embedding besides"),
]
