"""StyleGAN as its programs write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from contrafact.core.generator import Generator
from contrafact.generators.stylegan import StyleGAN
from tests.generators.kinds import Kind
from tests.generators.recorded import Recorded

CUTOFF = 2
"""Layers that the recorded truncation acts on, of programs that have such a number."""


def write(recorded: Recorded, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> Path:
    """A recorded checkpoint in its own layout."""
    # Last weights, which are not to be taken.
    worse = {name: tensor + 1 for name, tensor in recorded.state.items()} if state is None else {}
    state = dict(recorded.state if state is None else state)
    if recorded.name.endswith("rosinality"):
        path, content = folder / "train_step-3.model", {"generator": worse, "discriminator": {}, "g_running": state}
    elif recorded.name.endswith("higan"):
        path, content = folder / "model.pth", state
    else:
        path, content = folder / "model.pth", {"generator": worse, "generator_smooth": state, "discriminator": {}}
    torch.save(content, path)
    return path


def as_recorded(generator: Generator, recorded: Recorded) -> StyleGAN:
    """With what rosinality's program has outside of its file: W's mean, and noise, an image for a side's two layers."""
    assert isinstance(generator, StyleGAN)
    if "mean" in recorded.arrays:
        generator.w_avg.copy_(recorded["mean"][0])
        for index, layer in enumerate(generator.convs):
            layer.noise.copy_(recorded[f"noise{index // 2}"])
    return generator


def difference(generator: Generator, recorded: Recorded) -> float:
    """Of the images of W, of noise mapped there, truncated, mixed, and without noise."""
    generator = as_recorded(generator, recorded)
    w = generator.map(recorded["z"], recorded["label"] if generator.num_classes else None)
    truncated = generator.truncate(w, 0.7, None if "mean" in recorded.arrays else (0, CUTOFF))
    cases: list[tuple[torch.Tensor, str, Any]] = [
        (recorded["w"], "image", "const"),
        (w, "image", "const"),
        (truncated, "truncated", "const"),
        (recorded["mixed_w"], "mixed", "const"),
        (recorded["w"], "without_noise", "none"),
    ]
    with torch.no_grad():
        return max(
            float((generator(latent, noise=noise) - (recorded[key] + 1) / 2).abs().max())
            for latent, key, noise in cases
        )


def _kind(layout: str, program: str, file: str, read: str, **changes: Any) -> Kind:
    name = f"stylegan_{layout}"
    return Kind(
        "StyleGAN", program, file, read, lambda folder: write(Recorded(name), folder), name, changes, difference
    )


KINDS = [
    _kind("genforce_plain", "genforce, SeFa", "`.pth`", "`generator_smooth`; a state dict"),
    _kind("genforce_conditional", "genforce", "`.pth`", 'of classes, fused upsampling: `{"fused": True}`', fused=True),
    _kind("higan", "HiGAN, InterFaceGAN", "`.pth`", "a state dict"),
    _kind(
        "rosinality",
        "rosinality/style-based-gan-pytorch",
        "`.model`",
        "`g_running`; a state dict; as many sides as were trained",
    ),
]
