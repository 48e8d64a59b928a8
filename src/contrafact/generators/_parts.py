"""The networks a stranger's file may hold, each as if it were alone: out of wrappers, running averages first.

Programs nest their generator (``models.generator_smooth``), put it into the state dict of a larger model
(``state_dict`` of ``decoder.…`` beside ``encoder.…``) and leave the marks of parallel or compiled modules in its names
(``module.``, ``_orig_mod.``). An architecture's reader sees none of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from contrafact.generators._stored import STATE_NAMES, StoredModule

PART = "part"
"""The setting that chooses among several."""

_AVERAGED = re.compile(r"ema|smooth|avg|average|shadow|swa|running")
_WORD = r"gan|gen|g|net_?g|generator|decoder|synthesis_?network|model|models|net|network|online_model|params"
_HOLDER = re.compile(rf"((ema|average[dn]?)_?)?({_WORD})?(_?(ema|smooth|avg|average|shadow|swa))?", re.IGNORECASE)
"""What the generator of a larger model is called there."""
_DEEPEST = 5
_MOST = 64
"""Parts of a file that are looked at."""
_FEW = 8
"""More tensors beside a network than this are no settings of it."""


@dataclass(frozen=True)
class Part:
    """A network in a file.

    Attributes:
        place: where it lies there, ``state_dict: decoder.`` for names that begin so; empty for the whole file.
        content: it and what lies beside it, for an architecture's reader.
        tensors: its state dict.
        averaged: whether its names say that it is a running average of weights.
    """

    place: str
    content: Any = field(repr=False)
    tensors: Mapping[str, Tensor] = field(repr=False)
    averaged: bool


def parts(content: Any) -> list[Part]:
    """Every network that a file may hold, averaged ones first, else in the file's order."""
    found: list[Part] = []
    for part in _Search().parts(content, (), {}):
        found.append(part)
        if len(found) == _MOST:
            break
    return sorted(found, key=lambda part: not part.averaged)


def twin(part: Part, among: list[Part]) -> Part | None:
    """The network of the same names and shapes that a running average is one of; None where there is none."""
    shapes = _shapes(part)
    others = (other for other in among if part.averaged and not other.averaged)
    return next((other for other in others if _shapes(other) == shapes), None)


def _shapes(part: Part) -> dict[str, Any]:
    return {name: tensor.shape for name, tensor in part.tensors.items()}


class _Search:
    """Goes through nested dicts once: what a file names often lies in it once, so what was seen is not seen again."""

    def __init__(self) -> None:
        self._holds: dict[int, bool] = {}
        self._seen: set[int] = set()

    def parts(self, content: Any, path: tuple[str, ...], beside: Mapping[str, Any]) -> Iterator[Part]:
        if len(path) > _DEEPEST or id(content) in self._seen:
            return
        self._seen.add(id(content))
        if isinstance(content, StoredModule):
            yield from _variants(content, path, "", beside)
        if not isinstance(content, Mapping):
            return
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            yield from _variants(tensors, path, "", beside)
        holders = [name for name, value in content.items() if self._is_holder(value, len(path))]
        near = {
            name: value
            for name, value in content.items()
            if not isinstance(value, Tensor) and name not in holders and not (isinstance(value, Mapping) and not value)
        }
        beside = {**beside, **near, **(tensors if len(tensors) <= _FEW else {})}
        for name in holders:
            yield from self.parts(content[name], (*path, str(name)), beside)

    def _is_holder(self, value: Any, depth: int) -> bool:
        """Whether there is a network in it."""
        if isinstance(value, StoredModule):
            return True
        if not isinstance(value, Mapping) or depth > _DEEPEST:
            return False
        if id(value) not in self._holds:
            self._holds[id(value)] = False
            self._holds[id(value)] = any(
                isinstance(inner, Tensor) or self._is_holder(inner, depth + 1) for inner in value.values()
            )
        return self._holds[id(value)]


def _variants(
    network: StoredModule | Mapping[str, Tensor], path: tuple[str, ...], prefix: str, beside: Mapping[str, Any]
) -> Iterator[Part]:
    """The network whole, and each part of it whose names begin as a generator's do in a larger model."""
    stored = network if isinstance(network, StoredModule) else None
    state, start = _unmarked(stored.tensors if stored is not None else network)  # type: ignore[arg-type]
    if not state:
        return
    place = ".".join(path) + (f": {prefix}" if path and prefix else prefix)
    names = [name.lower() for name in (*path, *prefix.split("."))]
    averaged = any(_AVERAGED.search(name) for name in names) and not any("online" in name for name in names)
    lone: Any = state
    if stored is not None:
        settings = {_marks(name).removeprefix(start): value for name, value in stored.settings.items()}
        lone = StoredModule(stored.class_name, stored.arguments, state, settings)
    name = path[-1] if path and not prefix and path[-1] in STATE_NAMES else "state_dict"
    name = "G_ema" if stored is not None else name
    yield Part(place, {**beside, name: lone} if beside or path else lone, state, averaged)
    if prefix.count(".") >= _DEEPEST:
        return
    firsts = list(dict.fromkeys(key.partition(".")[0] for key in state if "." in key))
    for first in firsts:
        if _HOLDER.fullmatch(first) or (len(firsts) == 1 and all("." in key for key in state)):
            inner: Any = {k.partition(".")[2]: v for k, v in state.items() if k.startswith(f"{first}.")}
            if stored is not None:
                below = {k.partition(".")[2]: v for k, v in lone.settings.items() if k.startswith(f"{first}.")}
                inner = StoredModule(first, {}, inner, below)
            yield from _variants(inner, path, f"{prefix}{first}.", beside)


def _unmarked(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The state dict without the marks that parallel and compiled modules leave in names, and what all began with."""
    clean = {_marks(name): tensor for name, tensor in state.items()}
    start = ""
    while clean and all(name.startswith("module.") for name in clean):
        clean, start = {name.removeprefix("module."): t for name, t in clean.items()}, f"{start}module."
    return clean, start


def _marks(name: str) -> str:
    return re.sub(r"(^|\.)(_orig_mod\.)+", r"\1", name)
