"""Run folders that nobody named: ``runs/NAME-1``, ``runs/NAME-2``, …"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def numbered_folder(name: str, latest: bool = False) -> Iterator[Path]:
    """The next free folder ``runs/NAME-NUMBER``, or the latest taken one.

    A new one is made at once, so that no other process takes the number; it goes again if nothing comes into it.

    Args:
        name: what comes before the number.
        latest: the latest that is there, where there is one.

    Raises:
        ValueError: several processes train together, and each would take a folder of its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("several processes must share one run folder; name it with --out")

    def numbered(number: int) -> Path:
        return Path("runs", f"{name}-{number}")

    number = 1
    while numbered(number).exists():
        number += 1
    if latest and number > 1:
        yield numbered(number - 1)
        return
    numbered(number).parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            numbered(number).mkdir()
            break
        except FileExistsError:  # somebody else's, since a moment ago
            number += 1
    try:
        yield numbered(number)
    finally:
        with suppress(OSError):  # not empty, as it should be
            numbered(number).rmdir()
            numbered(number).parent.rmdir()
