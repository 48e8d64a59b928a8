"""Reading strangers' weight files without running code from them.

A pickle is a program: loading one may run anything. Here the tensors come out and nothing else happens. Torch files go
through torch's restricted loader; NVIDIA's network pickles, which carry source text to be run on loading, through an
unpickler that builds inert stand-ins for the classes they are known to hold. Every other global is refused by name.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

FOLDER_FILES = (
    "config.json",
    "args.json",
    "pytorch_model.bin",
    "model.safetensors",
    "generator.pt",
    "G_ema.pth",
)
"""What is read of a checkpoint that is a folder, where present."""

_STATE_NAMES = (
    *("pytorch_model.bin", "model.safetensors", "G_ema.pth", "generator.pt"),
    *("generator_smooth", "g_ema", "G_ema", "generator", "state_dict", "model", "G", "g"),
)

_TORCH_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"


@dataclass(frozen=True)
class StoredModule:
    """A network found in a pickle.

    Attributes:
        class_name: name of its class.
        arguments: what it was built with.
        tensors: its state dict.
        settings: plain attributes (numbers, texts, truth values) of it and of its submodules, by dotted name.
    """

    class_name: str
    arguments: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_stored(path: Path) -> Any:
    """What a weight file or a folder of them holds: nested dicts, lists, tensors, plain values, stored modules.

    Args:
        path: ``.safetensors``; ``.pt``, ``.pth``, ``.bin`` of any torch version; ``.pkl`` of NVIDIA's programs; or a
            folder, of which the known files are read into ``{file name: content}``.

    Raises:
        ValueError: not such a file, cut short, or one that asks for code to be run (it is not run).
    """
    if path.is_dir():
        found = [path / name for name in FOLDER_FILES if (path / name).is_file()]
        if not any(p.suffix != ".json" for p in found):
            raise ValueError(
                f"the folder {path} holds no weights; expected a run folder, or one of {', '.join(FOLDER_FILES[2:])}"
            )
        return {p.name: _read_json(p) if p.suffix == ".json" else read_stored(p) for p in found}
    with open(path, "rb") as file:
        start = file.read(64)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start.startswith(b"PK") or _TORCH_LEGACY_MAGIC in start:
        return _read_torch(path)
    if start.startswith(b"\x80"):
        return _read_pickle(path)
    raise ValueError(
        f"{path} is no weight file: expected .safetensors, a torch file (.pt, .pth, .bin) or a network pickle (.pkl)"
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}); it may be cut short") from error


def _read_torch(path: Path) -> Any:
    # Training files of StyleGAN2 hold their command-line arguments; a Namespace only stores attributes.
    with torch.serialization.safe_globals([argparse.Namespace]):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL (\S+)", str(error))
            if named is None:
                raise ValueError(f"{path} is damaged or no torch file ({error})") from error
            _refuse(path, named.group(1).rstrip("`'\""))
        except Exception as error:  # damaged bytes make torch's reader fail in any way
            raise ValueError(f"{path} is not a whole torch file ({_first_line(error)}); it may be cut short") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


class _Refused(ValueError):
    """The file asks for something that is not given; the message is the user's."""


def _refuse(path: Path | str, global_name: str) -> NoReturn:
    raise _Refused(
        f"{path} asks to run {global_name}, which has no place among weights; nothing of it was run. If you trust the "
        "file, save its state_dict alone and bring that"
    )


class _Inert:
    """What is built in place of an object of a foreign class: it keeps the state it is given and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.class_name = type(self).__name__
        self.state: Any = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _storage_of(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


class _InertUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

        def persistent(meta: Any) -> _Inert:
            # NVIDIA's persistence: {"module_src": program text, "class_name": ..., "state": ...}; the text stays text.
            inert = _Inert()
            inert.class_name, inert.state = str(meta["class_name"]), meta["state"]
            return inert

        def tensor(*arguments: Any) -> Any:
            return torch._utils._rebuild_tensor_v2(*arguments)

        def parameter(data: Tensor, *_: Any) -> Tensor:
            return data

        def storage(content: bytes) -> Any:
            return _storage_of(content)

        def array(*arguments: Any) -> Any:
            return np_multiarray._reconstruct(*arguments)

        def scalar(*arguments: Any) -> Any:
            return np_multiarray.scalar(*arguments)

        import numpy as np
        from numpy._core import multiarray as np_multiarray

        # Functions are made anew for each file: a pickle may set attributes on whatever it is handed.
        self._known: dict[tuple[str, str], Any] = {
            ("torch_utils.persistence", "_reconstruct_persistent_obj"): persistent,
            ("dnnlib.util", "EasyDict"): dict,
            ("collections", "OrderedDict"): dict,
            ("builtins", "set"): set,
            ("torch", "Size"): torch.Size,
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch._utils", "_rebuild_parameter"): parameter,
            ("torch.storage", "_load_from_bytes"): storage,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            self._known |= {(module, "_reconstruct"): array, (module, "scalar"): scalar}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._known:
            return self._known[module, name]
        if module.startswith("torch.nn.modules.") and "." not in name:
            return type(name, (_Inert,), {})
        if module.startswith("torch") and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module.startswith("dnnlib.tflib"):
            raise _Refused(
                f"{self._path} is a TensorFlow network pickle; convert it with NVIDIA's stylegan2-ada-pytorch "
                "(legacy.py), or use a converted file"
            )
        _refuse(self._path, f"{module}.{name}")


def _read_pickle(path: Path) -> Any:
    with open(path, "rb") as file:
        try:
            return _as_plain(_InertUnpickler(file, path).load())
        except _Refused:
            raise
        except Exception as error:  # damaged bytes may mean anything to an unpickler
            raise ValueError(
                f"{path} is not a whole network pickle ({_first_line(error)}); it may be cut short"
            ) from error


def _as_plain(content: Any) -> Any:
    """Stand-ins of networks as :class:`StoredModule`, inside dicts and lists."""
    if isinstance(content, _Inert):
        state = content.state if isinstance(content.state, dict) else {}
        tensors, settings = _collect(content)
        return StoredModule(content.class_name, dict(state.get("_init_kwargs", {})), tensors, settings)
    if isinstance(content, dict):
        return {key: _as_plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_as_plain(value) for value in content]
    return content


def _collect(module: Any, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and plain attributes of a stand-in, from the fields torch keeps a module's parts in."""
    state = module.state if isinstance(module, _Inert) and isinstance(module.state, dict) else {}
    tensors: dict[str, Tensor] = {}
    settings = {
        prefix + str(name): value
        for name, value in state.items()
        if isinstance(value, (bool, int, float, str)) and not str(name).startswith("_")
    }
    for group in ("_parameters", "_buffers"):
        for name, tensor in (state.get(group) or {}).items():
            if isinstance(tensor, Tensor):
                tensors[prefix + str(name)] = tensor.detach()
    for name, child in (state.get("_modules") or {}).items():
        child_tensors, child_settings = _collect(child, f"{prefix}{name}.")
        tensors |= child_tensors
        settings |= child_settings
    return tensors, settings


def state_dicts(content: Any) -> Iterator[dict[str, Tensor]]:
    """The state dicts a checkpoint may hold: itself, and those under the names programs use, averaged ones first."""
    if not isinstance(content, dict):
        return
    for part in (content, *(content[name] for name in _STATE_NAMES if isinstance(content.get(name), dict))):
        state = {str(k).removeprefix("module."): v.detach() for k, v in part.items() if isinstance(v, Tensor)}
        if state:
            yield state


def take(state: Mapping[str, Tensor], name: str, family: str) -> Tensor:
    """``state[name]`` as float32.

    Raises:
        ValueError: it is missing; the message says of what.
    """
    if name not in state:
        raise ValueError(f"the {family} checkpoint lacks {name!r}")
    return state[name].detach().float()
