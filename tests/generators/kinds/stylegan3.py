"""StyleGAN3 as NVIDIA's program writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.generators.kinds import Kind
from tests.generators.kinds.stylegan2 import difference
from tests.generators.recorded import Recorded
from tests.generators.writing import nvidia_network, write_nvidia


def write(recorded: Recorded, folder: Path, state: dict[str, torch.Tensor] | None = None, **changes: Any) -> Path:
    """A recorded checkpoint as a network pickle; ``changes`` are of the arguments the network was built with."""
    # As there, where most settings of a layer are NumPy's numbers.
    settings = {
        name: np.float64(value) if isinstance(value, float) else value
        for name, value in recorded.meta["settings"].items()
    }
    init = {**recorded.meta["init"], **changes}
    network = nvidia_network(recorded.state if state is None else state, settings, init)
    content = {"G": None, "D": None, "G_ema": network, "training_set_kwargs": {}}
    return write_nvidia(folder / "network.pkl", content)


def write_state(recorded: Recorded, folder: Path) -> Path:
    """Its state dict, and nothing that the program says of the network."""
    torch.save({"G_ema": recorded.state}, folder / "state.pt")
    return folder / "state.pt"


def _kind(layout: str, file: str, read: str, program: str = "NVlabs/stylegan3") -> Kind:
    name, as_is = f"stylegan3_{layout}", write_state if file == "`.pt`" else write
    return Kind(
        "StyleGAN3" if layout != "xl" else "StyleGAN-XL",
        program,
        file,
        read,
        lambda folder: as_is(Recorded(name), folder),
        name,
        {},
        difference,
    )


KINDS = [
    _kind("t", "`.pkl`", "T: `G_ema`, with its clamp and bands"),
    _kind("r_conditional", "`.pkl`", "R, of classes: their embedding besides"),
    _kind("t", "`.pt`", "a state dict, also under `G_ema`"),
    _kind("xl", "`.pkl`", "of classes, in stages: their embedding and means besides", "autonomousvision/stylegan-xl"),
]
