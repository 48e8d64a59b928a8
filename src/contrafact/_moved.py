"""Modules that were somewhere else: their old import paths work for one more release, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    **{f"bench.{name}": f"evaluation.{name}" for name in ("sampling", "scores", "representations", "classes")},
    **{f"bench.{name}": f"evaluation.{name}" for name in ("control", "regression")},
    "bench.evaluate": "evaluation.run",
    **{f"nn.{name}": f"losses.{name}" for name in ("contrastive", "independence", "adversarial", "likelihood")},
    **{f"nn.{name}": f"training.{name}" for name in ("gather", "momentum", "schedule", "latent_table", "pairs")},
    **{f"nn.{name}": f"training.{name}" for name in ("latent_training", "image_pool", "anchors", "augment", "views")},
    "nn.adaptive_augmentation": "training.adaptive_augmentation",
    "nn.latent_directions": "methods.latentclr",
}
"""Old place to new place, under ``contrafact``."""


class MovedModules(MetaPathFinder):
    """Finds a module at its old path, after every other finder has failed to."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = MOVED.get(fullname.removeprefix("contrafact."))
        if place is None or not fullname.startswith("contrafact."):
            return None
        home = f"contrafact.{place}"
        warnings.warn(f"{fullname} is {home} now; the old path goes with the next release", DeprecationWarning, 2)
        return ModuleSpec(fullname, _SameModule(home))


class _SameModule(Loader):
    """Loads nothing: the module at the old path is the one at the new."""

    def __init__(self, home: str) -> None:
        self._home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._home)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the old path's there
