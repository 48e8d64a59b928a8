"""One bad file from a good one: damage to its bytes, and damage that knows the format."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.containers import damage_gzip, damage_npy, damage_safetensors, damage_tar, damage_zip
from tests.fuzz.pickles import damage_pickle, hostile_pickle
from tests.fuzz.structures import damage_h5, damage_mat, damage_png
from tests.fuzz.texts import damage_json, damage_lines, damage_text

Change = Callable[[random.Random, bytes], bytes]

_NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**40,
    2**62,
    2**63,
    2**64 - 1,
)

_MOST_BYTES = 2**25

FAILED = "could not"
"""Begins the recipe of a file that a change knowing its format failed on: a fault of the harness."""


@dataclass(frozen=True)
class Bad:
    """A bad file's content, None for a folder in its place; how it was made; whether it must be refused."""

    content: bytes | None
    recipe: str
    must_be_refused: bool = False


def mutate(rng: random.Random, victim: Path, others: Sequence[Path]) -> Bad:
    """A bad file in place of ``victim``."""
    data = victim.read_bytes()
    fate = rng.random()
    if fate < 0.01:
        return Bad(None, "a folder in its place")
    if fate < 0.02:
        return Bad(b"", "empty")
    if fate < 0.03:
        return Bad(rng.randbytes(rng.randrange(1, 5000)), "noise")
    if fate < 0.07:
        other = rng.choice(others)
        return Bad(_splice(rng, data, other.read_bytes()), f"spliced with {other.name}")
    if fate < 0.10 and victim.suffix in (".pkl", ".pt", ".pth", ".bin", ""):
        return Bad(hostile_pickle(rng), "a hostile pickle")
    if victim.suffix == ".h5" and fate < 0.5:
        content, recipe, outside = damage_h5(rng, victim)
        return Bad(content, recipe, outside)
    recipes: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        damage = rng.choice(_knowing(victim.name, data)) if fate < 0.65 else _damage_bytes
        name = damage.__name__
        try:
            data = damage(rng, data)
        except Exception as error:  # what is damaged already may not parse any more; a good file must
            name = "_damage_bytes" if recipes else f"{FAILED} {name} ({type(error).__name__}: {error})"
            data = _damage_bytes(rng, data)
        recipes.append(name)
        data = data[:_MOST_BYTES]
        if not data:
            break
    return Bad(data, ", ".join(recipes))


def _knowing(name: str, data: bytes) -> list[Change]:
    """Ways to damage content of this format."""
    if data[:1] == b"\x80":
        return [damage_pickle]
    if data[:2] == b"PK":
        return [_damage_zip]
    if data[:2] == b"\x1f\x8b":
        return [damage_tar if ".tar" in name else _damage_gzip]
    if data[:6] == b"\x93NUMPY":
        return [damage_npy]
    if data[8:9] == b"{" and name.endswith(".safetensors"):
        return [damage_safetensors]
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return [damage_png]
    if data[:6] == b"MATLAB":
        return [damage_mat]
    if name.endswith(".json"):
        return [damage_json]
    if name.endswith(".jsonl"):
        return [damage_lines]
    if name.endswith((".csv", ".txt", ".tsv", ".yaml", ".yml")):
        return [damage_text]
    return [_damage_bytes]


def damage_inside(rng: random.Random, name: str, data: bytes) -> bytes:
    """Damage to a member of an archive, by its own format where it is known."""
    return rng.choice([*_knowing(name, data), _damage_bytes])(rng, data)


def _damage_zip(rng: random.Random, data: bytes) -> bytes:
    return damage_zip(rng, data, damage_inside)


def _damage_gzip(rng: random.Random, data: bytes) -> bytes:
    return damage_gzip(rng, data, damage_inside)


def _damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """Damage that knows nothing: flips, numbers, cuts, doubles, gaps."""
    if not data:
        return rng.randbytes(8)
    return rng.choice((_flip, _flip, _overwrite, _overwrite, _numbers, _cut, _double, _gap, _swap))(rng, data)


def _place(rng: random.Random, data: bytes) -> int:
    """Half of them where headers lie, at the beginning or the end."""
    near = min(len(data), 512)
    choice = rng.random()
    if choice < 0.35:
        return rng.randrange(near)
    return len(data) - 1 - rng.randrange(near) if choice < 0.5 else rng.randrange(len(data))


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[_place(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    place, length = _place(rng, data), rng.choice((1, 2, 4, 16, 256))
    filling = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    changed[place : place + length] = filling[: len(data) - place]
    return bytes(changed)


def _numbers(rng: random.Random, data: bytes) -> bytes:
    """What may be a length becomes another one."""
    changed = bytearray(data)
    size = rng.choice((2, 4, 8))
    if len(data) < size:
        return data[:-1]
    place = min(_place(rng, data), len(data) - size)
    order = rng.choice(("<", ">"))
    code = order + {2: "H", 4: "I", 8: "Q"}[size]
    (old,) = struct.unpack_from(code, changed, place)
    value = rng.choice((*_NUMBERS, old + 1, old - 1, old * 2, old + 2**31)) % 2 ** (8 * size)
    struct.pack_into(code, changed, place, value)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((_place(rng, data), rng.randrange(len(data)), len(data) - 1))]


def _double(rng: random.Random, data: bytes) -> bytes:
    first, length = _place(rng, data), rng.choice((1, 4, 64, 1024, min(len(data), 2**18)))
    return data[: first + length] + data[first : first + length] * rng.choice((1, 2, 20)) + data[first + length :]


def _gap(rng: random.Random, data: bytes) -> bytes:
    first = _place(rng, data)
    return data[:first] + data[first + rng.choice((1, 4, 64, 1024)) :]


def _swap(rng: random.Random, data: bytes) -> bytes:
    first, second = sorted((_place(rng, data), _place(rng, data)))
    length = min(second - first, rng.choice((4, 64, 1024)))
    one, two = data[first : first + length], data[second : second + length]
    return data[:first] + two + data[first + length : second] + one + data[second + length :]


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    if rng.random() < 0.3:
        return other
    first = rng.randrange(len(data) + 1)
    return data[:first] + other[rng.randrange(len(other) + 1) :]
