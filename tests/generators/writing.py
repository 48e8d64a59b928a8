"""Writes network pickles as NVIDIA's programs do, without those programs."""

from __future__ import annotations

import collections
import pickle
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("never called")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent:
    """A network as NVIDIA's persistence pickles it: class name, state and (here empty) program text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": collections.OrderedDict()}

    def child(self, path: list[str]) -> Persistent:
        """The module at that path, made where there is none."""
        if not path:
            return self
        return self.state["_modules"].setdefault(path[0], Persistent(path[0])).child(path[1:])

    def __reduce__(self) -> Any:
        meta = {"type": "class", "version": 6, "module_src": "", "class_name": self.name, "state": self.state}
        return _reconstruct_persistent_obj, (meta,)


def nvidia_network(
    state: Mapping[str, torch.Tensor],
    settings: Mapping[str, Any] | None = None,
    init: Mapping[str, Any] | None = None,
    name: str = "Generator",
) -> Persistent:
    """A network of these weights; ``settings`` are attributes by dotted name, ``init`` what it was built with."""
    network = Persistent(name)
    if init is not None:
        network.state["_init_kwargs"] = dict(init)
    for key, tensor in state.items():
        *parents, leaf = key.split(".")
        network.child(parents).state["_parameters"][leaf] = torch.nn.Parameter(tensor, tensor.is_floating_point())
    for key, value in (settings or {}).items():
        *parents, leaf = key.split(".")
        network.child(parents).state[leaf] = value
    return network


def write_nvidia(path: Path, content: Any) -> Path:
    """Pickle ``content``, networks in it under the name that NVIDIA's module has."""
    module = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    modules = {"torch_utils": types.ModuleType("torch_utils"), module.__name__: module}
    with mock.patch.dict(sys.modules, modules):
        path.write_bytes(pickle.dumps(content))
    return path
