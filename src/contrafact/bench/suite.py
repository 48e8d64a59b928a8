"""Running a recipe: every row at every seed as a run folder, scored, beside the published numbers.

Finished runs and scores are kept, so a run that was stopped goes on where it was, and a repeated one costs nothing.
"""

from __future__ import annotations

import shlex
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrafact.bench.recipe import LOG, Column, Recipe, Row, Scale, column_of
from contrafact.bench.table import Cell, paired_table, results_table
from contrafact.core import command, own_generator
from contrafact.core.catalog import slug
from contrafact.core.claim import claim
from contrafact.core.dataset import ImageDataset
from contrafact.core.files import write_json, write_text
from contrafact.core.generator import Generator
from contrafact.core.method import FinishedRun, load_run
from contrafact.core.ranges import Panels, check_value
from contrafact.core.run import RESULT, Run, environment, find_device
from contrafact.core.settings import check_names
from contrafact.data.load import load_dataset
from contrafact.evaluation.classes import IMAGE_METRICS
from contrafact.evaluation.control import fit_control, fit_regression
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.run import CONTROL, JUDGED, REGRESSION, Who, evaluate_run, needs_regression
from contrafact.evaluation.sampling import dataset_of
from contrafact.evaluation.scores import read_scores
from contrafact.generators.checkpoints import load_generator
from contrafact.methods import CATALOG
from contrafact.nn.attributes import load_predictor


@dataclass(frozen=True)
class Bench:
    """A recipe and how to run it.

    Attributes:
        name: the recipe's name.
        recipe: rows, columns and published numbers.
        out: folder of the results and of one run folder per cell.
        scale: ``small`` is what two cores do, ``paper`` the paper's own settings.
        seeds: number of seeds, from 0.
        source: generator, or data for rows on images, instead of the recipe's; every row that is run uses it.
        data: images to score on, instead of those the source was trained on.
        device: where to train.
        predictor: who judges edited images, for columns that need it; by default the recipe's, or one
            trained on the images.
        rows: names of the rows to run, or parts of them; by default all. The others are in the table where they are
            finished.
    """

    name: str
    recipe: Recipe
    out: Path
    scale: Scale = "small"
    seeds: int = 5
    source: str | None = None
    data: str | None = None
    device: str = "auto"
    predictor: str | None = None
    rows: tuple[str, ...] = ()


PREDICTOR = "attribute_predictor"
"""The method that trains the judge of edited images, and its run folder's name."""


def run_bench(bench: Bench) -> str:
    """Run a recipe; ``results.json`` and ``results.md`` in its folder are written anew after every cell.

    Returns:
        the table, as markdown.

    Raises:
        ValueError: a name, an option or a source that is refused, before the first cell is trained; no source for this
            scale; or a cell in the folder that was run with another configuration.
    """
    asked = _asked_rows(bench)
    dataset = _check(bench, asked)
    with claim(bench.out):
        return _run_cells(bench, asked, dataset)


def _run_cells(bench: Bench, asked: set[str], dataset: ImageDataset | None) -> str:
    """:func:`run_bench` in a folder that nobody else writes to."""
    cells: list[Cell] = []
    table = ""
    for seed in range(bench.seeds):
        run: FinishedRun | None = None
        for row in bench.recipe.rows:
            if not _can_run(bench, row) or not (row.name in asked or _is_finished(bench, row, seed, run)):
                continue
            print(f"{bench.name}: {row.name}, seed {seed} of {bench.seeds}", file=sys.stderr)
            run, who = _train(bench, row, seed, run, row.name in asked)
            cells.append(_score(bench, row, run, who, _of_its_size(run, dataset, bench.data), seed))
            table = _write_results(bench, cells)
    if not cells:
        raise ValueError(
            f"nothing of {bench.name} can run at the {bench.scale} scale as it is: it needs a generator of your own, "
            "name it with --source"
        )
    return table


def _of_its_size(run: FinishedRun, dataset: ImageDataset | None, name: str | None) -> ImageDataset | None:
    """The images to score on at the side of the run's own."""
    is_fit = dataset is None or dataset.image_shape[1:] == tuple(run.config["source"]["image_shape"][1:])
    return dataset if is_fit else dataset_of(run, name)


def _asked_rows(bench: Bench) -> set[str]:
    """Names of the rows to run: those called exactly so, else those with the words in their name."""
    names = {row.name.lower(): row.name for row in bench.recipe.rows}
    asked: set[str] = set()
    for part in (part.lower() for part in bench.rows):
        found = {names[part]} if part in names else {name for low, name in names.items() if part in low}
        if not found:
            raise ValueError(
                f"no row of {bench.name} has {part!r} in its name; its rows are: {'; '.join(names.values())}"
            )
        asked |= found
    return asked if bench.rows else set(names.values())


def _is_finished(bench: Bench, row: Row, seed: int, previous: FinishedRun | None) -> bool:
    """Whether the row's training at this seed is in the folder; of a control, that of the row before it."""
    if row.method == CONTROL:
        return previous is not None and (previous.folder / CONTROL / RESULT).exists()
    return (bench.out / slug(row.name) / f"seed{seed}" / RESULT).exists()


def _can_run(bench: Bench, row: Row) -> bool:
    if bench.scale not in row.scales:
        return False
    return row.method == CONTROL or (row.method in CATALOG and _source_of(bench, row) is not None)


def _source_of(bench: Bench, row: Row) -> str | None:
    """Generator or data of a row: the one asked for, else the row's own, else on generators the recipe's."""
    if bench.source is not None or row.source is not None:
        return bench.source or row.source
    return bench.recipe.sources.get(bench.scale) if CATALOG.get(row.method).source == "generator" else None


def _check(bench: Bench, asked: set[str]) -> ImageDataset | None:
    """Make every method and read every source that is still needed, so that nothing is refused after hours of training.

    Returns:
        the images to score on, where some are named.
    """
    check_value("seeds", bench.seeds, Panels)
    find_device(bench.device)
    for column in map(column_of, bench.recipe.columns.values()):
        if column.metric != LOG:
            parse_target(column.metric)
    predictor = bench.predictor or bench.recipe.predictor
    if predictor is not None:
        load_predictor(predictor)
    dataset = None if bench.data is None else load_dataset(bench.data)
    _check_controls(bench, asked)
    unfit: dict[str, str] = {}
    waiting = [row for row in bench.recipe.rows if row.method != CONTROL and row.name in asked and _can_run(bench, row)]
    for row in waiting:
        seed = next((seed for seed in range(bench.seeds) if not _is_finished(bench, row, seed, None)), None)
        if seed is None:
            continue
        method = _method_of(bench, row)  # its settings are refused as they are, whatever the source
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said when the cell is run
                run = Run(bench.out / slug(row.name) / f"seed{seed}", seed=seed, device=bench.device)
                source = _load_source(bench, row, seed)
                method.check_source(source.to(run.device) if isinstance(source, Generator) else source, run)
                _check_elsewhere(bench, row, run)
        except ValueError as error:
            if bench.source is None:
                raise ValueError(f"{bench.name}, row {row.name!r}: {error}") from error
            unfit[row.name] = str(error)
    if unfit:
        fit = [row.name for row in waiting if row.name not in unfit]
        name, reason = next(iter(unfit.items()))
        advice = f"name those that can with --rows: {'; '.join(fit)}" if fit else "leave --source out"
        kind = next(CATALOG.get(row.method).source for row in waiting if row.name == name)
        raise ValueError(
            f"{bench.name}: {len(unfit)} of {len(waiting)} rows cannot use --source {bench.source}; {advice}. "
            f"Row {name!r} learns from {'a generator' if kind == 'generator' else 'images'}: {reason}"
        )
    return dataset


def _check_controls(bench: Bench, asked: set[str]) -> None:
    """Refuse a control of a row that can have none."""
    before: Row | None = None
    for row in bench.recipe.rows:
        controlled = before if row.method == CONTROL and row.name in asked else None
        known = controlled is not None and controlled.method in CATALOG
        if controlled and known and not {"directions", "encoder"} & {*CATALOG.get(controlled.method).yields}:
            raise ValueError(
                f"{bench.name}, row {row.name!r}: {controlled.method} yields neither directions nor an encoder, so it "
                "has no control; take the row out of the recipe"
            )
        before = row


def _check_elsewhere(bench: Bench, row: Row, run: Run) -> None:
    """The same for the generators that columns name, on which the row's method runs once more."""
    if CATALOG.get(row.method).source != "generator":
        return
    places = [column_of(entry) for entry in bench.recipe.columns.values()]
    for name, changes in dict.fromkeys((c.generator, tuple(c.changes.items())) for c in places if c.generator):
        assert name is not None
        method = _method_of(bench, row, **row.elsewhere)
        method.check_source(load_generator(name, dict(changes)).to(run.device), run)


def _load_source(bench: Bench, row: Row, seed: int) -> Any:
    name = _source_of(bench, row)
    assert name is not None, "rows without a source are not run"
    if CATALOG.get(row.method).source == "generator":
        return load_generator(name, row.changes)
    return load_dataset(name, **_data_options(bench, row, seed))


def _train(bench: Bench, row: Row, seed: int, previous: FinishedRun | None, asked: bool) -> tuple[FinishedRun, Who]:
    """The row's run, trained unless it is finished; and whether the run itself or its control is the row."""
    if row.method == CONTROL:
        if previous is None:
            raise ValueError(f"row {row.name!r} is a control, so it must follow the row it controls")
        fit_control(previous, row.regression, device=bench.device)
        return previous, "control"
    if not asked:  # it is in the table as it was trained, on whatever source
        run = _read_again(bench, bench.out / slug(row.name) / f"seed{seed}")
    else:
        run = _fit(bench, row, _load_source(bench, row, seed), f"seed{seed}", seed)
    asked_for = [column_of(entry).metric for entry in bench.recipe.columns.values()]
    scored = [name for name in asked_for if name != LOG]
    if scored and needs_regression(run, scored):
        regression = row.regression or bench.recipe.regression.get(bench.scale)
        fit_regression(run, run.directions, REGRESSION, regression, device=bench.device)
    return run, "run"


def _read_again(bench: Bench, folder: Path) -> FinishedRun:
    """A finished run, with the generator of somebody's own that it was made on, where that is the one asked for."""
    run = load_run(folder)
    if not run.is_on_own_generator or bench.source is None:
        return run
    generator = load_generator(bench.source)
    return load_run(folder, generator) if own_generator.is_it(generator, run.config["source"]) else run


def _data_options(bench: Bench, row: Row, seed: int) -> dict[str, Any]:
    options = {**bench.recipe.data.get(bench.scale, {}), **row.data}
    return options | ({"label_seed": seed} if "labels" in options else {})


def _fit(bench: Bench, row: Row, source: Any, folder: str, seed: int, **fields: Any) -> FinishedRun:
    """The row's method on a source, trained unless the run in ``folder`` is finished."""
    path = bench.out / slug(row.name) / folder
    _method_of(bench, row, **fields).fit(source, Run(path, seed=seed, device=bench.device, resume=True))
    return load_run(path, source if isinstance(source, Generator) else None)


def settings_of(recipe: Recipe, row: Row, scale: Scale) -> dict[str, Any]:
    """A row's settings at a scale, the preset's among them."""
    preset = CATALOG.get(row.method).presets.get(recipe.presets.get(scale, ""), {})
    small = {**recipe.small, **row.small} if scale == "small" else {}
    return {**preset, **row.settings, **small}


def _method_of(bench: Bench, row: Row, **fields: Any) -> Any:
    """The row's method with its settings at this scale."""
    cls = CATALOG.get(row.method)
    settings = settings_of(bench.recipe, row, bench.scale) | fields
    check_names(cls, settings, f"{row.method} in row {row.name!r}")
    return cls.of(**settings)


def _score(bench: Bench, row: Row, run: FinishedRun, who: Who, dataset: ImageDataset | None, seed: int) -> Cell:
    """The row's scores, measured unless they are in the run folders already."""
    values: dict[str, float] = {}
    columns = {title: column_of(entry) for title, entry in bench.recipe.columns.items()}
    for place in dict.fromkeys((column.generator, tuple(column.changes.items())) for column in columns.values()):
        here = {t: c for t, c in columns.items() if (c.generator, tuple(c.changes.items())) == place}
        generator, changes = place
        scored = run
        if generator is not None:
            if row.method == CONTROL or CATALOG.get(row.method).source != "generator":
                continue
            name = f"seed{seed}-on-{slug(generator)}"
            scored = _fit(bench, row, load_generator(generator, dict(changes)), name, seed, **row.elsewhere)
        values |= _measure(bench, row, here, scored, who, dataset if scored is run else None)
    trained = load_run(run.folder / CONTROL) if who == "control" else run
    return Cell(row.name, seed, values, trained.result["seconds"], _name_of_source(run))


def _name_of_source(run: FinishedRun) -> str:
    """What a run learned from: the data's name, or the generator's with the beginning of its weights' fingerprint."""
    source = run.config["source"]
    weights = str(source.get("weights", ""))[:8]
    return f"{source['name']} ({weights})" if weights else str(source["name"])


def _measure(
    bench: Bench, row: Row, columns: Mapping[str, Column], run: FinishedRun, who: Who, dataset: ImageDataset | None
) -> dict[str, float]:
    """The columns' numbers, from the run's score file where it has them."""
    recipe = bench.recipe
    asked = dict.fromkeys(column.metric for column in columns.values() if column.metric != LOG)
    metrics = tuple(m for m in asked if run.has("generator") or m not in IMAGE_METRICS)
    missing = set(metrics) - set(_scores_of(run, who))
    if missing:
        device = find_device(bench.device)
        num_train = row.num_images or recipe.num_train
        judge = _judge(bench, run, dataset) if missing & set(JUDGED) else None
        evaluate_run(run, dataset, metrics, num_train, recipe.num_test, 0, who, device, judge)
    trained = load_run(run.folder / CONTROL) if who == "control" else run
    scores: dict[str, Any] = dict(_scores_of(run, who))
    if trained.log:  # an untrained control has none
        scores[LOG] = {"result": {}, "scores": trained.log[-1]}
    return {
        title: _number(scores[column.metric], column.scalar)
        for title, column in columns.items()
        if column.metric in scores
    }


def _judge(bench: Bench, run: FinishedRun, dataset: ImageDataset | None) -> str:
    """Who judges edited images: the one asked for, the recipe's, or one trained on the images, once for all cells."""
    given = bench.predictor or bench.recipe.predictor
    if given is not None:
        return given
    images = dataset_of(run) if dataset is None else dataset
    if images is None:
        raise ValueError(
            f"a column of {bench.name} needs somebody who sees attributes in images, and the generator does not say "
            "what images it was trained on; name them with --data, or a predictor with --predictor"
        )
    cls = CATALOG.get(PREDICTOR)
    method = cls.of(**cls.presets.get(bench.recipe.presets.get(bench.scale, ""), {}))
    folder = bench.out / slug(PREDICTOR)
    method.fit(images, Run(folder, device=bench.device, resume=True))
    return str(folder)


def _scores_of(run: FinishedRun, who: Who) -> dict[str, dict[str, dict[str, Any]]]:
    return {line["metric"]: line for line in read_scores(run.folder) if line["of"] == who}


def _number(line: Mapping[str, Mapping[str, Any]], path: str) -> float:
    """A scalar by its name, or an entry of one of the result's arrays by name and places: ``matrix.0.1``."""
    name, *places = path.split(".")
    # A scalar may bear the name of the array it is the mean of.
    value = line["result"][name] if places or name not in line["scores"] else line["scores"][name]
    for place in places:
        value = value[int(place)]
    return float(value)


def _write_results(bench: Bench, cells: Sequence[Cell]) -> str:
    recipe, device = bench.recipe, find_device(bench.device)
    by_row = {row.name: [cell for cell in cells if cell.row == row.name] for row in recipe.rows}
    facts: dict[str, Any] = {
        "recipe": bench.name,
        "title": recipe.title,
        "table": recipe.table,
        "scale": bench.scale,
        "source": ", ".join(dict.fromkeys(cell.source for cell in cells)),
        "command": shlex.join(command.recorded()),
        "environment": environment(device),
        "date": time.strftime("%Y-%m-%d"),
        "remark": recipe.remark,
    }
    results = {
        row.name: {
            "published": {title: list(numbers) for title, numbers in row.published.items()},
            "cells": [cell._asdict() for cell in by_row[row.name]],
        }
        for row in recipe.rows
    }
    write_json(bench.out / "results.json", {**facts, "rows": results})
    table = results_table(recipe, by_row)
    if recipe.against and (paired := paired_table(recipe, by_row)):
        table = f"{table}\n\n{paired}"
    about = [f"- {key}: {value}" for key, value in facts.items() if value and key not in ("title", "environment")]
    about += [f"- {key}: {value}" for key, value in facts["environment"].items() if key != "started"]
    write_text(bench.out / "results.md", "\n".join([f"# {recipe.title}", "", table, "", *about, ""]))
    return table
