"""A suite: a protocol that is the same for everybody, and what every catalogued method scored by it.

A suite is one Python file in ``recipes/suites`` that defines ``SUITE``: the recipe of the catalogued methods, seeds,
images that a training may take. Beside it lies what those methods scored. ``contrafact bench mine.py:Mine --suite
NAME`` computes a row of somebody's own by the same protocol and ranks it among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.bench.kept import cells_by_row
from contrafact.bench.plan import Bench, method_of
from contrafact.bench.recipe import Recipe, Row, Scale, column_of, recipe_folder
from contrafact.bench.results import RESULTS
from contrafact.bench.table import Scores, is_higher_better
from contrafact.core.catalog import slug, unknown_name_message
from contrafact.core.files import read_json, write_json
from contrafact.core.plugins import load_spelled_out
from contrafact.core.settings import check_names
from contrafact.evaluation.standings import Entry, Standings
from contrafact.methods import CATALOG

SUITES = "suites"
SCALE: Scale = "small"
"""The scale that a suite has."""
CATALOGUED = "catalogued"
"""Folder of the catalogued methods, where somebody computes them again."""
_ENTRY = "entry-"
_READABLE = {"encoder", "directions"}


@dataclass(frozen=True)
class Suite:
    """A protocol.

    Attributes:
        recipe: rows of the catalogued methods, columns, sources; it has one scale, ``small``.
        seeds: of every row.
        images: that a training may take, as its method's :meth:`~contrafact.core.method.Method.budget` counts them.
        data: images that methods on images learn from.
        labels: how many of them are annotated: a suite is for methods that learn from few labels, or for those without;
            what was told of factors is scored on those alone.

    >>> suite = load_suite("shapes3d")
    >>> suite.seeds, list(suite.recipe.columns)
    ((0, 1, 2), ['MIG', 'SAP', 'D', 'C', 'I', 'InfoM', 'InfoE'])
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    images: int
    data: str
    labels: int = 0


def suite_names() -> list[str]:
    """Names of the suites that there are, with hyphens.

    >>> suite_names()
    ['shapes3d', 'shapes3d-labels']
    """
    return sorted(path.stem.replace("_", "-") for path in (recipe_folder() / SUITES).glob("*.py"))


def load_suite(name: str) -> Suite:
    """The suite called ``name``, or the ``SUITE`` of ``FILE.py``.

    Raises:
        ValueError: unknown name (the nearest one is suggested), or a file that holds no suite.
    """
    path = _file_of(name)
    if not path.is_file() and not name.endswith(".py"):
        raise ValueError(unknown_name_message("suite", name, suite_names()))
    suite = load_spelled_out(f"{path}:SUITE")
    if not isinstance(suite, Suite):
        raise ValueError(f"{name} is no suite: expected a contrafact.bench.suite.Suite, got {type(suite).__name__}")
    return suite


def _file_of(name: str) -> Path:
    if name.endswith(".py"):
        return Path(name)
    return recipe_folder() / SUITES / f"{name.replace('-', '_').lower()}.py"


def enter(suite: Suite, method: str, settings: Mapping[str, Any] | None = None, called: str = "") -> Row:
    """A method's row, by the suite's protocol.

    Args:
        suite: the protocol.
        method: catalogue name, or ``FILE.py:NAME`` of a file that was admitted.
        settings: fields that differ from its ``quick`` preset, or from its defaults where it has none.
        called: the row's name; by default the class's name with the settings that differ.

    Raises:
        ValueError: unknown method or setting, nothing to score, or more images than a training may take.

    >>> enter(load_suite("shapes3d"), "beta_vae", {"beta": 8.0, "steps": 500}).name
    'BetaVAE, beta 8.0, steps 500'
    """
    settings = dict(settings or {})
    cls = CATALOG.get(method)
    check_names(cls, settings, method)
    if not _READABLE & {*cls.yields}:
        raise ValueError(
            f"{method} yields {' and '.join(cls.yields) or 'nothing'}, and the suite scores codes; it needs a method "
            "that yields an encoder, or directions, which an encoder is regressed from"
        )
    on_images, learns_from_labels = cls.source == "images", cls.source == "images" and cls.labels == "few"
    if learns_from_labels != bool(suite.labels):
        raise ValueError(
            f"{method} learns from few labels, and the suite has none; enter it in one with labels"
            if learns_from_labels
            else f"{method} learns without labels, and the suite is for methods that learn from few; take another"
        )
    row = Row(
        called or ", ".join([cls.__name__, *(f"{name} {value}" for name, value in settings.items())]),
        method,
        settings=settings,
        source=suite.data if on_images else None,
        data={"labels": suite.labels} if learns_from_labels else {},
    )
    check_budget(suite, row)
    return row


def check_budget(suite: Suite, row: Row) -> None:
    """Refuse a row that takes more images than the suite allows (ValueError)."""
    budget = method_of(Bench("", suite.recipe, Path()), row).budget()
    taken = (budget.steps or 0) * (budget.images_per_step or 0)
    if taken > suite.images:
        assert budget.images_per_step is not None
        raise ValueError(
            f"{row.method} would take {taken:,} images ({budget.steps:,} steps of {budget.images_per_step}), and the "
            f"suite allows {suite.images:,}; give it at most --set steps={suite.images // budget.images_per_step}"
        )


def bench_of(suite: Suite, row: Row | None, out: Path, **options: Any) -> Bench:
    """One row as a table of its own, in a folder of ``out``; None for all that are catalogued.

    Args:
        suite: the protocol.
        row: as :func:`enter` makes it.
        out: folder of the leaderboard.
        options: further fields of :class:`~contrafact.bench.plan.Bench`.
    """
    name = CATALOGUED if row is None else f"{_ENTRY}{slug(row.name)}"
    recipe = suite.recipe
    if row is not None:
        recipe = replace(recipe, rows=(row,), title=f"{recipe.title}: {row.name}")
    return Bench(name, recipe, out / name, **{"seeds": suite.seeds, **options})


def shipped(name: str) -> Mapping[str, Any]:
    """What the catalogued methods scored: the ``.json`` beside the suite's file, which ``contrafact bench --suite NAME
    --all`` wrote; empty where none is.

    >>> results = shipped("shapes3d")
    >>> sorted(results["rows"]["SeFa"]["cells"][0]["scores"])
    ['C', 'D', 'I', 'InfoE', 'InfoM', 'MIG', 'SAP']
    """
    path = _file_of(name).with_suffix(".json")
    return read_json(path) if path.is_file() else {}


def start_from_shipped(bench: Bench, name: str) -> None:
    """Begin a table of the catalogued methods with the scores that are there, so that a row can be computed alone."""
    results = shipped(name)
    if results and not (bench.out / RESULTS).exists():
        bench.out.mkdir(parents=True, exist_ok=True)
        write_json(bench.out / RESULTS, results)


def standings(suite: Suite, name: str, out: Path) -> Standings:
    """All entries there are: catalogued methods as they were shipped, or as they were computed again, and one's own.

    Args:
        suite: the protocol.
        name: its name or file, by which its shipped scores are found.
        out: folder of the leaderboard.
    """
    known = {row.name for row in suite.recipe.rows}
    shared = {row: line for row, line in _rows(shipped(name)).items() if row in known}
    again = out / CATALOGUED / RESULTS
    if again.is_file():
        shared |= {row: line for row, line in _rows(read_json(again)).items() if line["cells"]}
    own = [_rows(read_json(path)) for path in sorted(out.glob(f"{_ENTRY}*/{RESULTS}"))]
    entries = [entry for row, line in shared.items() for entry in _entries(row, line, False)]
    entries += [entry for rows in own for row, line in rows.items() for entry in _entries(row, line, True)]
    titles = {title: is_higher_better(suite.recipe, title) for title in suite.recipe.columns}
    return Standings(suite.recipe.title, titles, tuple(entries))


def _rows(results: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of a results file, if there is one, their cells with a device."""
    cells = cells_by_row(results) if results else {}
    return {name: {**results["rows"][name], "cells": found} for name, found in cells.items()}


def _entries(row: str, line: Mapping[str, Any], is_own: bool) -> Iterator[Entry]:
    """A row of a results file; one that was computed on processors and on GPUs is two."""
    cells = [
        Scores(**{name: value for name, value in cell.items() if name in Scores._fields}) for cell in line["cells"]
    ]
    kinds = list(dict.fromkeys(cell.kind_of_device for cell in cells))
    for kind in kinds:
        here = [cell for cell in cells if cell.kind_of_device == kind]
        titles = dict.fromkeys(title for cell in here for title in cell.scores)
        yield Entry(
            row if len(kinds) == 1 else f"{row} ({kind})",
            line["method"],
            {title: tuple(cell.scores[title] for cell in here if title in cell.scores) for title in titles},
            line["learns_from"],
            line["labels"],
            float(np.mean([cell.seconds for cell in here])),
            kind,
            is_own,
        )


def protocol(suite: Suite) -> dict[str, str]:
    """What everybody gets, in words.

    >>> protocol(load_suite("shapes3d"))["seeds"]
    '0, 1, 2'
    """
    recipe = suite.recipe
    options = ", ".join(f"{name} {value}" for name, value in recipe.data.get(SCALE, {}).items())
    facts = {
        "methods on images": f"learn from {suite.data} ({options})",
        "budget": f"at most {suite.images:,} images in a training",
        "seeds": ", ".join(map(str, suite.seeds)),
        "scored on": f"{recipe.num_train:,} images, {recipe.num_test:,} held out",
        "columns": "; ".join(f"{title}: {metric}" for title, metric in _metrics(recipe).items()),
    }
    if suite.labels:
        facts["labels"] = (
            f"{suite.labels} annotated images, drawn by the seed; scores are of the annotated factors alone"
        )
        return facts
    facts["methods on a generator"] = f"learn from the generator {recipe.sources.get(SCALE, 'that they name')}"
    if read := recipe.regression.get(SCALE):
        facts["directions alone"] = (
            f"an encoder reads the first {read.num_directions}: {read.network}, {read.steps:,} steps of "
            f"{read.batch_size} generated images, alike for all"
        )
    return facts


def _metrics(recipe: Recipe) -> dict[str, str]:
    return {title: ".".join(column_of(entry)[:2]) for title, entry in recipe.columns.items()}
