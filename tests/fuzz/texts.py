"""Damage to texts: JSON by its values' types, tables by their cells."""

from __future__ import annotations

import json
import random
from typing import Any


def strange_value(rng: random.Random) -> Any:
    """A JSON value where another one belongs."""
    return rng.choice(
        (
            *(
                None,
                True,
                False,
                -1,
                0,
                1,
                3,
                2**31,
                2**31 - 1,
                2**63,
                -(2**63),
                10**30,
                10**400,
                0.5,
                -0.0,
                1e308,
                1e-308,
            ),
            *(float("nan"), float("inf"), "", "x", "0", "nan", "x" * 5000, "../../etc/passwd", "/etc/passwd", "\ud800"),
            *(
                "\0",
                "a\nb",
                [],
                {},
                [[]],
                [None],
                [0] * 3,
                [2**31] * 4,
                ["x"] * 3,
                {"": None},
                {"x": [1, 2]},
                [0] * 20_000,
            ),
            _nested(60),
        )
    )


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def change_value(rng: random.Random, value: Any) -> Any:
    """``value`` with one part of it another: of another type, another size, another name, or gone."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value, key=str))
        how = rng.random()
        changed = dict(value)
        if how < 0.12:
            del changed[key]
        elif how < 0.2:
            changed[rng.choice(("", "x", f"{key} ", str(key).upper()))] = changed.pop(key)
        elif how < 0.25:
            changed[rng.choice(("x", "size", "path", "self", "__class__"))] = strange_value(rng)
        else:
            changed[key] = change_value(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        place, how = rng.randrange(len(value)), rng.random()
        if how < 0.15:
            return value[:place] + value[place + 1 :]
        if how < 0.3:
            return value[:place] + [value[place]] * rng.choice((2, 50)) + value[place + 1 :]
        return [*value[:place], change_value(rng, value[place]), *value[place + 1 :]]
    near: list[Any] = []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        near = [
            value + 1,
            value - 1,
            -value,
            value * 1000,
            value * 10**6,
            float(min(value, 10**300)),
            str(value),
            [value],
        ]
    elif isinstance(value, str):
        near = [value + "x", value[:-1], value.upper(), [value], {value: value}]
    elif isinstance(value, list):
        near = [*([tuple(value)] if value else []), {str(i): v for i, v in enumerate(value)}, str(value)]
    return rng.choice([*near, strange_value(rng), strange_value(rng)])


def bomb_text(rng: random.Random) -> str:
    """JSON that costs more than it looks."""
    return rng.choice(
        (
            "[" * 100_000 + "]" * 100_000,
            '{"a":' * 100_000 + "1" + "}" * 100_000,
            "[" * 1_000_000,
            "9" * 10_000,
            "-" + "9" * 400_000,
            '{"a": 1, "a": [2], "a": {}}',
            "NaN",
            "1e999999",
            '"\\ud800"',
            "[" + "0," * 500_000 + "0]",
        )
    )


def damage_json(rng: random.Random, data: bytes) -> bytes:
    """JSON with another value somewhere, or text that is hard on parsers."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data[: len(data) // 2]
    how = rng.random()
    if how < 0.1:
        return bomb_text(rng).encode("utf-8", "surrogatepass")
    if how < 0.2 and isinstance(value, dict) and value:
        key = json.dumps(rng.choice(sorted(value)))
        return f"{{{key}: {bomb_text(rng)}, {json.dumps(value)[1:]}".encode("utf-8", "surrogatepass")
    if how < 0.25:
        return json.dumps(value).encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "cp037")))
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = change_value(rng, value)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def damage_lines(rng: random.Random, data: bytes) -> bytes:
    """One line of JSON lines damaged, doubled, gone or cut."""
    lines = data.splitlines(keepends=True) or [b"{}\n"]
    place, how = rng.randrange(len(lines)), rng.random()
    if how < 0.75:
        lines[place] = damage_json(rng, lines[place]) + b"\n"
    elif how < 0.85:
        lines.insert(place, rng.choice((b"\n", b"null\n", b"[]\n", b"3\n", b"\xff\xfe\n", b"\0\0\0\n")))
    else:
        lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
    return b"".join(lines)


_CELLS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "-1",
        "0",
        "1",
        "2",
        "9" * 30,
        "9" * 5000,
        "1.5",
        "0x10",
        "1_0",
        "١",
        "x",
    ),
    *('"', '"a""b', "a\nb", "\0", "\ufeff", "\u2028", "a" * 200_000, "=cmd|'/c calc'!A1", "../../x.png", "/etc/passwd"),
)


def damage_text(rng: random.Random, data: bytes) -> bytes:
    """A table's cells, separators, lines and encoding."""
    text = data.decode("utf-8", "replace")
    how = rng.random()
    if how < 0.1:
        return text.encode(rng.choice(("utf-16", "latin-1", "utf-8-sig", "cp037")), "replace")
    if how < 0.2:
        return text.replace(
            rng.choice((",", "\n", " ", "  ")), rng.choice((";", "\r", "\t", "\0", "", "\r\n"))
        ).encode()
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    if how < 0.35:
        lines[place : place + 1] = rng.choice(([], [lines[place]] * 2, [""], [lines[place][:2000]] * 1000, [","]))
        return "\n".join(lines).encode()
    separator = "," if "," in lines[place] else None
    cells = lines[place].split(separator) or [""]
    cell, what = rng.randrange(len(cells)), rng.random()
    if what < 0.7:
        cells[cell] = rng.choice(_CELLS)
    elif what < 0.85:
        del cells[cell]
    else:
        new = rng.choice(_CELLS)
        cells[cell:cell] = [new] * rng.choice((1, 1, 5000 if len(new) < 100 else 2))
    lines[place] = (separator or " ").join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")
