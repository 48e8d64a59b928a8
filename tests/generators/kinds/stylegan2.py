"""StyleGAN2 as its programs write it."""

from __future__ import annotations

from pathlib import Path

import torch

from contrafact.core.generator import Generator
from tests.generators.kinds import Kind
from tests.generators.recorded import Recorded
from tests.generators.writing import nvidia_network, write_nvidia


def write(recorded: Recorded, folder: Path, state: dict[str, torch.Tensor] | None = None) -> Path:
    """A recorded checkpoint in its own layout."""
    state = recorded.state if state is None else state
    if recorded.name.endswith("rosinality"):
        path = folder / "model.pt"
        torch.save({"g_ema": state, "latent_avg": recorded["latent_avg"]}, path)
    elif "genforce" in recorded.name:
        path = folder / "model.pth"
        torch.save({"generator_smooth": state, "generator": {}, "discriminator": {}}, path)
    else:
        network = nvidia_network(state, recorded.meta["settings"], recorded.meta["init"])
        content = {"G": None, "D": None, "G_ema": network, "training_set_kwargs": {}}
        path = write_nvidia(folder / "network.pkl", content)
    return path


def difference(generator: Generator, recorded: Recorded) -> float:
    """Of the images of W, of noise mapped there, truncated, and mixed."""
    label = recorded["label"] if generator.num_classes else None
    pairs = [
        (recorded["w"], "image"),
        (generator.map(recorded["z"], label), "image"),
        (generator.map(recorded["z"], label, 0.6), "truncated"),
        (recorded["mixed_w"], "mixed"),
    ]
    with torch.no_grad():
        return max(float((generator(w) - (recorded[key] + 1) / 2).abs().max()) for w, key in pairs)


def _kind(layout: str, program: str, file: str, read: str) -> Kind:
    name = f"stylegan2_{layout}"
    return Kind("StyleGAN2", program, file, read, lambda folder: write(Recorded(name), folder), name, {}, difference)


_NVIDIA = "NVlabs/stylegan2-ada-pytorch, the StyleGAN2 of stylegan3"

KINDS = [
    _kind("rosinality", "rosinality/stylegan2-pytorch", "`.pt`", "`g_ema` and `latent_avg`; else `g`; a state dict"),
    _kind("nvidia_plain", _NVIDIA, "`.pkl`", "`G_ema`, with its clamp"),
    _kind("nvidia_conditional", _NVIDIA, "`.pkl`", "of classes: its embedding besides"),
    _kind("genforce_plain", "genforce", "`.pth`", "`generator_smooth`"),
    _kind("genforce_conditional", "genforce", "`.pth`", "of classes: its embedding besides"),
]
