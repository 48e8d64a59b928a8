"""Scores that are kept with a project: cells whose numbers are known though their runs are not here."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrafact.core.files import read_json


def kept_cells(path: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """Finished score cells by their key, from a ``results.json`` that somebody kept; none where there is no file.

    Args:
        path: the file.

    Raises:
        ValueError: a file that is none.
    """
    if path is None or not path.is_file():
        return {}
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Mapping[str, Mapping[str, Any]]:
    results = read_json(path)
    try:
        cells = [cell for row in results["rows"].values() for cell in row["cells"]]
        return {cell["key"]: cell for cell in cells}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no results of a bench; delete it, or name another folder") from error
