"""Files that hold no generator of a kind that is read here."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.generators.kinds import Kind


def _critic(folder: Path) -> Path:
    torch.save({"d": {"final_linear.1.weight": torch.zeros(1)}, "d_optim": {}}, folder / "model.pt")
    return folder / "model.pt"


KINDS = [
    Kind("StyleGAN2", "rosinality/stylegan2-pytorch", "`.pt`", "a discriminator alone", _critic, None),
]
