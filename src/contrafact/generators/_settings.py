"""What a weight file does not say about its network: given by the user, found in or beside the file, or assumed.

A state dict holds tensors. How far activations are clamped, which function follows a layer or by what the mapping
network's weights are scaled is in the program that wrote it. A reader asks here for each such setting, so that what is
assumed in the end is known and can be said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from contrafact.core.foreign import parse_json, plain_value
from contrafact.generators._stored import read_stored

UNKNOWN: Final = object()
"""Stands for a setting that a place does not name (``None`` is a value: no clamp)."""

_LARGEST_TEXT = 1 << 20
_DEEPEST = 4


class Settings:
    """Answers a reader's questions about one checkpoint, and remembers how.

    Attributes:
        given: names the user gave and the reader asked for.
        assumed: what had to be assumed, by name.
        doubts: what speaks against an assumption, by name.
        read_beside: files beside the checkpoint that answered.
    """

    def __init__(self, path: Path, changes: Mapping[str, Any]) -> None:
        self._path, self._changes = path, changes
        self.given: dict[str, Any] = {}
        self.assumed: dict[str, Any] = {}
        self.doubts: dict[str, str] = {}
        self.read_beside: list[str] = []

    def choose(self, name: str, default: Any, *found: Any) -> Any:
        """The user's value, else the first of ``found`` that is not ``UNKNOWN``, else ``default``, noted as assumed.

        Args:
            name: our constructor argument's, or a name of the reader's own (``depth``).
            default: what the original program does when nothing else is said.
            found: what the places that may know it say.
        """
        if name in self._changes:
            self.given[name] = self._changes[name]
            return self._changes[name]
        for value in found:
            if value is not UNKNOWN:
                return value
        self.assumed[name] = default
        return default

    def doubt(self, name: str, text: str) -> None:
        """Say what speaks against an assumption, if it was one."""
        if name in self.assumed:
            self.doubts[name] = text

    def beside(self, *names: str) -> Any:
        """What JSON and YAML files beside the checkpoint say of the first of ``names`` that any of them has.

        Files that contradict each other say nothing.
        """
        for name in names:
            answers = [(file, value) for file, content in self._texts() for value in _named(content, name)]
            if answers and all(value == answers[0][1] for _, value in answers):
                self._used(answers[0][0])
                return answers[0][1]
        return UNKNOWN

    def part_beside(self, file: str, part: str) -> Mapping[str, Any]:
        """What the file of that name beside the checkpoint holds under ``part``; empty if there is none.

        Args:
            file: a JSON file, or one of weights.
            part: name of a dict in it.
        """
        path = self._folder / file
        content = _json(path) if path.suffix == ".json" else _stored(path)
        found = content.get(part) if isinstance(content, dict) else None
        if not isinstance(found, dict):
            return {}
        self._used(file)
        return found

    @property
    def file_name(self) -> str:
        """The checkpoint's name."""
        return self._path.name

    @property
    def _folder(self) -> Path:
        return self._path if self._path.is_dir() else self._path.parent

    def _used(self, file: str) -> None:
        if file not in self.read_beside:
            self.read_beside.append(file)

    def _texts(self) -> Iterator[tuple[str, Any]]:
        # A checkpoint in a folder of many files is not searched: run folders hold a few such files.
        names = ("training_options.json", "args.json", "config.json", "opt.json", "options.json", "opt.yaml", "opt.yml")
        for name in (*names, "config.yaml", "config.yml", "args.yaml", f"{self._path.stem}.json"):
            content = _json(self._folder / name) if name.endswith("json") else _yaml(self._folder / name)
            if content is not UNKNOWN:
                yield name, content

    def warning(self) -> str:
        """One sentence that says what was assumed and how to give it; empty when nothing was."""
        if not self.assumed:
            return ""
        said = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.assumed.items())
        doubts = "".join(f"; but {text}" for text in self.doubts.values())
        name, value = next(iter(self.assumed.items()))
        return (
            f"{self._path} does not say all about its network; assumed {said}{doubts}. Give what was otherwise: "
            f'load_generator(..., {{"{name}": {_python(value)}}}), or the option --set {name}={json.dumps(value)}'
        )


def _python(value: Any) -> str:
    return repr(value).replace("'", '"')


def attributes(value: Any) -> Mapping[str, Any]:
    """Names and values of a dict, of a namespace of arguments, or of what stands for either; empty for others."""
    for found in (value, getattr(value, "state", None), getattr(value, "settings", None)):
        if isinstance(found, Mapping):
            return found
    return vars(value) if type(value).__name__ == "Namespace" else {}


def lookup(place: Mapping[str, Any], *names: str) -> Any:
    """Value of the first of ``names`` in ``place``, ``UNKNOWN`` if it has none of them."""
    return next((place[name] for name in names if name in place), UNKNOWN)


def _stored(path: Path) -> Any:
    try:
        return read_stored(path) if path.is_file() else UNKNOWN
    except (ValueError, OSError):  # not readable, so it says nothing
        return UNKNOWN


def _named(content: Any, name: str, depth: int = 0) -> Iterator[Any]:
    """Values called ``name`` in nested dicts."""
    if isinstance(content, dict) and depth <= _DEEPEST:
        if name in content:
            yield content[name]
        for value in content.values():
            yield from _named(value, name, depth + 1)


def _text(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_TEXT:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _json(path: Path) -> Any:
    text = _text(path)
    try:
        return UNKNOWN if text is None else parse_json(text, path)
    except ValueError:  # somebody else's file: it says nothing about this checkpoint
        return UNKNOWN


def _yaml(path: Path) -> Any:
    """Lines ``name: value`` whose value is a number, a truth value, a word or a list of numbers."""
    text = _text(path)
    if text is None:
        return UNKNOWN
    found: dict[str, list[Any]] = {}
    for line in text.splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        if colon and value.strip():
            found.setdefault(name.strip(" \t-"), []).append(plain_value(value.strip()))
    return {name: values[0] for name, values in found.items() if all(v == values[0] for v in values)}
