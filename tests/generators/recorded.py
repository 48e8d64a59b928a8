"""Numbers recorded from the original programs (tiny, randomly initialised), and what must hold against them.

``state/…`` are the original's weights under its own names; ``latent``, ``image`` what it made; ``gradient`` that of
``(image · loss_weight).sum()`` to the latent. Where weights are many, ``drawn`` has the shapes of those that
:func:`drawn` makes by number instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from contrafact.core.generator import Generator

TOLERANCE = 1e-4  # of the image range


def drawn(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Standard normal numbers that are the same in every version of NumPy."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(tuple(shape)).astype("float32"))


class Recorded:
    def __init__(self, name: str) -> None:
        with np.load(Path(__file__).parent / "reference" / f"{name}.npz") as file:
            self.meta = json.loads(str(file["meta"]))
            self.arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "meta"}
        self.name = name
        self.state = {k.removeprefix("state/"): v for k, v in self.arrays.items() if k.startswith("state/")}
        if "drawn" in self.meta:
            self.state |= {k: drawn(shape, n) for n, (k, shape) in enumerate(self.meta["drawn"].items())}
            self.state = {name: self.state[name] for name in self.meta["order"]}

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.arrays[key]


def assert_equal_to_original(
    generator: Generator,
    recorded: Recorded,
    black: float = -1.0,
    white: float = 1.0,
    latent: torch.Tensor | None = None,
) -> None:
    """Images and gradients agree; ``black`` and ``white`` are the original's."""
    latent = (recorded["latent"] if latent is None else latent).clone().requires_grad_()
    images = generator(latent)
    expected = (recorded["image"] - black) / (white - black)
    assert images.shape == expected.shape
    assert float((images - expected).detach().abs().max()) <= TOLERANCE
    (images * (white - black) * recorded["loss_weight"]).sum().backward()
    gradient = recorded["gradient"]
    assert latent.grad is not None
    assert float((latent.grad[:, : gradient.shape[1]] - gradient).abs().max()) <= 1e-4 * float(gradient.abs().max())
