"""The cells that are finished as ``results.json``, ``results.md`` and ``results.tex``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contrafact.bench.cells import error_of, record_of
from contrafact.bench.check import asked_rows
from contrafact.bench.kept import cells_by_row
from contrafact.bench.plan import Bench, Cell, known_cells, score_cells, spoken
from contrafact.bench.recipe import Recipe, Row, load_recipe
from contrafact.bench.table import Scores, grids, split_by_device
from contrafact.core import command
from contrafact.core.claim import claim
from contrafact.core.files import read_json, write_json, write_text
from contrafact.core.run import environment, find_device
from contrafact.evaluation.grid import BOLD, Grid, one_line
from contrafact.methods import CATALOG

RESULTS = "results.json"
TABLE = "results.md"
LATEX = "results.tex"
_PATIENCE_SECONDS = 30.0


def collect(bench: Bench, given_up: Mapping[str, str] | None = None) -> str:
    """Write down what is finished, whoever computed it; rows that were not asked for stay as they are.

    Args:
        bench: recipe and folders.
        given_up: what went wrong with cells outside their computation, by key: their records do not say.

    Returns:
        the table, as markdown; empty while nothing is finished.
    """
    asked = asked_rows(bench)
    with claim(bench.out, wait=_PATIENCE_SECONDS):
        kept = _kept(bench)
        rows = {row.name: [] if row.name in asked else kept.get(row.name, []) for row in bench.recipe.rows}
        failed: dict[str, str] = {}
        elsewhere = known_cells(bench)
        for cell in score_cells(bench, asked):
            record = record_of(bench, cell)
            if cell.key in elsewhere:
                rows[cell.row.name].append(_known(elsewhere[cell.key])._replace(row=cell.row.name))
            elif record is not None and record["state"] == "done":
                rows[cell.row.name].append(_scores(cell.row.name, record))
            elif error := _error_of(bench, cell, given_up or {}):
                failed[spoken(cell)] = error
        return _write(bench, rows, failed) if any(rows.values()) or failed else ""


def _kept(bench: Bench) -> dict[str, list[Scores]]:
    """The rows of the table that is there, for those that are not asked for: all others are collected from cells."""
    path = bench.out / RESULTS
    if not bench.rows or not path.exists():
        return {}
    try:
        return _scores_by_row(read_json(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged, and holds rows that were not asked for; leave --rows out, so that all are collected "
            f"from their cells ({error})"
        ) from error


def _scores_by_row(results: Mapping[str, Any]) -> dict[str, list[Scores]]:
    return {name: [_known(cell) for cell in cells] for name, cells in cells_by_row(results).items()}


def _known(cell: Mapping[str, Any]) -> Scores:
    """A cell of a results file, with its device; what this version does not know of it is left out."""
    return Scores(**{field: value for field, value in cell.items() if field in Scores._fields})


def _scores(row: str, record: Mapping[str, Any]) -> Scores:
    result = record["result"]
    # Of the training: it may be scored elsewhere. Older records do not say.
    device = result.get("device") or record["environment"]["device"]
    told = ("processor_seconds", "peak_memory", "machine", "processor", "commit")
    cost = {name: record[name] for name in told if name in record}  # older records name no processor
    if result.get("processes", 1) > 1:
        cost["processes"] = result["processes"]
    return Scores(
        row,
        record["seed"],
        result["scores"],
        result["seconds"],
        result["source"],
        device,
        record["key"],
        cost,
        record.get("generator"),
    )


def _error_of(bench: Bench, cell: Cell, given_up: Mapping[str, str]) -> str:
    """What went wrong with a cell, or with one that it waits for; empty while nothing has."""
    return next(filter(None, (error_of(bench, part, given_up) for part in cell.with_needs())), "")


def _shown(bench: Bench, rows: Mapping[str, Sequence[Scores]]) -> Recipe:
    """The recipe without the rows of other scales, as far as nobody computed them here."""
    shown = tuple(row for row in bench.recipe.rows if bench.scale in row.scales or rows[row.name])
    against = bench.recipe.against if any(row.name == bench.recipe.against for row in shown) else ""
    return replace(bench.recipe, rows=shown, against=against)


def _write(bench: Bench, rows: Mapping[str, Sequence[Scores]], failed: Mapping[str, str]) -> str:
    recipe, device = _shown(bench, rows), find_device(bench.device)
    cells = [cell for row in rows.values() for cell in row]
    facts: dict[str, Any] = {
        "recipe": bench.name,
        "title": recipe.title,
        "table": recipe.table,
        "scale": bench.scale,
        "source": ", ".join(dict.fromkeys(cell.source for cell in cells if cell.source)),
        "command": shlex.join(command.recorded()),
        "environment": environment(device),
        "date": time.strftime("%Y-%m-%d"),
        "remark": recipe.remark,
    }
    results = {
        row.name: {
            "method": row.method,
            "learns_from": CATALOG.get(row.method).source if row.method in CATALOG else None,
            "labels": row.data.get("labels", 0),
            "published": {title: list(numbers) for title, numbers in row.published.items()},
            "cells": [cell._asdict() for cell in rows[row.name]],
        }
        for row in recipe.rows
    }
    write_json(bench.out / RESULTS, {**facts, "failed": dict(failed), "rows": results})
    tables = grids(*split_by_device(recipe, rows))
    table, text = as_markdown(recipe.title, tables, facts, failed)
    write_text(bench.out / TABLE, text)
    write_text(bench.out / LATEX, as_latex(recipe.title, tables, facts, failed))
    return table


def as_markdown(
    title: str, tables: Sequence[Grid], facts: Mapping[str, Any], failed: Mapping[str, str]
) -> tuple[str, str]:
    """The tables, and the text around them: what was computed how, and what went wrong.

    Args:
        title: of the recipe.
        tables: as :func:`~contrafact.bench.table.grids` makes them.
        facts: what stands above and below the table, as ``results.json`` has it.
        failed: errors by row and seed.
    """
    table = "\n\n".join(grid.to_markdown() for grid in tables)
    about = [one_line(f"- {key}: {value}") for key, value in facts_of(facts, failed)]
    return table, "\n".join([one_line(f"# {title}"), "", table, "", *about, ""])


def as_latex(title: str, tables: Sequence[Grid], facts: Mapping[str, Any], failed: Mapping[str, str]) -> str:
    """The same tables for LaTeX, which needs ``booktabs``; what was computed how stands in comments.

    Args:
        title: of the recipe.
        tables: as for :func:`as_markdown`.
        facts: as for :func:`as_markdown`.
        failed: errors by row and seed.
    """
    about = [" ".join(f"% {key}: {value}".split()) for key, value in facts_of(facts, failed)]
    head = [" ".join(f"% {title}".split()), f"% \\usepackage{{booktabs}}; {BOLD}"]
    return "\n".join([*head, "", "\n\n".join(grid.to_latex() for grid in tables), "", *about, ""])


def facts_of(facts: Mapping[str, Any], failed: Mapping[str, str]) -> list[tuple[str, str]]:
    """What stands below a table, by its name: how it was computed, where, and what went wrong."""
    about = [(key, str(value)) for key, value in facts.items() if value and key not in ("title", "environment")]
    about += [(key, str(value)) for key, value in facts["environment"].items() if key != "started"]
    return about + [("failed", f"{name}: {error}") for name, error in failed.items()]


def stored(path: Path, recipe: Recipe | None = None) -> tuple[Recipe, dict[str, list[Scores]], dict[str, Any]]:
    """A ``results.json``: its recipe with the rows and columns that it has, their cells, and all that stands in it.

    A row that the recipe has no longer keeps its name, its method and the numbers that were published.

    Args:
        path: the file, wherever it was copied to.
        recipe: whose results they are; by default the one of the name that stands there.
    """
    results = read_json(path)
    recipe, rows = recipe or load_recipe(results["recipe"]), _scores_by_row(results)
    known = {row.name: row for row in recipe.rows}
    shown = tuple(
        known.get(name) or Row(name, row.get("method") or "unknown", {t: tuple(n) for t, n in row["published"].items()})
        for name, row in results["rows"].items()
        if row["cells"] or results["scale"] in known.get(name, Row(name, "")).scales
    )
    titles = {title for cells in rows.values() for cell in cells for title in cell.scores}
    columns = {title: column for title, column in recipe.columns.items() if title in titles}
    against = recipe.against if recipe.against in {row.name for row in shown} else ""
    return replace(recipe, rows=shown, columns=columns, against=against, title=results["title"]), rows, results


def rewrite(path: Path) -> str:
    """The text of a stored ``results.json``, as this version writes it."""
    recipe, rows, results = stored(path)
    return as_markdown(recipe.title, grids(*split_by_device(recipe, rows)), *_told(results))[1]


def stored_grids(path: Path, recipe: Recipe | None = None) -> tuple[str, list[Grid], list[tuple[str, str]]]:
    """The title of a stored ``results.json``, its tables, and what stands below them.

    Args:
        path: the file.
        recipe: whose results they are; by default the one of the name that stands there.
    """
    recipe, rows, results = stored(path, recipe)
    return recipe.title, grids(*split_by_device(recipe, rows)), facts_of(*_told(results))


def _told(results: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """What a results file says beside its rows, and what went wrong."""
    facts = {name: value for name, value in results.items() if name not in ("failed", "rows")}
    return facts, results.get("failed", {})
