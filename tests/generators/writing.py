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


class TensorFlowNetwork:
    """A network as NVIDIA's TensorFlow programs pickle it; its program text would leave a mark if it were run."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


_CLASSES = {
    module: type("Network", (TensorFlowNetwork,), {"__module__": module})
    for module in ("dnnlib.tflib.network", "tfutil")
}
"""Of the later programs, and of the first, ProgGAN's, whose networks have no parts."""
_TEXT = "import os\nos.system('touch PWNED')\n"


def tensorflow_network(
    skeleton: Mapping[str, Any], state: Mapping[str, torch.Tensor], first: bool = False
) -> TensorFlowNetwork:
    """A network with the recorded ``skeleton`` (name, arguments, parts, names of variables), and values by name."""
    parts = {
        name: tensorflow_network(part, {k.partition("/")[2]: v for k, v in state.items() if k.startswith(f"{name}/")})
        for name, part in skeleton["components"].items()
    }
    held = {**skeleton, "build_module_src": _TEXT, "components": parts}
    names = held.pop("names")
    # Numbers without sides come as NumPy's scalars.
    held["variables"] = [(name, state[name].numpy()[()]) for name in names if name in state]
    return _CLASSES["tfutil" if first else "dnnlib.tflib.network"](held)


def write_tensorflow(path: Path, content: Any) -> Path:
    """Pickle ``content``, networks in it under the names that those programs' modules have."""
    names = ["dnnlib", "dnnlib.tflib", *_CLASSES]
    modules = {name: types.ModuleType(name) for name in names}
    for name, kind in _CLASSES.items():
        modules[name].Network = kind  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, modules):
        path.write_bytes(pickle.dumps(content, protocol=4))
    return path
