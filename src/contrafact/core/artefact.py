"""Modules that live in one file: weights and constructor arguments, read back without running code from the file.

The file is a safetensors file whose header names the class (:mod:`contrafact.core.artefact_names`), its arguments and
the version of the format. Only classes of this package are built.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from contrafact.core.artefact_names import find_named, stable_name
from contrafact.core.checksum import check_tensors, write_tensors
from contrafact.core.describe import listed, open_safetensors
from contrafact.core.foreign import parse_json, reading
from contrafact.core.format_version import FORMAT_VERSION, check_format_version
from contrafact.core.skeleton import build, damaged_header


class Artefact(nn.Module):
    """A module that :func:`save_artefact` can write: it knows the arguments it was built with.

    Attributes:
        note: anything JSON-ready that travels with the weights: what made them, their scores.
    """

    def __init__(self) -> None:
        super().__init__()
        self.note: dict[str, Any] = {}

    def is_writable(self) -> bool:
        """Whether a file can hold this module; False for wrappers of somebody's own code."""
        return True

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, JSON-ready, that rebuild this module up to its weights.

        Raises:
            ValueError: the module cannot be rebuilt from a file (it wraps somebody's own code).
        """
        raise ValueError(f"{type(self).__name__} cannot be written to a file: it does not know its own arguments")


OWN = "module of your own"
"""Marks, in a file's header or a run's configuration, an argument that is somebody's own module."""

ArtefactT = TypeVar("ArtefactT", bound=Artefact)


def save_artefact(module: Artefact, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write ``module`` to one ``.safetensors`` file, atomically.

    Args:
        module: what to write.
        path: file to write.
        dtype: store floating-point weights in this type (``torch.float16`` halves a file); None keeps theirs.

    Raises:
        ValueError: the module cannot be rebuilt from a file.
    """
    header = {
        "format": "contrafact",
        "version": str(FORMAT_VERSION),
        "class": class_name(module),
        "arguments": json.dumps({name: described(value) for name, value in module.arguments().items()}),
        "note": json.dumps(module.note),
    }
    tensors = {}
    for name, tensor in module.state_dict().items():
        stored = tensor.detach().cpu()
        if dtype is not None and stored.is_floating_point():
            stored = stored.to(dtype)
        tensors[name] = stored.contiguous().clone()
    write_tensors(path, tensors, header)


def read_header(path: str | Path, example: str = "generator.safetensors") -> dict[str, Any]:
    """Header of an artefact file: ``class``, ``arguments``, ``note``, and the ``shapes`` of what it holds.

    ``class`` is a short name (``directions/global``); in files of version 0, the class's place at the time.

    Args:
        path: the file.
        example: name of the expected file in a run folder, for the message.

    Raises:
        ValueError: no such file, cut short, not written by contrafact (the message says what it is), or written by a
            newer version.
    """
    source = Path(path)
    if not source.is_file():
        raise ValueError(f"{source} does not exist; expected a .safetensors file written by contrafact")
    metadata, shapes = open_safetensors(source, f"a file written by contrafact, such as {example}")
    if metadata.get("format") != "contrafact":
        raise ValueError(
            f"{source} was not written by contrafact (its header names no class); it holds {listed(shapes)}. "
            "Another program's generator is brought in with `contrafact convert`"
        )
    check_format_version(metadata.get("version"), source)
    missing = [key for key in ("class", "arguments", "note") if key not in metadata]
    if missing:
        raise damaged_header(source, f"no {missing[0]!r}")
    arguments, note = (
        parse_json(metadata[key], f"{source} has a damaged header: {key!r}", "make the file again")
        for key in ("arguments", "note")
    )
    if not isinstance(note, dict):
        raise damaged_header(source, f"'note' is no object but {str(note)[:40]!r}")
    return {"class": metadata["class"], "arguments": arguments, "note": note, "shapes": shapes}


def described(value: Any) -> Any:
    """``value``, or in a module's place a mark that names its class."""
    return {OWN: f"{type(value).__module__}.{type(value).__qualname__}"} if isinstance(value, nn.Module) else value


def load_artefact(path: str | Path, kind: type[ArtefactT], own: nn.Module | None = None) -> ArtefactT:
    """Read an artefact file back, in evaluation mode, with float32 weights.

    Args:
        path: file written by :func:`save_artefact`.
        kind: the expected type (``Generator``, ``Encoder``, ``Directions``).
        own: the module it was built around, when that is somebody's own: a file's weights go into a copy of it.

    Raises:
        ValueError: unreadable file, a damaged header, another kind of artefact, weights that do not fit the arguments,
            or no module for an artefact built around one. Nothing is allocated before the header is known to describe
            what the file holds.
    """
    from safetensors.torch import load_file

    header = read_header(path, f"{kind.__name__.lower()}.safetensors")
    check_tensors(path)
    cls = find_class(header["class"], path)
    if not issubclass(cls, kind):
        raise ValueError(f"{path} holds a {cls.__name__}, expected a {kind.__name__.lower()}")
    arguments = header["arguments"]
    around = arguments if isinstance(arguments, dict) else {}
    for name, value in around.items():
        if isinstance(value, dict) and OWN in value:
            if own is None:
                raise ValueError(
                    f"{path} holds weights of a module of your own ({value[OWN]}), not its code: pass the module, "
                    f"load_run(folder, {kind.__name__.lower()}=...)"
                )
            around[name] = own
    module: ArtefactT = build(cls, arguments, header["shapes"], Path(path), own)
    with reading(path, "artefact of contrafact", "make the file again"):
        weights = {n: t.float() if t.is_floating_point() else t for n, t in load_file(path).items()}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the {cls.__name__} its header describes: {error}") from error
    module.note = header["note"]
    return module.eval()


def class_name(module: Artefact) -> str:
    """What a file calls the class of ``module``.

    Raises:
        ValueError: it is not one of this package's classes.
    """
    cls = type(module)
    name = stable_name(cls)
    if name is None:
        raise ValueError(
            f"{cls.__module__}.{cls.__qualname__} is not one of contrafact's classes, so a file of it could not be "
            "read back; keep it as your own code and pass it in again"
        )
    return name


def find_class(name: str, path: str | Path) -> type[Artefact]:
    """The artefact class that a file's header calls ``name``.

    Args:
        name: what the header says.
        path: the file, for the message.

    Raises:
        ValueError: not one of this package's artefact classes.
    """
    # The header is a stranger's text: only what the table lists is imported for it, only artefact classes are built.
    cls = find_named(name)
    if cls is None:
        raise ValueError(f"{path} asks for {name[:80]!r}, which is not one of contrafact's classes; it is not loaded")
    if not (isinstance(cls, type) and issubclass(cls, Artefact)):
        raise ValueError(f"{path} asks for {name!r}, which is no artefact; it is not loaded")
    return cls


def fingerprint(module: nn.Module) -> str:
    """Short hash of a module's weights and their names: equal for equal models, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
