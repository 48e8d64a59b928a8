"""Modules that live in one file: weights and constructor arguments, read back without running code from the file.

The file is a safetensors file whose header names the class (:mod:`contrafact.core.artefact_names`), its arguments and
the version of the format. Only classes of this package are built, and somebody's own where they passed or loaded the
class themselves (:mod:`contrafact.core.outside`).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from contrafact.core import outside
from contrafact.core.artefact_names import find_named, stable_name
from contrafact.core.checksum import check_tensors, write_tensors
from contrafact.core.describe import listed, open_safetensors
from contrafact.core.foreign import first_line, parse_json, reading
from contrafact.core.format_version import FORMAT_VERSION, check_format_version
from contrafact.core.own_module import OWN, described, find_module
from contrafact.core.skeleton import build, damaged_header


class Artefact(nn.Module):
    """A module that :func:`save_artefact` can write: it knows the arguments it was built with.

    A class of this package says them itself. Of any other class they are noted when it is built.

    Attributes:
        note: anything JSON-ready that travels with the weights: what made them, their scores.

    >>> from contrafact.core.directions import GlobalDirections
    >>> axes = GlobalDirections.of(torch.eye(2))
    >>> axes.note["found"] = "by hand"  # travels with the weights
    >>> save_artefact(axes, "axes.safetensors")
    >>> load_artefact("axes.safetensors", GlobalDirections).note
    {'found': 'by hand'}
    >>> axes.arguments()["num_directions"]
    2
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        if outside.is_outside(cls):
            given = outside.given(cls, args, kwargs)
            self.__dict__["_given"] = given
            if given is not None and given.missing and cls.arguments is Artefact.arguments:
                outside.warn(cls, _unsayable(cls, given.missing))
        return self

    def __init__(self) -> None:
        super().__init__()
        self.note: dict[str, Any] = {}

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, JSON-ready, that rebuild this module up to its weights.

        Raises:
            ValueError: the module cannot be rebuilt from a file.
        """
        given: outside.Given | None = self.__dict__.get("_given")
        if given is None:
            raise ValueError(f"{type(self).__name__} cannot be written to a file: it does not know its own arguments")
        if given.missing:
            raise ValueError(_unsayable(type(self), given.missing))
        return outside.read(given.arguments)  # type: ignore[no-any-return] # a dictionary, as it was written

    def kept(self) -> dict[str, Any]:
        """What a file of a class from outside holds beside weights and arguments: what was set after it was built."""
        return {}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Set again what :meth:`kept` kept (ValueError where it does not fit)."""


def _unsayable(cls: type[Any], missing: tuple[str, ...]) -> str:
    return (
        f"a {cls.__name__} cannot be rebuilt from a file, because no file can hold its argument {', '.join(missing)}: "
        "give its constructor numbers and texts instead, or define arguments()"
    )


ArtefactT = TypeVar("ArtefactT", bound=Artefact)


def save_artefact(module: Artefact, path: str | Path, dtype: torch.dtype | None = None) -> str | None:
    """Write ``module`` to one ``.safetensors`` file, atomically.

    Weights of a class from outside this package are written whether or not the file can say how to build it.

    Args:
        module: what to write.
        path: file to write.
        dtype: store floating-point weights in this type (``torch.float16`` halves a file); None keeps theirs.

    Returns:
        None; or why this module of somebody's own cannot be rebuilt from the file, which then holds its weights for
        :func:`load_artefact` to put into a module that is passed.

    Raises:
        ValueError: a module of this package that cannot be rebuilt from a file.
    """
    if not outside.is_outside(type(module)):
        name = class_name(module)
        arguments = {key: described(value) for key, value in module.arguments().items()}
        _write(module, path, dtype, {"class": name, "arguments": json.dumps(arguments)})
        return None
    why = unbuildable(module)
    if why is not None:
        save_weights(module, path, why, dtype)
        return why
    said = {"arguments": outside.written(module.arguments()), "kept": module.kept()}
    texts = {name: json.dumps(value) for name, value in said.items()}
    _write(module, path, dtype, {"class": class_name(module), **texts})
    return None


def save_weights(module: nn.Module, path: str | Path, why: str, dtype: torch.dtype | None = None) -> None:
    """Write the weights of any module, for :func:`load_artefact` to put into one that is passed.

    Args:
        module: whose weights.
        path: file to write.
        why: why it cannot be rebuilt from the file, which the file says to who reads it.
        dtype: as for :func:`save_artefact`.
    """
    _write(module, path, dtype, {"class": outside.spelled(type(module)), "arguments": "null", "why": why})


def unbuildable(module: Artefact) -> str | None:
    """Why a module cannot be rebuilt from a file, as a sentence; None where it can."""
    cls = type(module).__name__
    try:
        class_name(module)
        arguments = module.arguments()
    except ValueError as error:
        return str(error)
    except Exception as error:  # the documented border: somebody's code must not cost them what was trained
        return f"{cls}.arguments() failed ({type(error).__name__}: {first_line(error)})"
    if outside.is_outside(type(module)) and not (isinstance(arguments, dict) and outside.is_ready(arguments)):
        return (
            f"{cls}.arguments() must return the constructor's arguments by name, numbers, texts, None and lists of "
            f"them; it returned {str(arguments)[:80]}"
        )
    return None


def warn_of_unbuildable(modules: Iterable[object]) -> None:
    """Say, before they are trained, which modules of somebody's own classes a file cannot rebuild."""
    for module in modules:
        if isinstance(module, Artefact) and outside.is_outside(type(module)):
            why = unbuildable(module)
            if why is not None:
                outside.warn(type(module), why)


def _write(module: nn.Module, path: str | Path, dtype: torch.dtype | None, said: Mapping[str, str]) -> None:
    note = getattr(module, "note", {})
    header = {"format": "contrafact", "version": str(FORMAT_VERSION), **said, "note": json.dumps(note)}
    tensors = {}
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):  # a module's extra state, which may be any object
            continue
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
    kept = parse_json(metadata.get("kept", "{}"), f"{source} has a damaged header: 'kept'", "make the file again")
    why = metadata.get("why", "")
    return {
        "class": metadata["class"],
        "arguments": arguments,
        "note": note,
        "shapes": shapes,
        "kept": kept,
        "why": why,
    }


def load_artefact(path: str | Path, kind: type[ArtefactT], own: nn.Module | type[nn.Module] | None = None) -> ArtefactT:
    """Read an artefact file back, in evaluation mode, with float32 weights.

    Args:
        path: file written by :func:`save_artefact`.
        kind: the expected type (``Generator``, ``Encoder``, ``Directions``).
        own: of an artefact of somebody's own class, the class, or a module of it, into a copy of which the weights go;
            of one built around somebody's own module, that module.

    Raises:
        ValueError: unreadable file, a damaged header, another kind of artefact, weights that do not fit the arguments,
            or no module for an artefact built around one. Nothing is allocated before the header is known to describe
            what the file holds. A class from outside that was not passed and is not loaded: it is not imported.
    """
    from safetensors.torch import load_file

    header = read_header(path, f"{kind.__name__.lower()}.safetensors")
    check_tensors(path)
    module: ArtefactT
    if header["class"].startswith(outside.PREFIX):
        module = _outside_module(header, path, kind, own)
    else:
        cls = find_class(header["class"], path)
        if not issubclass(cls, kind):
            raise ValueError(f"{path} holds a {cls.__name__}, expected a {kind.__name__.lower()}")
        arguments = header["arguments"]
        around = arguments if isinstance(arguments, dict) else {}
        given = own if isinstance(own, nn.Module) else None
        for name, value in around.items():
            if isinstance(value, dict) and OWN in value:
                given = find_module(str(value[OWN])) if given is None else given
                if given is None:
                    raise ValueError(
                        f"{path} holds weights of a module of your own ({value[OWN]}), not its code: pass the module, "
                        f"load_run(folder, {kind.__name__.lower()}=...); on a command line name the file that "
                        "contrafact fit was given, --plugin FILE.py"
                    )
                around[name] = given
        module = build(cls, arguments, header["shapes"], Path(path), given)
    with reading(path, "artefact of contrafact", "make the file again"):
        weights = load_file(path)
    # What is no tensor (a module's extra state) is in no file: it stays as the constructor made it.
    extra = {n: state for n, state in module.state_dict().items() if not isinstance(state, Tensor)}
    try:
        module.load_state_dict({**weights, **extra})
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the {type(module).__name__}: {error}") from error
    module.note = header["note"]
    return module.eval()


def _outside_module(
    header: Mapping[str, Any], path: str | Path, kind: type[ArtefactT], own: nn.Module | type[nn.Module] | None
) -> ArtefactT:
    """The module of somebody's own class that a file's weights are for."""
    name, noun = header["class"], kind.__name__.lower()
    called = name.removeprefix(outside.PREFIX)
    if isinstance(own, nn.Module):
        if not isinstance(own, kind):
            raise ValueError(f"{path} holds a {called}; expected one, an instance of {kind.__name__}, got {type(own)}")
        return copy.deepcopy(own)
    if header["arguments"] is None:
        raise ValueError(
            f"{path} holds the weights of a {called} and not how to build it ({header['why'][:400]}): build it "
            f"yourself and pass it, load_run(folder, {noun}=...)"
        )
    cls = own if own is not None else outside.find_outside(name, kind)
    if cls is None:
        raise ValueError(
            f"{path} holds a {called}, somebody's own class, which is not imported because a file names it: pass the "
            f"class, load_run(folder, {noun}=...); on a command line name its file, --plugin FILE.py; or install the "
            "package that offers it"
        )
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        raise ValueError(f"{path} holds a {called}; expected that class, below {kind.__name__}, got {cls}")
    module: ArtefactT = build(cls, outside.read(header["arguments"]), header["shapes"], Path(path), eager=True)
    try:
        module.restore(header["kept"])
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise damaged_header(path, f"'kept' does not fit: {first_line(error)}") from error
    return module


def is_from_outside(path: str | Path) -> bool:
    """Whether an artefact file is one of somebody's own class."""
    return str(read_header(path)["class"]).startswith(outside.PREFIX)


def class_name(module: Artefact) -> str:
    """What a file calls the class of ``module``.

    Raises:
        ValueError: it is a class of this package that is never written.
    """
    cls = type(module)
    name = outside.spelled(cls) if outside.is_outside(cls) else stable_name(cls)
    if name is None:
        raise ValueError(
            f"{cls.__name__} cannot be written to a file, because it is built around a module of your own: keep that "
            "module's code and pass it in again"
        )
    return name


def find_class(name: str, path: str | Path) -> type[Artefact]:
    """The artefact class that a file's header calls ``name``.

    Args:
        name: what the header says.
        path: the file, for the message.

    Raises:
        ValueError: neither one of this package's artefact classes nor one from outside that is loaded or offered.
    """
    # The header is a stranger's text: only what the table lists is imported for it, only artefact classes are built.
    cls = outside.find_outside(name, Artefact) if name.startswith(outside.PREFIX) else find_named(name)
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
