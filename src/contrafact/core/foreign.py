"""Reading what somebody else may have written: whatever goes wrong is one ``ValueError`` that names the file.

Every reader of files opens them inside :func:`reading`. It is the border at which the many ways in which damaged bytes
make a parser fail (an index, a key, a decompressor, the stack, the memory) become one sentence for the user.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any

MOST_JSON_BYTES = 32 * 2**20
"""JSON beyond this is no description of anything here; a short text may stand for thirty times its size in memory."""

_DEEPEST, _LONGEST_NUMBER = 64, 64


@contextmanager
def reading(path: object, what: str, remedy: str = "get it again") -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one ValueError.

    Args:
        path: the file, or whatever else names it in the message.
        what: what it should be, after "damaged or no": ``npz file``.
        remedy: what to do.

    Raises:
        ValueError: ``PATH is damaged or no WHAT (first line of the error); get it again``, or that the system cannot
            read it. ValueErrors that say already what was expected pass.

    >>> with reading("a.npz", "npz file"):
    ...     {}["imgs"]
    Traceback (most recent call last):
    ValueError: a.npz is damaged or no npz file (KeyError: 'imgs'); get it again
    """
    try:
        yield
    except (UnicodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged or no {what} ({first_line(error)}); {remedy}") from error
    except (ValueError, ImportError):  # a package that is not installed is not the file's fault
        raise
    except OSError as error:
        if error.errno is not None and error.strerror and "\n" not in error.strerror:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from error
        raise ValueError(f"{path} is damaged or no {what} ({first_line(error)}); {remedy}") from error
    except Exception as error:  # the documented border: damaged bytes make parsers fail in any way
        raise ValueError(f"{path} is damaged or no {what} ({first_line(error)}); {remedy}") from error


def first_line(error: BaseException) -> str:
    """An error in one line of at most 200 characters; its type too where the text alone says nothing.

    >>> first_line(MemoryError()), first_line(KeyError("images"))
    ('MemoryError', "KeyError: 'images'")
    """
    text = str(error).strip().partition("\n")[0][:200]
    if not text or isinstance(error, LookupError):
        return f"{type(error).__name__}: {text}".removesuffix(": ")
    return text


def parse_json(
    text: str | bytes,
    where: object,
    remedy: str = "it may be cut short or another kind of file",
    finite: bool = True,
) -> Any:
    """The value of a JSON text of any origin: no text exhausts the stack or the memory.

    Args:
        text: the text, or its UTF-8 bytes.
        where: file and line, for the message.
        remedy: what to do.
        finite: refuse NaN and infinity; False for other programs' files, where one setting must not spoil the rest.

    Raises:
        ValueError: not JSON, NaN or infinity in it, a number of more than 64 digits, nested more than 64 deep, or
            longer than :data:`MOST_JSON_BYTES`.

    >>> parse_json("[" * 100_000, "config.json", remedy="remove it")
    Traceback (most recent call last):
    ValueError: config.json is not valid JSON (it is nested more than 64 deep); remove it
    """
    try:
        if len(text) > MOST_JSON_BYTES:
            raise ValueError(f"it is longer than {MOST_JSON_BYTES // 2**20} MiB")
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        value = json.loads(
            decoded,
            parse_int=_integer,
            parse_float=_finite if finite else float,
            parse_constant=_no_constant if finite else float,
        )
        # A text with few brackets cannot be deep.
        if isinstance(value, dict | list) and decoded.count("[") + decoded.count("{") > _DEEPEST:
            _check_depth(value)
    except RecursionError as error:
        raise ValueError(f"{where} is not valid JSON (it is nested more than {_DEEPEST} deep); {remedy}") from error
    except (ValueError, MemoryError) as error:
        raise ValueError(f"{where} is not valid JSON ({first_line(error)}); {remedy}") from error
    return value


def plain_value(text: str) -> Any:
    """A value as people write it: JSON, or the None, True and False of Python and YAML, else the text itself.

    >>> [plain_value(text) for text in ("256", "[1, 3, 3, 1]", "None", "True", "relu", '"1"')]
    [256, [1, 3, 3, 1], None, True, 'relu', '1']
    """
    words = {"None": None, "none": None, "~": None, "True": True, "False": False}
    if text in words:
        return words[text]
    try:
        return parse_json(text, "value")
    except ValueError:
        return text


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is infinite")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            part
            for parent in level
            for part in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(part, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


Kind = type[Any] | UnionType


def check_fields(value: Any, fields: Mapping[str, Kind], where: object, remedy: str) -> dict[str, Any]:
    """``value`` if it is a JSON object whose named fields are of the named types.

    Args:
        value: what was parsed.
        fields: type of each field; one that allows None may be missing.
        where: file and line, for the message.
        remedy: what to do.

    Raises:
        ValueError: names the first field that is missing or of another type.

    >>> check_fields({"step": "3"}, {"step": int | float}, "log.jsonl, line 1", "delete it")
    Traceback (most recent call last):
    ValueError: log.jsonl, line 1: 'step' must be a number, got '3'; delete it
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object with {', '.join(fields)}, got {_short(value)}; {remedy}")
    for name, kind in fields.items():
        found = value.get(name)
        # Python counts a truth value among the whole numbers.
        if not isinstance(found, kind) or (isinstance(found, bool) and bool not in _parts(kind)):
            got = f"got {_short(found)}" if name in value else "but it is missing"
            raise ValueError(f"{where}: {name!r} must be {_called(kind)}, {got}; {remedy}")
    return value


_NAMES: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    bool: "true or false",
    NoneType: "null",
}


def _called(kind: Kind) -> str:
    parts = _parts(kind)
    if int in parts and float in parts:
        parts.remove(int)
    return " or ".join(_NAMES[part] for part in parts)


def _parts(kind: Kind) -> list[Any]:
    return list(getattr(kind, "__args__", (kind,)))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
