"""ProgGAN, StyleGAN and StyleGAN2 as NVIDIA's TensorFlow programs pickle them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from contrafact.core.generator import Generator
from contrafact.generators import StyleGAN, StyleGAN2
from tests.generators.kinds import Kind, difference_of_images
from tests.generators.recorded import Recorded
from tests.generators.writing import tensorflow_network, write_tensorflow

CRITIC = {
    "name": "D",
    "version": 3,
    "build_func_name": "D_basic",
    "static_kwargs": {"resolution": 16},
    "components": {},
    "names": ["lod", "FromRGB_lod0/weight", "4x4/Dense0/weight"],
}
WEIGHTS = {name: torch.zeros((1, 1, 3, 4)[: 4 * bool(i)]) for i, name in enumerate(CRITIC["names"])}  # type: ignore[arg-type]


def networks(
    recorded: Recorded, state: Mapping[str, torch.Tensor] | None = None, **arguments: Any
) -> tuple[Any, Any, Any]:
    """The tuple (G, D, Gs) of a recording, G of other weights; ``arguments`` change what Gs was built with."""
    state = recorded.state if state is None else state
    skeleton, first = recorded.meta["network"], recorded.name.startswith("prog_gan") and "later" not in recorded.name
    last = {name: 2 * tensor for name, tensor in recorded.state.items()}
    return (
        tensorflow_network({**skeleton, "name": "G"}, last, first),
        tensorflow_network(CRITIC, WEIGHTS, first),
        tensorflow_network({**skeleton, "static_kwargs": {**skeleton["static_kwargs"], **arguments}}, state, first),
    )


def write(recorded: Recorded, folder: Path, state: Mapping[str, torch.Tensor] | None = None, **arguments: Any) -> Path:
    """The file of a recording."""
    return write_tensorflow(folder / "network.pkl", networks(recorded, state, **arguments))


def difference(generator: Generator, recorded: Recorded) -> float:
    """Of the images of W, of noise mapped there, truncated, mixed, and without noise."""
    assert isinstance(generator, StyleGAN | StyleGAN2)
    w = generator.map(recorded["z"], recorded["label"] if generator.num_classes else None)
    cutoff = recorded.meta["cutoff"]
    cases: list[tuple[torch.Tensor, str, Any]] = [
        (recorded["w"], "image", "const"),
        (w, "image", "const"),
        (generator.truncate(w, 0.7, None if cutoff is None else (0, cutoff)), "truncated", "const"),
        (recorded["mixed_w"], "mixed", "const"),
        (recorded["w"], "without_noise", "none"),
    ]
    with torch.no_grad():
        return max(
            float((generator(latent, noise=noise) - (recorded[key] + 1) / 2).abs().max())
            for latent, key, noise in cases
        )


def _kind(family: str, program: str, read: str, name: str, compare: Any = difference) -> Kind:
    return Kind(family, program, "TensorFlow's `.pkl`", read, partial(_write, name), name, {}, compare)


def _write(name: str, folder: Path) -> Path:
    return write(Recorded(name), folder)


def _critic(folder: Path) -> Path:
    return write_tensorflow(folder / "network.pkl", (tensorflow_network(CRITIC, WEIGHTS),))


def _theano(folder: Path) -> Path:
    """A network of ProgGAN's first program, as protocol 2 writes it."""
    (folder / "network.pkl").write_bytes(b"\x80\x02cnetwork\nNetwork\n)\x81}X\x04\0\0\0specK\x01sb.")
    return folder / "network.pkl"


_PROGAN = "tkarras/progressive_growing_of_gans"

KINDS = [
    _kind("ProgGAN", _PROGAN, "`Gs`, fused upsampling", "prog_gan_tensorflow", difference_of_images),
    _kind("ProgGAN", _PROGAN, "`Gs`", "prog_gan_tensorflow_separate", difference_of_images),
    _kind("ProgGAN", "NVlabs/stylegan", "`Gs`", "prog_gan_tensorflow_later", difference_of_images),
    _kind("StyleGAN", "NVlabs/stylegan", "`Gs`", "stylegan_tensorflow"),
    _kind("StyleGAN", "NVlabs/stylegan", "of classes, other options", "stylegan_tensorflow_conditional"),
    _kind("StyleGAN2", "NVlabs/stylegan2", "`Gs`", "stylegan2_tensorflow"),
    _kind("StyleGAN2", "NVlabs/stylegan2", "of classes, another filter", "stylegan2_tensorflow_conditional"),
    _kind("StyleGAN2-ADA", "NVlabs/stylegan2-ada", "of classes, with its clamp", "stylegan2_tensorflow_ada"),
    Kind("StyleGAN", "NVlabs/stylegan", "TensorFlow's `.pkl`", "a discriminator alone", _critic, None),
    Kind("ProgGAN", "its authors' in Theano", "`.pkl`", "any", _theano, None),
]
