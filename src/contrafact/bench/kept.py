"""Scores that are kept with a project: cells whose numbers are known though their runs are not here."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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


def finished_cells(folder: Path | None, recipe: str, scale: str, kind: str) -> Mapping[str, Mapping[str, Any]]:
    """Finished score cells by their key, from every ``*.json`` of a folder of tables, as ``docs/results`` is one.

    Cells of another scale or of another kind of device are left out, and those of older files, which have no key.

    Args:
        folder: of files as ``results.json`` is, whatever their names.
        recipe: whose tables come first where several hold a cell: machines differ in the last bits of a sum, and
            trainings go apart from there.
        scale: of the tables.
        kind: of the device, as :func:`kind_of_device` has it.

    Raises:
        ValueError: no folder, or a file in it that holds no results.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of finished results")
    files = tuple((path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.json")))
    found: dict[str, Mapping[str, Any]] = {}
    for table in sorted(_tables(files), key=lambda table: table.recipe != recipe):
        if table.scale == scale:
            for cell in table.cells:
                if kind_of_device(cell["device"]) == kind:
                    found.setdefault(cell["key"], cell)
    return found


class _Table(NamedTuple):
    recipe: Any
    scale: Any
    cells: tuple[Mapping[str, Any], ...]


@functools.lru_cache(maxsize=4)
def _tables(files: tuple[tuple[Path, int], ...]) -> list[_Table]:
    """The tables of files, each with when it changed; of their cells those that have a key."""
    tables = []
    for path, _ in files:
        results = read_json(path)
        cells = tuple(cell for cell in _cells(path, results) if cell.get("key"))
        tables.append(_Table(results.get("recipe"), results.get("scale"), cells))
    return tables


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Mapping[str, Mapping[str, Any]]:
    cells = list(_cells(path, read_json(path)))
    if not all("key" in cell for cell in cells):
        raise ValueError(_none_in(path))
    return {cell["key"]: cell for cell in cells}


def _cells(path: Path, results: Any) -> Iterator[Mapping[str, Any]]:
    """The cells of all rows, each of which has a seed, scores and seconds."""
    try:
        for cell in itertools.chain.from_iterable(cells_by_row(results).values()):
            numbers = (cell["seed"], cell["seconds"], *cell["scores"].values())
            texts = (cell["device"], cell.get("key") or "")
            if not all(isinstance(one, int | float) for one in numbers) or not all(isinstance(t, str) for t in texts):
                raise TypeError("a cell has something else in place of a number or a name")
            yield cell
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(_none_in(path)) from error


def _none_in(path: Path) -> str:
    return f"{path} holds no results of a bench; delete it, or name another folder"


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
