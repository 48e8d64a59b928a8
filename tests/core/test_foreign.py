import gzip
import json
import math
import os
import zlib

import pytest

from contrafact.core.files import read_json, read_json_lines
from contrafact.core.foreign import check_fields, first_line, parse_json, reading


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("imgs"), "f.npz is damaged or no archive (KeyError: 'imgs'); get it again"),
        (IndexError("list index out of range"), "f.npz is damaged or no archive (IndexError: list index out of range)"),
        (MemoryError(), "f.npz is damaged or no archive (MemoryError)"),
        (RecursionError("maximum recursion depth"), "f.npz is damaged or no archive (maximum recursion depth)"),
        (OverflowError("too large"), "f.npz is damaged or no archive (too large)"),
        (zlib.error("Error -3\nmore"), "f.npz is damaged or no archive (Error -3); get it again"),
        (EOFError(), "f.npz is damaged or no archive (EOFError)"),
        (gzip.BadGzipFile("Not a gzipped file"), "f.npz is damaged or no archive (Not a gzipped file)"),
        (PermissionError(13, "Permission denied"), "f.npz cannot be read (Permission denied)"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "f.npz is damaged or no archive ('utf-8' codec"),
        (ValueError("our own words"), "our own words"),
    ],
)
def test_whatever_goes_wrong_is_one_sentence(error, message):
    with pytest.raises(ValueError) as caught, reading("f.npz", "archive"):  # noqa: PT011
        _raise(error)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_user_may_still_interrupt():
    with pytest.raises(KeyboardInterrupt), reading("f.npz", "archive"):
        raise KeyboardInterrupt


def test_a_long_message_is_cut():
    assert len(first_line(RuntimeError("x" * 10_000))) == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested more than 64 deep"),
        ("[" * 100 + "]" * 100, "nested more than 64 deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested more than 64 deep"),
        ("1" * 1_000_000, "a number of 1000000 digits"),
        ("[1e999]", "the number 1e999 is infinite"),
        ("[NaN]", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("{", "Expecting property name"),
        (b"\xff\xfe{", "codec can't decode"),
        (" " * (33 * 2**20), "longer than 32 MiB"),
    ],
)
def test_no_text_exhausts_the_parser(text, message):
    with pytest.raises(ValueError, match=f"config.json is not valid JSON .*{message}.*; remove it"):
        parse_json(text, "config.json", "remove it")


def test_what_python_alone_would_do_with_a_deep_text():
    with pytest.raises(RecursionError):
        json.loads("[" * 100_000)


def test_odd_but_harmless_json_is_read():
    assert parse_json(b'\xef\xbb\xbf{"a": 1, "a": 2}', "x") == {"a": 2}
    wide = [[[]] * 10] * 100
    assert parse_json(json.dumps(wide), "x") == wide
    state = {"state": 2**127 + 1}
    assert parse_json(json.dumps(state), "x") == state


def test_other_programs_may_write_nan():
    found = parse_json('{"lr": NaN, "most": Infinity, "n": 3}', "args.json", finite=False)
    assert math.isnan(found["lr"])
    assert (found["most"], found["n"]) == (math.inf, 3)


def test_json_that_cannot_be_opened(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\)"):
        read_json(tmp_path)


def test_lines_and_their_numbers(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('1\n\n{"a": 2}\n{"a"')
    assert read_json_lines(path, "go", last_may_be_cut=True) == [(1, 1), (3, {"a": 2})]
    with pytest.raises(ValueError, match=r"log.jsonl, line 4, is not valid JSON .*; go"):
        read_json_lines(path, "go")
    with open(path, "wb") as file:
        os.truncate(file.fileno(), 129 * 2**20)
    with pytest.raises(ValueError, match=r"log.jsonl is longer than 128 MiB; go"):
        read_json_lines(path, "go")


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([1], str, r"f: expected an object with a, got \[1\]; mend it"),
        ({}, str, "f: 'a' must be a text, but it is missing; mend it"),
        ({"a": 1}, str, "f: 'a' must be a text, got 1; mend it"),
        ({"a": None}, int, "f: 'a' must be a whole number, got None; mend it"),
        ({"a": True}, int, "f: 'a' must be a whole number, got True; mend it"),
        ({"a": True}, int | float, "f: 'a' must be a number, got True; mend it"),
        ({"a": 1}, dict | None, "f: 'a' must be an object or null, got 1; mend it"),
    ],
)
def test_fields_of_the_wrong_type_are_named(value, kind, message):
    with pytest.raises(ValueError, match=message):
        check_fields(value, {"a": kind}, "f", "mend it")


def test_fields_that_fit_pass():
    value = {"a": 1, "b": None, "d": True}
    assert check_fields(value, {"a": int | float, "b": str | None, "c": list | None, "d": bool}, "f", "") is value
