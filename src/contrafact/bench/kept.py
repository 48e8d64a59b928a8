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
        return {cell["key"]: cell for cells in cells_by_row(results).values() for cell in cells}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no results of a bench; delete it, or name another folder") from error


def cells_by_row(results: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The cells of a ``results.json``, each with a device.

    Older files do not say it cell by cell: it is that of the file then, or, where that says none either, the one that
    all other cells have, so that old and new cells of one kind of device are compared.

    Args:
        results: what stands in the file.

    >>> old, new = {"seed": 0}, {"seed": 1, "device": "cpu (x86_64)"}
    >>> cells_by_row({"rows": {"a": {"cells": [old]}, "b": {"cells": [new]}}})["a"]
    [{'seed': 0, 'device': 'cpu (x86_64)'}]
    """
    rows = {name: row["cells"] for name, row in results["rows"].items()}
    device = results.get("environment", {}).get("device")
    if not device:
        said = {cell["device"] for cells in rows.values() for cell in cells if cell.get("device")}
        kinds = {kind_of_device(one) for one in said}
        device = min(said) if len(kinds) == 1 else ""
    return {name: [{**cell, "device": cell.get("device") or device} for cell in cells] for name, cells in rows.items()}


def kind_of_device(device: str) -> str:
    """``cpu`` of ``cpu (x86_64)``, ``cuda`` of ``cuda:0 (NVIDIA H200)``.

    >>> kind_of_device("cuda:0 (NVIDIA H200)")
    'cuda'
    """
    return device.partition(" ")[0].partition(":")[0]
