"""Reading strangers' weight files without running code from them.

A pickle is a program: loading one may run anything. Here (:func:`contrafact.core.inert_files.read_inert`) the tensors,
the plain values and the parts of networks come out and nothing else happens; whatever else a file holds stays a record
of it, which no reader of generators looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.describe import is_numpy_archive, open_safetensors, what_is
from contrafact.core.files import read_json
from contrafact.core.foreign import reading
from contrafact.core.inert_files import is_legacy, read_inert
from contrafact.core.inert_records import InertError, Record

FOLDER_FILES = (
    "config.json",
    "args.json",
    "pytorch_model.bin",
    "model.safetensors",
    "generator.pt",
    "G_ema.pth",
)
"""What is read of a checkpoint that is a folder, where present."""

STATE_NAMES = (
    *("pytorch_model.bin", "model.safetensors", "G_ema.pth", "generator.pt"),
    *("generator_smooth", "g_running", "g_ema", "G_ema", "generator", "state_dict", "model", "G", "g"),
    *("netG", "netG_state_dict", "generator_state_dict", "G_state_dict", "gen_state_dict", "gen", "model_state_dict"),
)
"""What a file calls a generator's state dict."""

_MAX_NAMES = 64 << 20
"""Letters in the names of all tensors and settings of all modules of a file."""


class NoGenerator(ValueError):
    """A network is known and is none that makes images: what else the file holds may be."""


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


@dataclass(frozen=True)
class TensorFlowNetwork:
    """A network of NVIDIA's TensorFlow programs found in a pickle.

    Attributes:
        program: its class, ``dnnlib.tflib.network.Network`` or, of the first program, ``tfutil.Network``.
        name: its name there, ``Gs``.
        function: name of the function that builds it, ``G_style``; its program text is not kept.
        arguments: what that is called with, and its parts are.
        variables: values by name, those of a part after the part's (``synthesis/4x4/Const/const``).
    """

    program: str
    name: str
    function: str
    arguments: Mapping[str, Any]
    variables: Mapping[str, Tensor] = field(repr=False)


def read_stored(path: Path) -> Any:
    """What a weight file or a folder of them holds: nested dicts, lists, tensors, plain values, stored modules.

    Args:
        path: ``.safetensors``; ``.pt``, ``.pth``, ``.bin`` of any torch version; ``.pkl`` of NVIDIA's programs; or a
            folder, of which the known files are read into ``{file name: content}``.

    Raises:
        ValueError: not such a file, damaged or cut short. Code that a file asks to run is not
            run; objects of classes that are not known come as :class:`~contrafact.core.inert_records.Record`.
    """
    if path.is_dir():
        found = [path / name for name in FOLDER_FILES if (path / name).is_file()]
        if not any(p.suffix != ".json" for p in found):
            raise ValueError(
                f"the folder {path} holds no weights; expected a run folder, or one of {', '.join(FOLDER_FILES[2:])}"
            )
        return {p.name: read_json(p, finite=False) if p.suffix == ".json" else read_stored(p) for p in found}
    with open(path, "rb") as file:
        start = file.read(64)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if is_numpy_archive(path):
        raise ValueError(
            f"{path} is {what_is(path)}, not the weights of a generator; expected .safetensors, a torch file (.pt, "
            ".pth, .bin) or a network pickle (.pkl)"
        )
    if start.startswith(b"PK\x03\x04") or is_legacy(start):
        return _read_pickled(path, "torch file")
    if start.startswith(b"\x80"):
        return _read_pickled(path, "network pickle")
    if start[:8] in (b"pickle\0\0", b"storages", b"tensors\0"):
        raise ValueError(
            f"{path} was written by torch 0.1.9 or older, as a tar file; if you trust it, read it with torch.load and "
            "write it again with torch.save"
        )
    raise ValueError(
        f"{path} is no weight file but {what_is(path)}: expected .safetensors, a torch file (.pt, .pth, .bin) or a "
        "network pickle (.pkl)"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    open_safetensors(path, "a safetensors file")
    with reading(path, "safetensors file"):
        return load_file(path)


def _read_pickled(path: Path, kind: str) -> Any:
    try:
        with reading(path, kind):
            read = read_inert(path, _Networks().stored)
    except InertError as error:
        raise ValueError(f"{path} is not a whole {kind}: {error}") from error
    return read.content


class _Networks:
    """Makes :class:`StoredModule` and :class:`TensorFlowNetwork` of the records that are networks, parts first."""

    def __init__(self) -> None:
        self._letters = _MAX_NAMES
        self._named = set[int]()

    def stored(self, record: Record) -> Any:
        name, state = record.name.rpartition(".")[2], record.state
        if name == "Network" and isinstance(state, dict) and isinstance(state.get("variables"), list):
            return self._tensorflow(record.name, state)
        if record.name == "torch_utils.persistence._reconstruct_persistent_obj":
            # NVIDIA's persistence: {"module_src": program text, "class_name": ..., "state": ...}; the text stays text.
            match record.arguments:
                case ({"class_name": str() as name, "state": dict() as state}, *_):
                    pass
        elif isinstance(state, dict) and record.name.startswith("__torch__."):
            # TorchScript keeps parameters, buffers, parts and settings alike as attributes.
            state = {**state, "_parameters": state, "_modules": state}
        elif not (isinstance(state, dict) and ("_parameters" in state or "_modules" in state)):
            return record
        if not isinstance(state, dict):
            return StoredModule(name, {}, {})
        arguments = state.get("_init_kwargs")
        return StoredModule(name, dict(arguments) if isinstance(arguments, dict) else {}, *self._collect(state))

    def _collect(self, state: Mapping[Any, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """State dict and plain attributes, from the fields torch keeps a module's parts in."""
        tensors: dict[str, Tensor] = {}
        settings = {
            str(name): value
            for name, value in state.items()
            if isinstance(value, (bool, int, float, str)) and not str(name).startswith("_")
        }
        for group in ("_parameters", "_buffers"):
            tensors |= {str(k): v for k, v in _dict(state.get(group)).items() if isinstance(v, Tensor)}
        for name, child in _dict(state.get("_modules")).items():
            if isinstance(child, StoredModule):
                tensors |= self._below(name, child.tensors)
                settings |= self._below(name, child.settings)
        return tensors, settings

    def _tensorflow(self, program: str, state: Mapping[Any, Any]) -> TensorFlowNetwork:
        """Variables are arrays by name, or numbers where they have no sides."""
        variables: dict[str, Tensor] = {}
        for entry in state["variables"]:
            match entry:
                case (str() as name, np.ndarray() as array) if array.dtype.isnative and array.dtype.kind in "fi":
                    if id(array) in self._named:  # as for modules: readers copy what is named
                        self._unfold(array.nbytes)
                    self._named.add(id(array))
                    variables[name] = torch.from_numpy(array)
                case (str() as name, float() | int() as number):
                    variables[name] = torch.tensor(float(number))
        arguments: dict[str, Any] = {}
        for name, part in plain_dict(state.get("components")).items():
            if isinstance(part, TensorFlowNetwork):
                variables |= self._below(name, part.variables, "/")
                arguments |= self._below("", part.arguments, "")
        arguments |= {str(name): value for name, value in plain_dict(state.get("static_kwargs")).items()}
        name, function = str(state.get("name")), str(state.get("build_func_name"))
        return TensorFlowNetwork(program, name, function, arguments, variables)

    def _below(self, name: object, entries: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
        prefix = f"{name}{separator}"
        # A module may be part of many, and so name its tensors more often than any file could.
        self._unfold(sum(len(prefix) + len(key) for key in entries))
        return {prefix + key: value for key, value in entries.items()}

    def _unfold(self, count: int) -> None:
        self._letters -= count
        if self._letters < 0:
            raise InertError("its networks would unfold to many times its size")


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def plain_dict(value: Any) -> dict[Any, Any]:
    """A dict, or the pairs of an object of a class derived from it; empty for others."""
    return _dict(value.pairs if isinstance(value, Record) else value)


def outline(content: Any, parts: int = 6) -> str:
    """What a file holds, in a line: names, classes and counts, for a message that says why it is of no use."""
    match content:
        case StoredModule():
            return f"a {content.class_name} of {len(content.tensors)} tensors{_named(content.tensors)}"
        case TensorFlowNetwork():
            held = f"{len(content.variables)} variables{_named(content.variables)}"
            return f"a TensorFlow network {_short(content.name)} ({_short(content.function)}) of {held}"
        case {} if not content:
            return "nothing"
        case {} if all(isinstance(value, Tensor) for value in content.values()):
            return f"{len(content)} tensors{_named(content)}"
        case {} if parts:
            listed = [f"{_short(key)} ({outline(value, 0)})" for key, value in list(content.items())[:parts]]
            return ", ".join(listed) + (f" and {len(content) - parts} more" if len(content) > parts else "")
        case {}:
            return f"{len(content)} entries{_named(content)}"
        case list() | tuple():
            kinds = list(dict.fromkeys(outline(value, 0) for value in content[:3])) if parts else []
            return f"{len(content)} entries" + (f", the first: {'; '.join(kinds)}" if kinds else "")
        case Tensor() | np.ndarray():
            return f"{content.dtype} {list(content.shape)}".removeprefix("torch.")
        case Record():
            return f"an object of {_short(content.name)}, which is not built"
    return "None" if content is None else type(content).__name__


def _named(content: Mapping[Any, Any]) -> str:
    names = ", ".join(_short(name) + _sides(value) for name, value in list(content.items())[:3])
    return f": {names}" + (", …" if len(content) > 3 else "") if names else ""


def _sides(value: object) -> str:
    return f" {list(value.shape)}" if isinstance(value, Tensor) else ""


def _short(name: object) -> str:
    text = str(name) if isinstance(name, str | int | float | bool) else type(name).__name__
    return text if len(text) <= 60 else f"{text[:57]}…"


def state_dicts(content: Any) -> Iterator[dict[str, Tensor]]:
    """The state dicts of one network's :class:`~contrafact.generators._parts.Part`: itself, or what it names so."""
    parts = [content]
    if isinstance(content, dict):
        parts += [content[name] for name in STATE_NAMES if name in content]
    for part in parts:
        found = part.tensors if isinstance(part, StoredModule) else _dict(part)
        state = {str(k): v for k, v in found.items() if isinstance(v, Tensor)}
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
