"""Generators inside the files of larger models and trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.generators.kinds import Kind
from tests.generators.kinds.stylegan2 import difference
from tests.generators.recorded import Recorded

State = dict[str, torch.Tensor]


def _below(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def _last(state: State) -> State:
    """Weights beside the running average, which must not be taken for it."""
    return {name: tensor if "kernel" in name else tensor + 1 for name, tensor in state.items()}


def _encoder(state: State, mean: torch.Tensor) -> Any:
    inside = {"encoder.input_layer.0.weight": torch.ones(3, 3, 3, 3), **_below("decoder.", state)}
    return {"state_dict": inside, "latent_avg": mean.repeat(6, 1), "opts": {"output_size": 16}}


def _lightning(state: State, mean: torch.Tensor) -> Any:
    inside = {**_below("netD.", {"0.weight": mean}), **_below("netG.", state)}
    return {"state_dict": inside, "epoch": 1, "hyper_parameters": {"lr": 1e-3}, "latent_avg": mean}


def _marked(state: State, mean: torch.Tensor) -> Any:
    return {"state_dict": _below("module._orig_mod.generator.", state), "latent_avg": mean}


def _averaged(state: State, mean: torch.Tensor) -> Any:
    return {"params": _last(state), "params_ema": state, "latent_avg": mean}


def _training(state: State, mean: torch.Tensor) -> Any:
    models = {"generator": _last(state), "discriminator": {"x": mean}, "generator_smooth": state}
    return {"models": models, "running_metadata": {"iter": 1}, "latent_avg": mean}


def _kind(wrap: Callable[[State, torch.Tensor], Any], program: str, file: str, read: str, layout: str) -> Kind:
    name = f"stylegan2_{layout}"

    def write(folder: Path) -> Path:
        recorded = Recorded(name)
        mean = recorded.arrays.get("latent_avg", torch.zeros(12))
        torch.save(wrap(recorded.state, mean), folder / "model.pt")
        return folder / "model.pt"

    return Kind("StyleGAN2", program, file, read, write, name, {}, difference)


def _rectangle(folder: Path) -> Path:
    state = dict(Recorded("stylegan2_rosinality").state)
    state["input.input"] = state["input.input"][..., :2]
    torch.save({"g_ema": state}, folder / "model.pt")
    return folder / "model.pt"


def _lucidrains(folder: Path) -> Path:
    inside = {"S.net.0.weight": torch.zeros(12, 12), "G.initial_block": torch.zeros(1, 16, 4, 4)}
    torch.save({"GAN": inside, "version": "1.8.1"}, folder / "model_1.pt")
    return folder / "model_1.pt"


KINDS = [
    _kind(
        _encoder,
        "pSp, e4e, ReStyle",
        "`.pt`",
        "`decoder.` of `state_dict`, `latent_avg`, also of a row per layer",
        "rosinality",
    ),
    _kind(_lightning, "PyTorch Lightning", "`.ckpt`", "`generator.`, `G.`, `netG.`, … of `state_dict`", "rosinality"),
    _kind(_marked, "any", "`.pt`", "under `module.`, `_orig_mod.`, and these below each other", "rosinality"),
    _kind(
        _averaged, "any", "`.pt`", "`params_ema`, `ema`, `g_ema`, `G_ema`, … rather than the last weights", "rosinality"
    ),
    _kind(_training, "genforce, in training", "`.pth`", "`generator_smooth` of `models`", "genforce_plain"),
    Kind("StyleGAN2", "any", "`.pt`", "of images that are not square", _rectangle, None),
    Kind("StyleGAN2", "lucidrains/stylegan2-pytorch", "`.pt`", "another network of that name", _lucidrains, None),
]
