"""What cannot be drawn becomes a note in the page: one figure must not cost the others.

A report is written long after its run, from data that may have gone and from codes of any kind; the libraries that draw
raise nearly anything on input they did not expect. So whatever a figure raises ends here, as a note with the reason and
as a :class:`ReportWarning`. What a user can mend by calling differently is checked before anything is drawn.
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Callable
from typing import TypeVar

Drawn = TypeVar("Drawn")

_FOLDERS = re.compile(r"(?<![\w/.])~?/(?:[^\s/]+/)+")
"""Folders before a file's name: a page that is passed on does not say where its author's files lie."""


class ReportWarning(UserWarning):
    """A part of a report could not be drawn; the message says which, and why."""


def missing(text: str) -> str:
    """A note in the place of something that is not there."""
    return f'<p class="missing">{html.escape(text)}</p>'


def attempt(what: str, draw: Callable[[], Drawn]) -> tuple[Drawn | None, str]:
    """What ``draw`` returns, and an empty text; or None, and the note that stands in its place.

    Args:
        what: name of the part, for the note and the warning.
        draw: draws it.
    """
    try:
        return draw(), ""
    except Exception as error:  # documented border, see above; Ctrl-C passes
        reason = str(error).strip() or "no reason given"
        if not isinstance(error, ValueError):
            reason = f"{type(error).__name__}: {reason}"
        text = f"{what} could not be drawn: {reason}"
        warnings.warn(f"report: {text}", ReportWarning, stacklevel=2)
        return None, missing(_FOLDERS.sub("", text))


def drawn(what: str, draw: Callable[[], str]) -> str:
    """The HTML that ``draw`` returns, or the note in its place."""
    content, note = attempt(what, draw)
    return note if content is None else content
