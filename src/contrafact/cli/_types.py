"""How the command line reads and shows types: NAME, NUMBER, FILE and FOLDER in the help, and one plain line where a
value is of another type, an option is unknown or something is missing."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

Spec = PrimitiveConstructorSpec[Any]


def _one(metavar: str, kind: type[Any], read: Callable[[str], Any]) -> Spec:
    """A value of one word."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


def _number(read: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    def number(word: str) -> Any:
        try:
            return read(word)
        except ValueError:
            raise ValueError(f"expected {what}, got {word!r}") from None

    return number


Folder = Annotated[Path, _one("FOLDER", Path, Path)]
"""A path that the help calls a folder; a plain ``Path`` it calls a file."""
FileOrFolder = Annotated[Path, _one("PATH", Path, Path)]
"""A path that may be either."""

_SPECS: dict[Any, Spec] = {
    int: _one("NUMBER", int, _number(int, "a whole number")),
    float: dataclasses.replace(
        _one("NUMBER", float, _number(float, "a number")),
        is_instance=lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    ),
    str: _one("NAME", str, str),
    Path: _one("FILE", Path, Path),
}


def registry() -> ConstructorRegistry:
    """How the parser reads and shows types, where not its own way."""
    found = ConstructorRegistry()
    for rule in (_plain, _choice, _several, _may_be_left_out):
        found.primitive_rule(rule)
    return found


def _inner(kind: Any, info: PrimitiveTypeInfo) -> Spec | None:
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
    return spec if isinstance(spec, PrimitiveConstructorSpec) else None


def _plain(info: PrimitiveTypeInfo) -> Spec | None:
    return _SPECS.get(info.type) if isinstance(info.type, type) else None


def _choice(info: PrimitiveTypeInfo) -> Spec | None:
    """A ``Literal``: one of a few words."""
    if get_origin(info.type) is not Literal:
        return None
    values = {str(value): value for value in get_args(info.type)}

    def read(words: list[str]) -> Any:
        if words[0] not in values:
            raise ValueError(f"expected one of {', '.join(values)}, got {words[0]!r}")
        return values[words[0]]

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(values) + "}",
        instance_from_str=read,
        is_instance=lambda value: value in values.values(),
        str_from_instance=lambda value: [str(value)],
    )


def _several(info: PrimitiveTypeInfo) -> Spec | None:
    """A tuple: so many values, or any number of them."""
    if get_origin(info.type) is not tuple or tyro.conf.UseAppendAction in info.markers:
        return None
    parts = get_args(info.type)
    is_open = len(parts) == 2 and parts[1] is ...
    specs = [_inner(part, info) for part in (parts[:1] if is_open else parts)]
    if not specs or any(spec is None or spec.nargs != 1 for spec in specs):
        return None
    known = [spec for spec in specs if spec is not None]

    def each(values: Any) -> Iterator[tuple[Spec, Any]]:
        return zip(known * len(values) if is_open else known, values, strict=False)

    return PrimitiveConstructorSpec(
        nargs="*" if is_open else len(known),
        metavar=f"[{known[0].metavar} ...]" if is_open else " ".join(spec.metavar for spec in known),
        instance_from_str=lambda words: tuple(spec.instance_from_str([word]) for spec, word in each(words)),
        is_instance=lambda value: (
            isinstance(value, tuple) and all(spec.is_instance(part) for spec, part in each(value))
        ),
        str_from_instance=lambda value: [word for spec, part in each(value) for word in spec.str_from_instance(part)],
    )


def _may_be_left_out(info: PrimitiveTypeInfo) -> Spec | None:
    """``int | None`` is shown as NUMBER, and its default None as "not set", for ``{None}|INT`` helps nobody.

    ``None`` is still read: it takes back what a preset sets.
    """
    options = get_args(info.type)
    if get_origin(info.type) in (Union, UnionType) and any(map(is_module, options)):
        return _module_or_name(options)
    if get_origin(info.type) not in (Union, UnionType) or type(None) not in options:
        return None
    rest: Any = Union[tuple(option for option in options if option is not type(None))]  # noqa: UP007 - at run time
    spec = _inner(rest, info)
    if spec is None:
        return None
    none, shown = ["None"], ["not", "set"]
    return dataclasses.replace(
        spec,
        instance_from_str=lambda words: None if words in (none, shown) else spec.instance_from_str(words),
        str_from_instance=lambda value: shown if value is None else spec.str_from_instance(value),
        is_instance=lambda value: value is None or spec.is_instance(value),
        choices=None if spec.choices is None else (*spec.choices, *none),
    )


def is_module(kind: Any) -> bool:
    """Whether a type is torch's modules; where torch is not loaded, none is."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(kind, type) and issubclass(kind, torch.nn.Module)


def _module_or_name(options: tuple[Any, ...]) -> Spec:
    """A network by one of the names there are, or ``FILE.py:NAME``, which stays a text for whoever loads it.

    Any other text is read, too: what refuses it then knows the nearest name.
    """
    names = [str(name) for option in options if get_origin(option) is Literal for name in get_args(option)]
    absent = ["not", "set"]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="|".join([*(["{" + ",".join(names) + "}"] if names else []), "FILE.py:NAME"]),
        instance_from_str=lambda texts: None if texts == ["None"] and type(None) in options else texts[0],
        is_instance=lambda value: value is None or isinstance(value, str) or is_module(type(value)),
        str_from_instance=lambda value: absent if value is None else [str(value)],
    )


# -- what the parser refuses -------------------------------------------------------------------------------------------

_EDGE = ("╭", "╰", "+-")
_RULE = re.compile(r"^[│|\s]*[─-]{5,}[│|\s]*$", re.MULTILINE)


@contextmanager
def refusing_in_a_line(command: str) -> Iterator[None]:
    """Within the block what the parser refuses is a ValueError of one line, not a box on stderr.

    Args:
        command: whose arguments are parsed: ``fit vae``.

    Raises:
        ValueError: naming the option, what was expected and what came.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as stopped:
        if stopped.code != 2:
            raise
        raise ValueError(f"{_line(said.getvalue(), command)} (contrafact {command} --help)") from None


def _line(box: str, command: str) -> str:
    """What a box of the parser's says, in a line."""
    lines = [line.strip() for line in box.splitlines()]
    has_edges = any(line.startswith(_EDGE) for line in lines)  # else the title stands in a section of its own
    text = "\n".join(line.strip("│| ") for line in lines if not line.startswith(_EDGE))
    sections = [part for part in (" ".join(part.split()) for part in _RULE.split(text)) if part]
    first, *others = sections if has_edges or len(sections) == 1 else sections[1:]
    if wrong := re.fullmatch(r"Error parsing (\S+?): (.*)", first):
        return f"{wrong[1]}: {wrong[2]}"
    if unknown := re.fullmatch(r"Unrecognized (?:or misspelled )?options: (.*)", first):
        return _unknown(unknown[1].split(", "), others)
    if needs := re.match(r"Missing value for argument '?(--[\w-]+)'?\. Expected (\d+) values?", first):
        return f"{needs[1]}: expected {'a value' if needs[2] == '1' else f'{needs[2]} values'}, got too few"
    if missing := re.fullmatch(r"Missing from (?:contrafact )?.+?: (.*)", first):
        needed = re.findall(r"(\S+) (.*?)\.? \(required\)", missing[1])
        return f"{command} needs {', '.join(f'{name} ({what})' for name, what in needed) or missing[1]}"
    return first


def _unknown(words: list[str], others: list[str]) -> str:
    option = next((word for word in words if word.startswith("-")), None)
    if option is None:
        return f"there is no place for {' '.join(map(repr, words))}: more values than expected"
    known = [word for part in others for word in re.findall(r"--[a-z][\w-]*", part) if word != "--help"]
    hint = f"; did you mean {known[0]}?" if known else ""
    return f"unknown option {option}{hint}"
