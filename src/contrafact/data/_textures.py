"""Procedural textures of ten classes, told apart by pattern, never by colour.

Every texture has its own colours, size, turn, shift and grain; two textures of a class share the pattern alone.

Shape suffixes: N textures, S side, P points or waves of one texture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Pattern = Callable[[FloatArray, FloatArray, np.random.Generator], FloatArray]
_CHUNK = 100
DARK, LIGHT = (0.0, 0.2), (0.3, 0.6)
"""Channels of a texture's two colours: darker than what is laid over it, as photographs are than MNIST's strokes."""


def textures(class_index: int, count: int, side: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """``count`` textures of one class: bytes ``(count, 3, side, side)``."""
    chunks = [_textures(class_index, min(_CHUNK, count - first), side, rng) for first in range(0, count, _CHUNK)]
    return np.concatenate(chunks)


def _textures(class_index: int, n: int, side: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    turn, period = _draw(rng, n, -np.pi / 8, np.pi / 8), _draw(rng, n, side / 5, side / 3)
    shift_x, shift_y = _draw(rng, n, 0, side), _draw(rng, n, 0, side)
    x, y = columns - shift_x, rows - shift_y
    u = (x * np.cos(turn) + y * np.sin(turn)) / period
    v = (-x * np.sin(turn) + y * np.cos(turn)) / period
    mix = PATTERNS[CLASSES[class_index]](u, v, rng)[:, None]
    dark, light = (rng.uniform(low, high, (n, 3, 1, 1)).astype(np.float32) for low, high in (DARK, LIGHT))
    mix = np.where(rng.random((n, 1, 1, 1)) < 0.5, mix, 1 - mix)
    grain = rng.normal(0.0, 0.02, (n, 1, side, side)).astype(np.float32)
    image = dark + (light - dark) * mix + grain
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def _draw(rng: np.random.Generator, n: int, low: float, high: float) -> FloatArray:
    return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)


def _wave(phase: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """A soft square wave of period 1, 0 to 1."""
    return np.asarray(0.5 + 0.5 * np.tanh(4 * np.sin(2 * np.pi * phase)), dtype=np.float32)


def _stripes(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    return _wave(u)


def _checks(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    return np.asarray(0.5 + 0.5 * np.tanh(6 * np.sin(np.pi * u) * np.sin(np.pi * v)), dtype=np.float32)


def _dots(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    distance = np.hypot(u - np.round(u), v - np.round(v))
    return np.asarray(0.5 + 0.5 * np.tanh(20 * (0.3 - distance)), dtype=np.float32)


def _rings(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    return _wave(1.5 * np.hypot(u, v))


def _rays(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    spokes = rng.integers(4, 9, (len(u), 1, 1))
    return _wave(spokes * np.arctan2(v, u) / (2 * np.pi))


def _bricks(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    course = np.floor(2 * v)
    along = u + 0.5 * (course % 2)
    joint = np.minimum(np.abs(along - np.round(along)), np.abs(2 * v - np.round(2 * v)) / 2)
    return np.asarray(0.5 + 0.5 * np.tanh(30 * (0.08 - joint)), dtype=np.float32)


def _zigzags(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    return _wave(1.5 * u + np.abs(v - np.round(v)) * 2)


def _plaids(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    return np.asarray((_wave(u) + _wave(v)) / 2, dtype=np.float32)


def _blobs(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The sign of a sum of random waves."""
    total = np.zeros_like(u)
    for _ in range(6):
        angle, phase = _draw(rng, len(u), 0, 2 * np.pi), _draw(rng, len(u), 0, 2 * np.pi)
        total += np.sin(2 * np.pi * 0.8 * (u * np.cos(angle) + v * np.sin(angle)) + phase)
    return np.asarray(0.5 + 0.5 * np.tanh(2 * total), dtype=np.float32)


def _cells(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Borders of the cells around one random point in each unit square, from the distances to the two nearest."""
    column, row = np.floor(u), np.floor(v)
    salt = rng.uniform(1, 2, (len(u), 1, 1)).astype(np.float32)
    nearest, second = np.full_like(u, 9.0), np.full_like(u, 9.0)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            a, b = column + i, row + j
            point_x, point_y = a + _scramble(a, b, salt), b + _scramble(b, a, salt + 1)
            distance = np.hypot(u - point_x, v - point_y)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    return np.asarray(0.5 + 0.5 * np.tanh(15 * (0.12 - (second - nearest))), dtype=np.float32)


def _scramble(a: FloatArray, b: FloatArray, salt: FloatArray) -> FloatArray:
    """A number in [0, 1) for each cell."""
    value = np.sin(a * 12.99 * salt + b * 78.23) * 437.585
    return np.asarray(value - np.floor(value), dtype=np.float32)


PATTERNS: dict[str, Pattern] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "rings": _rings,
    "rays": _rays,
    "bricks": _bricks,
    "zigzags": _zigzags,
    "plaids": _plaids,
    "blobs": _blobs,
    "cells": _cells,
}
CLASSES = tuple(PATTERNS)
