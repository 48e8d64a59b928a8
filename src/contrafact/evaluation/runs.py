"""Scores of several runs, by method and by what pairs them: from run folders, files of scores, or one table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from contrafact.core.method import load_run
from contrafact.core.table import TABLE_SUFFIXES, Table, is_words, read_table
from contrafact.evaluation.reference import read_reference
from contrafact.evaluation.scores import read_scores

Scored = tuple[str, str, Mapping[str, float]]
"""A method's name, what pairs the run with others' (its seed, its data set), and scores by full name."""
METHOD_COLUMNS = ("method", "model", "name")
RUN_COLUMNS = ("seed", "run", "data", "dataset", "fold")
_NUMBERED = re.compile(r"(?P<method>.+?)[-_. ]*(?:seed)?[-_. ]*(?P<seed>\d+)")


def read_runs(paths: Sequence[str | Path]) -> list[Scored]:
    """Scores of runs.

    Args:
        paths: run folders that were evaluated, whose method and seed are on record; ``.json`` files of
            ``contrafact evaluate --out`` that are called after both (``ours-0.json``); tables with a column ``method``,
            a column ``seed`` (or ``run``, ``data``, ``dataset``, ``fold``), and a column for each score.

    Raises:
        ValueError: a run that was not evaluated, a file called otherwise, or a table without these columns.

    >>> _ = Path("scores.csv").write_text("method,seed,mig.score\\nours,0,0.4\\nours,1,0.5\\n")
    >>> read_runs(["scores.csv"])
    [('ours', '0', {'mig.score': 0.4}), ('ours', '1', {'mig.score': 0.5})]
    """
    runs: list[Scored] = []
    for path in map(Path, paths):
        if path.suffix.lower() in TABLE_SUFFIXES:
            runs += _of_table(read_table(path))
        elif path.suffix.lower() == ".json":
            runs.append(_of_file(path))
        else:
            runs.append(_of_folder(path))
    return runs


def _of_folder(folder: Path) -> Scored:
    run = load_run(folder)
    scores = {
        f"{line['metric']}.{name}": float(value)
        for line in read_scores(folder)
        if (line.get("of") or "run") == "run"
        for name, value in (line.get("scores") or {}).items()
        if value is not None
    }
    if not scores:
        raise ValueError(f"{folder} was not evaluated yet: contrafact evaluate {folder}")
    return str(run.config["method"]), str(run.config["seed"]), scores


def _of_file(path: Path) -> Scored:
    named = _NUMBERED.fullmatch(path.stem)
    if named is None:
        raise ValueError(
            f"{path} must be called after its method and its seed, such as {path.stem}-0.json: runs are paired by that"
        )
    return named["method"], named["seed"], read_reference(path)[0]


def _of_table(table: Table) -> list[Scored]:
    places = {name.lower(): place for place, name in enumerate(table.names or ())}
    method = next((places[name] for name in METHOD_COLUMNS if name in places), None)
    run = next((places[name] for name in RUN_COLUMNS if name in places), None)
    if method is None or run is None or table.names is None:
        raise ValueError(
            f"{table.source} needs a column called method, one called {', '.join(RUN_COLUMNS[:-1])} or "
            f"{RUN_COLUMNS[-1]}, and one for each score; it has {', '.join(table.names or ()) or 'no names'}"
        )
    words = {place for place, column in enumerate(table.columns) if is_words(column)}
    scores = [place for place in range(len(table.columns)) if place not in {method, run, *words}]
    if not scores:
        raise ValueError(f"{table.source} has no column of numbers beside {table.names[method]} and {table.names[run]}")
    return [
        (
            _shown(table.columns[method][row]),
            _shown(table.columns[run][row]),
            {table.names[p]: float(table.columns[p][row]) for p in scores if math.isfinite(table.columns[p][row])},
        )
        for row in range(len(table))
    ]


def _shown(cell: object) -> str:
    return f"{cell:.15g}" if isinstance(cell, float) else str(cell)
