"""Which known layout a stranger's weights come nearest to, and what they lack of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from contrafact.generators._parts import Part

LAYOUTS = Path(__file__).parent / "layouts.json"
"""Names of each known layout, digits as ``#``, with the number of sides of their tensors, from the tests' files."""

_LEAST = 0.25
"""Less of a layout's names than this is chance: every network has a ``conv.weight``."""
_SHOWN = 4


def pattern(name: str) -> str:
    """A tensor's name with its numbers out of it: layers are as many as a network is deep."""
    return re.sub(r"\d+", "#", name)


def patterns(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The kinds of names of a state dict, with the number of sides of what they name."""
    return {pattern(name): tensor.ndim for name, tensor in tensors.items()}


def nearest(found: Iterable[Part]) -> str:
    """A sentence on the layout that shares most names with one of the networks; empty where none shares enough."""
    layouts: dict[str, dict[str, int]] = json.loads(LAYOUTS.read_text(encoding="utf-8"))
    best, said = _LEAST, ""
    for part in found:
        there = patterns(part.tensors)
        for layout, names in layouts.items():
            shared = [name for name, sides in names.items() if there.get(name) == sides]
            # What is there besides speaks against it too, or a large network would be near to everything.
            share = len(shared) / len(names.keys() | there.keys())
            if share > best:
                best, said = share, _sentence(part, there, layout, names, shared)
    return said


def _sentence(part: Part, there: Mapping[str, int], layout: str, names: Mapping[str, int], shared: list[str]) -> str:
    missing = [name for name in names if name not in there]
    other = [f"{name} ({there[name]} sides, not {names[name]})" for name in names if name in there.keys() - {*shared}]
    beside = [name for name in there if name not in names]
    place = f" (in {part.place})" if part.place else ""
    text = f"It is nearest to {layout}{place}: {len(shared)} of its {len(names)} kinds of names are there"
    for word, listed in (("missing", missing), ("of another shape", other), ("not known of it", beside)):
        if listed:
            more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
            text += f"; {word}: {', '.join(name[:60] for name in listed[:_SHOWN])}{more}"
    return f"{text}."
