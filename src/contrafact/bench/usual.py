"""What cells took where they were measured: an idea of the time a table takes before any of it is finished here.

    python -m contrafact.bench.usual runs/bench/cells docs/results

takes down what the finished cells of a folder took, and the trainings in results that are kept; what neither has stays.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contrafact.bench.cells import RECORD
from contrafact.bench.recipe import load_recipe, recipe_folder, recipe_names
from contrafact.core.files import read_json, write_json
from contrafact.methods import CATALOG

FILE = "usual_seconds.json"
"""In the recipes' folder: of a recipe and a scale, seconds by kind and method."""


class Kind(NamedTuple):
    """Cells that take about as long.

    Attributes:
        kind: as :class:`~contrafact.bench.plan.Cell` has it.
        method: what is trained, or scored.
        scale: of the recipe.
        recipe: its name; empty for cells of any.
    """

    kind: str
    method: str
    scale: str
    recipe: str = ""


class Times:
    """How long cells take.

    Cells of the same recipe tell it best, here or elsewhere; else those of others, here or elsewhere.

    >>> here = [(Kind("train", "sefa", "small", "a"), 2.0), (Kind("train", "sefa", "small", "b"), 4.0)]
    >>> times = Times(here, {Kind("train", "sefa", "small", "c"): 60.0})
    >>> [times.of(Kind("train", "sefa", "small", recipe)) for recipe in "acd"]
    [(2.0, True), (60.0, False), (3.0, True)]
    >>> times.of(Kind("train", "ganspace", "small", "a")) is None
    True
    """

    def __init__(self, here: Iterable[tuple[Kind, float]], elsewhere: Mapping[Kind, float]) -> None:
        self._here, self._elsewhere = medians(here), medians(elsewhere.items())

    def of(self, kind: Kind) -> tuple[float, bool] | None:
        """Seconds and whether they were measured here; None where nothing like it was measured anywhere."""
        for asked in (kind, kind._replace(recipe="")):
            for known, is_here in ((self._here, True), (self._elsewhere, False)):
                if asked in known:
                    return known[asked], is_here
        return None


def medians(taken: Iterable[tuple[Kind, float]]) -> dict[Kind, float]:
    """Of each recipe's cells, and of all recipes'."""
    every = defaultdict[Kind, list[float]](list)
    for kind, seconds in taken:
        every[kind].append(seconds)
        every[kind._replace(recipe="")].append(seconds)
    return {kind: float(np.median(seconds)) for kind, seconds in every.items()}


def finished(cells: Path) -> Iterator[tuple[Kind, float]]:
    """What each finished cell of a folder took."""
    for path in sorted(cells.glob(f"*/{RECORD}")):
        record = read_json(path)
        if record["state"] == "done":
            kind = Kind(record["kind"], record["method"], record["scale"], record["recipe"])
            yield kind, float(record["wall_seconds"])


def shipped(file: Path | None = None) -> dict[Kind, float]:
    """What cells took elsewhere, as it is written beside the recipes; nothing where there is no such file."""
    path = file or recipe_folder() / FILE
    if not path.is_file():
        return {}
    known = {}
    for place, cells in read_json(path).items():
        recipe, scale = place.split()
        for what, seconds in cells.items():
            kind, method = what.split()
            known[Kind(kind, method, scale, recipe)] = float(seconds)
    return known


def trainings(results: Path) -> Iterator[tuple[Kind, float]]:
    """What the trainings of kept results took."""
    for path in sorted(results.glob("*.json")):
        table = read_json(path)
        methods = {row.name: row.method for row in load_recipe(table["recipe"]).rows if row.method in CATALOG}
        for name, row in table["rows"].items():
            for cell in row["cells"] if name in methods else ():
                yield Kind("train", methods[name], table["scale"], table["recipe"]), float(cell["seconds"])


def take_down(cells: Path, results: Path, file: Path | None = None) -> Path:
    """Write what cells took to the file beside the recipes.

    Args:
        cells: folder of finished cells, which tell it best.
        results: folder of kept results.
        file: another file.

    Returns:
        the file.
    """
    path = file or recipe_folder() / FILE
    known = shipped(path) | medians(trainings(results)) | medians(finished(cells))
    text, catalogued = defaultdict[str, dict[str, float]](dict), set(recipe_names())
    for one, seconds in sorted(known.items()):
        if one.recipe in catalogued:
            text[f"{one.recipe} {one.scale}"][f"{one.kind} {one.method}"] = round(seconds, 1)
    write_json(path, dict(sorted(text.items())))
    return path


if __name__ == "__main__":
    print(take_down(*map(Path, sys.argv[1:3])))
