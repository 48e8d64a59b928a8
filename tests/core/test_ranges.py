"""Ranges of options: what is let through, what is refused, and in which words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from torch import nn

from contrafact.core.ranges import (
    Count,
    Keep,
    Range,
    Rate,
    Share,
    SizeOrZero,
    Steps,
    check_ranges,
    check_value,
    checked_later,
)


@dataclass(frozen=True)
class Options:
    steps: Steps | None = None
    learning_rate: Rate = 0.1
    drops: tuple[Steps, ...] = ()
    size: tuple[int, int] | None = None
    kind: Annotated[Literal["conv", "resnet"], nn.Module] = "conv"
    name: str | None = None
    out: Path | None = None
    quiet: bool = False
    labels: float | Path | None = None

    def __post_init__(self) -> None:
        check_ranges(self)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0; give another --steps"),
        ({"steps": 10**20}, "steps must be at most 1,099,511,627,776, got 100000000000000000000"),
        ({"steps": True}, "steps must be a whole number, got True"),
        ({"steps": 3.0}, "steps must be a whole number, got 3.0"),
        ({"steps": "abc"}, "steps must be a whole number, got 'abc'"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0; give another --learning-rate"),
        ({"learning_rate": -0.1}, "learning_rate must be above 0, got -0.1"),
        ({"learning_rate": 1e20}, "learning_rate must be at most 1,000, got 1e"),
        ({"learning_rate": math.nan}, "learning_rate must be a finite number, got nan"),
        ({"learning_rate": -math.inf}, "learning_rate must be a finite number, got -inf"),
        ({"learning_rate": True}, "learning_rate must be a number, got True"),
        ({"learning_rate": None}, "learning_rate must be a number, got None"),
        ({"drops": (5, 0)}, "each of drops must be a whole number of at least 1, got 0"),
        ({"drops": "abc"}, "drops must be a list, got 'abc'"),
        ({"size": (1, 2, 3)}, "size must hold 2 values, got 3"),
        ({"kind": "cnov"}, "unknown kind 'cnov'; did you mean 'conv'"),
        ({"kind": None}, "unknown kind 'None'"),
        ({"name": " "}, "name must not be empty"),
        ({"name": 3}, "name must be text, got 3"),
        ({"out": 3}, "out must be a path, got 3"),
        ({"quiet": 1}, "quiet must be True or False, got 1"),
        ({"labels": math.nan}, "labels must be a path, got nan"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Options(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": None},
        {"steps": 1 << 40},
        {"learning_rate": 1},
        {"drops": (1, 2)},
        {"size": (0, -4)},
        {"kind": nn.Identity()},
        {"out": "a/b"},
        {"labels": 0.5},
        {"labels": Path("labels.csv")},
    ],
)
def test_what_is_let_through_is_kept_as_it_is(fields):
    made = Options(**fields)
    for name, value in fields.items():
        assert getattr(made, name) is value


def test_numbers_of_numpy_become_pythons_and_lists_become_tuples():
    made = Options(steps=np.int64(3), learning_rate=np.float32(0.5), drops=[1, 2], quiet=np.bool_(True))
    assert [type(v) for v in (made.steps, made.learning_rate, made.drops, made.quiet)] == [int, float, tuple, bool]
    assert made == Options(steps=3, learning_rate=0.5, drops=(1, 2), quiet=True)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Share, 1.5, r"x must lie in \[0, 1\], got 1.5"),
        (Keep, 1.0, r"x must lie in \[0, 1\), got 1.0"),
        (Annotated[float, Range(above=0, at_most=0.5)], 0.0, r"x must lie in \(0, 0.5\], got 0.0"),
        (Annotated[float, Range(below=9)], 9.0, "x must be below 9, got 9.0"),
        (SizeOrZero, -1, "x must be a whole number of at least 0, got -1"),
        (Count, 2**31, "x must be at most 2,147,483,647, got 2147483648"),
    ],
)
def test_every_kind_of_bound_is_said(hint, value, message):
    with pytest.raises(ValueError, match=message):
        check_value("x", value, hint)


def test_a_parser_may_ask_for_the_checks_afterwards():
    with checked_later():
        made = Options(steps=0)
    with pytest.raises(ValueError, match="steps must be"):
        check_ranges(made)


def test_options_of_no_command_are_not_spelled_as_one():
    with checked_later():
        made = Options(steps=0)
    with pytest.raises(ValueError, match=r"got 0$"):
        check_ranges(made, spelled=False)
