"""Networks and solvers of the diffusers library: which are built, and from what.

Nothing is built but what is listed here, from plain configurations; no pipeline's own program is ever run.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.foreign import first_line

EXTRA = "pip install 'contrafact[diffusion]'"

PIXEL_DENOISERS = ("UNet2DModel",)
TEXT_DENOISERS = ("UNet2DConditionModel",)
DENOISERS = (*PIXEL_DENOISERS, *TEXT_DENOISERS)
VAES = ("AutoencoderKL", "VQModel")

SOLVERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpm": "DPMSolverMultistepScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
    "deis": "DEISMultistepScheduler",
    "lms": "LMSDiscreteScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
}
"""Schedulers that draw no noise on the way, and what to call them by."""
_STOCHASTIC = {"algorithm_type": ("sde-dpmsolver", "sde-dpmsolver++"), "stochastic_sampling": (True,)}
"""Settings by which such a scheduler draws noise after all."""

Part = Mapping[str, Any]
"""``{"class": name, "config": {…}}``."""


def library() -> Any:
    """The package diffusers (ValueError with the line that installs it)."""
    try:
        with _quiet():
            return importlib.import_module("diffusers")
    except ImportError as error:
        raise ValueError(f"diffusion pipelines need the package diffusers: {EXTRA}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's remarks on configurations of other versions."""
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _built(part: Part, known: tuple[str, ...], what: str) -> Any:
    name, config = part.get("class"), part.get("config")
    if name not in known:
        raise ValueError(unknown_name_message(what, str(name), known))
    if not isinstance(config, Mapping):
        raise ValueError(f"the configuration of a {name} must be an object of settings, got {type(config).__name__}")
    diffusers = library()
    try:
        with _quiet():
            return getattr(diffusers, str(name)).from_config({k: v for k, v in config.items() if k[:1] != "_"})
    except Exception as error:  # the documented border: a stranger's configuration fails in any way
        raise ValueError(f"{name} cannot be built from its configuration: {first_line(error)}") from error


def denoiser_of(part: Part) -> nn.Module:
    """A denoiser with random weights (ValueError for one that is not supported, or is told what is not)."""
    denoiser: nn.Module = _built(part, DENOISERS, "denoiser")
    config: Any = denoiser.config
    if kind := getattr(config, "class_embed_type", None):
        raise ValueError(
            f"this {part['class']} is told {kind!r} embeddings in place of classes, which is not supported; take one "
            "that is told class numbers (num_class_embeds alone) or none"
        )
    if class_count(denoiser) and part["class"] in TEXT_DENOISERS:
        raise ValueError(
            f"this {part['class']} is told classes besides its text, which is not supported; take one that is not"
        )
    return denoiser


def class_count(denoiser: nn.Module) -> int:
    """How many classes a denoiser knows: 0 for one that is told none."""
    config: Any = denoiser.config
    return int(getattr(config, "num_class_embeds", None) or 0)


def vae_of(part: Part) -> nn.Module:
    """A VAE with random weights (ValueError for one that is not supported)."""
    vae: nn.Module = _built(part, VAES, "VAE")
    return vae


def solver_of(part: Part, scheduler: str | None, steps: int) -> Any:
    """A scheduler, set to so many steps.

    Args:
        part: the pipeline's own.
        scheduler: another one by its short name, which takes over the settings that both know.
        steps: of inference.

    Raises:
        ValueError: an unknown name, or one that draws noise on the way.
    """
    if scheduler is not None and scheduler not in SOLVERS:
        raise ValueError(unknown_name_message("scheduler", scheduler, SOLVERS))
    name = str(part.get("class")) if scheduler is None else SOLVERS[scheduler]
    config = part.get("config")
    noisy = [k for k, values in _STOCHASTIC.items() if isinstance(config, Mapping) and config.get(k) in values]
    if name not in SOLVERS.values() or noisy:
        why = f" with {noisy[0]}={config[noisy[0]]!r}" if noisy and isinstance(config, Mapping) else ""
        raise ValueError(
            f"the scheduler {name}{why} is not deterministic here: the same latent would give another image each time; "
            'take one that is, such as {"scheduler": "ddim"} (--set scheduler=ddim), of '
            f"{', '.join(SOLVERS)}"
        )
    with torch.device("cpu"):  # also where the networks around it have no memory
        solver = _built({"class": name, "config": config}, tuple(SOLVERS.values()), "scheduler")
        try:
            solver.set_timesteps(steps)
        except Exception as error:  # as above
            raise ValueError(f"{name} cannot take {steps} steps: {first_line(error)}") from error
    return solver


@contextmanager
def watched(module: nn.Module, shift: Tensor | None = None) -> Iterator[list[Tensor]]:
    """What ``module`` gives while this lasts: each output, before ``shift`` is added to it."""
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        h = output[0] if isinstance(output, tuple) else output
        seen.append(h)
        if shift is None:
            return output
        moved = h + shift.to(h.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = module.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def part_arguments(cls: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration the constructor of a network of diffusers takes: versions differ in a few names."""
    taken = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in config.items() if name in taken}
