"""What a page shows, as its text of JSON says it: the latent, how far along which direction, on which layers.

The text comes from a browser, a link or a stranger: its form is checked here, whether it fits a generator in
:mod:`contrafact.app.session`.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.ranges import Layer, Seed, Share, check_value

_DEEPEST = 8
_MOST_MAGNITUDES = 1024
_MOST_VALUES = 1 << 20


@dataclass(frozen=True)
class Drawn:
    """A latent drawn with a seed, as ``contrafact edit --latent SEED`` draws it."""

    seed: int


@dataclass(frozen=True)
class Photo:
    """A latent known by name, such as one that was found for a photograph."""

    name: str


@dataclass(frozen=True)
class Values:
    """A latent's own numbers ``(L,)``, or those of all layers one after the other ``(num_layers·L,)``."""

    numbers: tuple[float, ...]

    def tensor(self) -> Tensor:
        """The numbers as float32."""
        return torch.tensor(self.numbers, dtype=torch.float32)


@dataclass(frozen=True)
class Between:
    """A latent on the straight line from one (``share`` 0) to another (``share`` 1)."""

    first: Latent
    last: Latent
    share: float


Latent = Drawn | Photo | Values | Between


@dataclass(frozen=True)
class State:
    """All that decides a picture.

    Attributes:
        latent: where edits start.
        magnitudes: direction numbers, ascending, and how far along each in standard deviations; zeros are left out.
        layers: ``(first, last)`` style layers to act on (last excluded) instead of the directions' own.
        truncation: of a drawn latent, and of the generator where that takes part in its images; None for its own.
        run: name of the run compared with, None for the one the page is of.
    """

    latent: Latent = field(default_factory=lambda: Drawn(0))
    magnitudes: tuple[tuple[int, float], ...] = ()
    layers: tuple[int, int] | None = None
    truncation: float | None = None
    run: str | None = None


def parse_state(said: Any) -> State:
    """A state of its JSON.

    Args:
        said: ``{"latent": {"seed": 3}, "magnitudes": {"0": 1.5}, "layers": null, "truncation": null, "run": null}``;
            whatever is left out is nothing.

    Raises:
        ValueError: another form, or a number out of range.

    >>> parse_state({"latent": {"seed": 3}, "magnitudes": {"4": 1.5, "0": -2}})
    State(latent=Drawn(seed=3), magnitudes=((0, -2.0), (4, 1.5)), layers=None, truncation=None, run=None)
    """
    if not isinstance(said, dict):
        raise ValueError(f"a state is an object with a latent and magnitudes, got {_short(said)}")
    layers = said.get("layers")
    if layers is not None and (not isinstance(layers, list) or len(layers) != 2):
        raise ValueError(f"layers must be two numbers, first and last, or null; got {_short(layers)}")
    truncation, run = said.get("truncation"), said.get("run")
    if run is not None and not isinstance(run, str):
        raise ValueError(f"run must be the name of a run, or null; got {_short(run)}")
    return State(
        _latent(said.get("latent", {"seed": 0})),
        _magnitudes(said.get("magnitudes") or {}),
        None if layers is None else (check_value("layers", layers[0], Layer), check_value("layers", layers[1], Layer)),
        None if truncation is None else float(check_value("truncation", truncation, Share)),
        run,
    )


def encode_values(latent: Tensor) -> str:
    """A latent's numbers as a state holds them: base64 of little-endian float32."""
    return base64.b64encode(latent.detach().cpu().numpy().astype("<f4").tobytes()).decode()


def _latent(said: Any, depth: int = 0) -> Latent:
    kind, value = next(iter(said.items())) if isinstance(said, dict) and len(said) == 1 else (None, None)
    if kind == "seed":
        return Drawn(check_value("seed", value, Seed))
    if kind == "photo" and isinstance(value, str):
        return Photo(value)
    if kind == "values" and isinstance(value, str):
        return Values(_numbers(value))
    if kind == "between" and isinstance(value, list) and len(value) == 3:
        if depth == _DEEPEST:
            raise ValueError(f"a latent lies between others that lie between others, at most {_DEEPEST} times")
        first, last = (_latent(end, depth + 1) for end in value[:2])
        return Between(first, last, float(check_value("share", value[2], Share)))
    raise ValueError(
        'a latent is one of {"seed": 3}, {"photo": "name"}, {"values": "base64"} and {"between": [latent, latent, 0.5]}'
        f", got {_short(said)}"
    )


def _numbers(text: str) -> tuple[float, ...]:
    if len(text) > _MOST_VALUES * 6:
        raise ValueError(f"a latent has at most {_MOST_VALUES:,} numbers")
    try:
        content = base64.b64decode(text, validate=True)
        numbers = np.frombuffer(content, "<f4")
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"a latent's values must be base64 of float32 numbers ({error})") from error
    if not np.isfinite(numbers).all():
        raise ValueError("a latent's values must be finite")
    return tuple(numbers.tolist())


def _magnitudes(said: Any) -> tuple[tuple[int, float], ...]:
    if not isinstance(said, dict) or len(said) > _MOST_MAGNITUDES:
        raise ValueError(f'magnitudes are an object such as {{"3": 1.5}} of at most {_MOST_MAGNITUDES}')
    found: dict[int, float] = {}
    for number, magnitude in said.items():
        if not (isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 9):
            raise ValueError(f"magnitudes go by the directions' numbers, got {_short(number)}")
        if isinstance(magnitude, bool) or not isinstance(magnitude, int | float) or not math.isfinite(magnitude):
            raise ValueError(f"the magnitude of direction {number} must be a finite number, got {_short(magnitude)}")
        found[int(number)] = float(magnitude)
    return tuple((number, found[number]) for number in sorted(found) if found[number])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
