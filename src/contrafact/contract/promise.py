"""A promise kept or broken: how checks say so, and how they are run one after the other."""

from __future__ import annotations

import inspect
import re
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from contrafact.core.catalog import PACKAGE_ROOT
from contrafact.core.foreign import first_line

Subject = TypeVar("Subject")


class Broken(AssertionError):
    """An item does not do what its kind promises; the text says what to do."""


@dataclass(frozen=True)
class Outcome:
    """One check's result.

    Attributes:
        promise: what is promised, as a sentence.
        kept: whether it is.
        advice: what to do where it is not.
    """

    promise: str
    kept: bool
    advice: str = ""


def expect(condition: object, advice: str) -> None:
    """Raise :class:`Broken` with ``advice`` unless ``condition``."""
    if not condition:
        raise Broken(advice)


def expect_refusal(call: Callable[[], object], pattern: str, advice: str) -> None:
    """Expect that ``call`` raises a ValueError whose text has ``pattern`` (a regular expression) in it."""
    try:
        call()
    except ValueError as error:
        expect(re.search(pattern, str(error)), f"{advice}; its message was {str(error)!r}, expected {pattern!r} in it")
    else:
        raise Broken(f"{advice}; it raised nothing, expected a ValueError with {pattern!r} in its message")


def outcomes(checks: Iterable[Callable[[Subject], None]], subject: Subject) -> list[Outcome]:
    """Run checks on a subject, each whatever the others found."""
    return [_outcome(check, subject) for check in checks]


def promise_of(check: Callable[..., Any]) -> str:
    """What a check checks: the first line of its docstring."""
    return (inspect.getdoc(check) or check.__name__).partition("\n")[0].removesuffix(".").replace("``", "`")


def _outcome(check: Callable[[Subject], None], subject: Subject) -> Outcome:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(subject)
    except Broken as broken:
        return Outcome(promise_of(check), False, str(broken))
    except Exception as error:  # the documented border: it is somebody's code that runs
        return Outcome(promise_of(check), False, f"{type(error).__name__}: {first_line(error)}{_place(error)}")
    return Outcome(promise_of(check), True)


def _place(error: BaseException) -> str:
    """The last line of somebody's own code that an error went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _is_own(file: str) -> bool:
    return not file.startswith((str(PACKAGE_ROOT), "<")) and "site-packages" not in file
