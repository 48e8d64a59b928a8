"""Networks and solvers of the diffusers library: built from plain configurations, and watched while they work.

Nothing is built but what is listed by name; no pipeline's own program is ever run.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.foreign import first_line

EXTRA = "pip install 'contrafact[diffusion]'"

VAES = ("AutoencoderKL", "VQModel")

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


def built(part: Part, known: tuple[str, ...], what: str) -> Any:
    """What a part describes, of the classes that are known (ValueError for another, or a strange configuration)."""
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


def vae_of(part: Part) -> nn.Module:
    """A VAE with random weights (ValueError for one that is not supported)."""
    vae: nn.Module = built(part, VAES, "VAE")
    return vae


@contextmanager
def watched(
    module: nn.Module, shift: Tensor | None = None, place: int = 0, tokens: bool = False
) -> Iterator[list[Tensor]]:
    """What ``module`` gives while this lasts: each output ``(N, C, …)``, before ``shift`` is added to it.

    Args:
        module: the one.
        shift: ``(N, C, …)`` too.
        place: of a module that gives several, which it is.
        tokens: sequences ``(N, T, C)`` are turned to ``(N, C, T)``.
    """
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        several = isinstance(output, tuple)
        h = output[place] if several else output
        turned = tokens and h.ndim == 3
        seen.append(h.transpose(1, 2) if turned else h)
        if shift is None:
            return output
        moved = h + (shift.transpose(1, 2) if turned else shift).to(h.dtype)
        return (*output[:place], moved, *output[place + 1 :]) if several else moved

    handle = module.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def part_arguments(cls: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration the constructor of a network of diffusers takes: versions differ in a few names."""
    taken = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in config.items() if name in taken}
