"""FastGAN as its program and projected-gan write it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from contrafact.core.generator import Generator
from contrafact.generators.fastgan import Layer
from tests.generators.kinds import Kind
from tests.generators.recorded import Recorded, drawn
from tests.generators.writing import nvidia_network, write_nvidia


def write(recorded: Recorded, folder: Path, state: dict[str, torch.Tensor] | None = None) -> Path:
    """A state dict under ``g`` of FastGAN-pytorch, a network pickle of projected-gan."""
    held = recorded.state if state is None else state
    if not recorded.meta["init"]:
        torch.save({"g": held, "d": {"rf_big.0.weight_orig": torch.zeros(2, 3, 1, 1)}}, folder / "50000.pth")
        return folder / "50000.pth"
    network = nvidia_network(held, {}, recorded.meta["init"])
    return write_nvidia(folder / "network.pkl", {"G": None, "D": None, "G_ema": network, "training_set_kwargs": {}})


def parallel(recorded: Recorded, folder: Path) -> Path:
    """What FastGAN-pytorch goes on from: the last weights, of several GPUs, and a list of their averages."""
    averages = [torch.nn.Parameter(t) for name, t in recorded.state.items() if is_parameter(name)]
    last = {f"module.{n}": torch.ones_like(t) if is_parameter(n) else t for n, t in recorded.state.items()}
    torch.save({"g": last, "d": {}, "g_ema": averages, "opt_g": {"state": {}}}, folder / "all_50000.pth")
    return folder / "all_50000.pth"


def is_parameter(name: str) -> bool:
    """Whether it is one, and no buffer."""
    return not name.endswith(("_u", "_v", "running_mean", "running_var", "num_batches_tracked"))


def with_their_noise(generator: Generator) -> Generator:
    """The generator with the noise that was drawn for the recording."""
    noisy = [layer for layer in generator.modules() if isinstance(layer, Layer) and layer.strength is not None]
    for number, layer in enumerate(noisy):
        layer.noise = drawn(layer.noise.shape, 1000 + number)
    return generator


def pixels(images: torch.Tensor, recorded: Recorded) -> torch.Tensor:
    """Those of the images that are recorded, as their program has them."""
    return (2 * images - 1)[:, :, recorded["rows"], recorded["columns"]]


def latents(generator: Generator, recorded: Recorded) -> torch.Tensor:
    """Of the recorded noise and classes."""
    return generator.map(recorded["latent"], recorded["label"] if generator.num_classes else None)


def difference(generator: Generator, recorded: Recorded) -> float:
    """Of recorded pixels, in 0..1."""
    with torch.no_grad():
        images = with_their_noise(generator)(latents(generator, recorded))
    return float((pixels(images, recorded) - recorded["image"]).abs().max()) / 2


def _kind(name: str, program: str, file: str, read: str, written: Any = write) -> Kind:
    return Kind("FastGAN", program, file, read, partial(_written, name, written), name, {}, difference)


def _written(name: str, written: Any, folder: Path) -> Path:
    path: Path = written(Recorded(name), folder)
    return path


_FIRST, _LATER = "FastGAN-pytorch", "autonomousvision/projected-gan"

KINDS = [
    _kind("fastgan_256", _FIRST, "`50000.pth`", "`g`, noise fixed"),
    _kind("fastgan_1024", _FIRST, "`50000.pth`", "1024 px: through a hyperbolic tangent"),
    _kind("fastgan_256", _FIRST, "`all_50000.pth`", "`g`, the list `g_ema` in place of its weights", parallel),
    _kind("fastgan_projected", _LATER, "`.pkl`", "`G_ema`, 128 px, noise fixed"),
    _kind("fastgan_projected_conditional", _LATER, "`.pkl`", "of classes: its embedding besides"),
    _kind("fastgan_projected_lite", _LATER, "`.pkl`", "of classes, `fastgan_lite`"),
]
