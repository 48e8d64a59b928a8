"""Find the factors hidden in image generators and image collections by contrast, edit them, and measure them.

``load_generator``, ``load_dataset``, ``load_run``, ``load_directions`` and ``load_latents`` bring things in;
``methods``, ``metrics``, ``data`` and ``generators`` hold what there is, one item per file. Everything is imported on
first use.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from contrafact._moved import MovedModules

__version__ = "0.1.0"

# Reached as ``contrafact.<name>`` and imported on first use, so that ``import contrafact`` stays light.
_LAZY = {
    "load_generator": "contrafact.generators.checkpoints",
    "load_dataset": "contrafact.data.load",
    "load_run": "contrafact.core.method",
    "load_directions": "contrafact.editing.directions",
    "load_latents": "contrafact.editing.latents",
    "wrap": "contrafact.generators.wrap",
    "Run": "contrafact.core.run",
}
_SUBPACKAGES = (
    *("core", "nn", "losses", "training", "data", "generators", "methods", "metrics"),
    *("evaluation", "editing", "bench", "report", "app"),
)

__all__ = [*_LAZY, *_SUBPACKAGES]


if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
    sys.meta_path.append(MovedModules())


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"contrafact.{name}")
    raise AttributeError(f"module 'contrafact' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SUBPACKAGES})
