"""The version of contrafact's files: it grows when a reader of the version before would misunderstand them.

Files of version 0 carry none: they were written before versions were counted, and name classes by their Python path.
"""

from __future__ import annotations

FORMAT_VERSION = 1
"""What this version of contrafact writes; it reads all up to it."""


def check_format_version(found: object, where: object) -> int:
    """The version a file states, if it can be read here.

    Args:
        found: as the file has it, a number or its text; None for a file without.
        where: the file, for the message.

    Raises:
        ValueError: newer than this version of contrafact, or no version.

    >>> check_format_version(None, "generator.safetensors")
    0
    >>> check_format_version("7", "generator.safetensors")
    Traceback (most recent call last):
    ValueError: generator.safetensors was written by a newer contrafact (files of version 7; this one reads up to 1); \
update contrafact
    """
    if found is None:
        return 0
    text = str(found)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{where} states no version of its format but {text[:40]!r}; make the file again")
    if int(text) > FORMAT_VERSION:
        raise ValueError(
            f"{where} was written by a newer contrafact (files of version {int(text)}; this one reads up to "
            f"{FORMAT_VERSION}); update contrafact"
        )
    return int(text)
