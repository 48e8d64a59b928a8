"""What is refused before the first cell is computed: names, options and sources, so that no night is lost to a slip."""

from __future__ import annotations

import warnings
from typing import Any

from contrafact.bench.cells import is_done, source_of_cell
from contrafact.bench.divided import processes_of
from contrafact.bench.plan import RUN, Bench, Cell, can_run, method_of, plan, source_of
from contrafact.bench.recipe import LOG, Row, column_of
from contrafact.core.generator import Generator
from contrafact.core.ranges import Seed, check_value
from contrafact.core.run import Run, find_device
from contrafact.data.load import load_dataset
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.run import CONTROL
from contrafact.methods import CATALOG
from contrafact.nn.attributes import load_predictor


def asked_rows(bench: Bench) -> set[str]:
    """Names of the rows to run: those called exactly so, else those with the words in their name.

    Raises:
        ValueError: no row has them.
    """
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


def check(bench: Bench, asked: set[str]) -> list[Cell]:
    """Make every method and read every source that is still needed.

    Returns:
        the cells (:func:`~contrafact.bench.plan.plan`).

    Raises:
        ValueError: a name, an option or a source that is refused, or nothing that can run at this scale.
    """
    if not bench.seeds:
        raise ValueError("there are no seeds; give at least one")
    for seed in bench.seeds:
        check_value("seeds", seed, Seed)
    find_device(bench.device)
    for column in map(column_of, bench.recipe.columns.values()):
        if column.metric != LOG:
            parse_target(column.metric)
    if bench.judge is not None:
        load_predictor(bench.judge)
    if bench.data is not None:
        load_dataset(bench.data)
    _check_controls(bench, asked)
    cells = _checked_plan(bench, asked)
    if not cells:
        raise ValueError(f"{bench.name}: {why_nothing(bench, asked)}")
    return cells


def rows_without_source(bench: Bench, asked: set[str]) -> list[str]:
    """Names of the rows that would run at this scale if ``--source`` named what they learn from."""
    return [
        row.name
        for row in bench.recipe.rows
        if row.name in asked and bench.scale in row.scales and row.method in CATALOG and source_of(bench, row) is None
    ]


def why_nothing(bench: Bench, asked: set[str]) -> str:
    """Why no cell is planned of these rows at this scale, and what to bring, as the recipe's remark has it."""
    nothing = f"nothing of it can run at the {bench.scale} scale"
    scales = sorted({scale for row in bench.recipe.rows if row.name in asked for scale in row.scales})
    if bench.scale not in scales:
        return f"{nothing}: its rows are at --scale {' and --scale '.join(scales)}"
    if not rows_without_source(bench, asked):
        return f"{nothing}: this version has none of its methods"
    remark = f". Its remark: {bench.recipe.remark}" if bench.recipe.remark else ""
    return f"{nothing} as it is: it needs a generator of your own, name it with --source{remark}"


def _checked_plan(bench: Bench, asked: set[str]) -> list[Cell]:
    """The cells, of which every training's source is one that its method can learn from."""
    for row in bench.recipe.rows:
        if row.method != CONTROL and row.name in asked and can_run(bench, row):
            method_of(bench, row)  # its settings are refused as they are, whatever the source
    cells = plan(bench, asked)
    unfit: dict[str, str] = {}
    seen: set[Any] = set()
    for cell in (cell for cell in cells if cell.kind == "train" and not is_done(bench, cell)):
        if not all(is_done(bench, need) for need in cell.needs):
            continue  # the generator that it is on is yet to be trained
        # Seeds differ in nothing that could be refused, but in the labels they choose.
        what = (cell.row.name, cell.options["source"])
        if what in seen:
            continue
        seen.add(what)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said when the cell is run
                run = Run(bench.cells / cell.key / RUN, seed=cell.seed, device=bench.device)
                source = source_of_cell(cell)
                method = cell.options["method"].share(processes_of(bench, cell))
                method.check_source(source.to(run.device) if isinstance(source, Generator) else source, run)
        except ValueError as error:
            if bench.source is None or cell.options["source"] != bench.source:
                raise ValueError(f"{bench.name}, row {cell.row.name!r}: {error}") from error
            unfit[cell.row.name] = str(error)
    if unfit:
        _refuse_source(bench, asked, unfit)
    return cells


def _refuse_source(bench: Bench, asked: set[str], unfit: dict[str, str]) -> None:
    """Some rows cannot learn from what ``--source`` names: say which can."""
    rows: list[Row] = [
        row for row in bench.recipe.rows if row.method != CONTROL and row.name in asked and can_run(bench, row)
    ]
    fit = [row.name for row in rows if row.name not in unfit]
    name, reason = next(iter(unfit.items()))
    advice = f"name those that can with --rows: {'; '.join(fit)}" if fit else "leave --source out"
    kind = next(CATALOG.get(row.method).source for row in rows if row.name == name)
    raise ValueError(
        f"{bench.name}: {len(unfit)} of {len(rows)} rows cannot use --source {bench.source}; {advice}. "
        f"Row {name!r} learns from {'a generator' if kind == 'generator' else 'images'}: {reason}"
    )


def _check_controls(bench: Bench, asked: set[str]) -> None:
    """Refuse a control of a row that can have none."""
    before: Row | None = None
    for row in bench.recipe.rows:
        if row.method != CONTROL:
            before = row
        elif before is not None and row.name in asked and before.method in CATALOG:
            cls = CATALOG.get(before.method)
            if not {"directions", "encoder"} & {*cls.yields} and source_of(bench, before) is not None:
                raise ValueError(
                    f"{bench.name}, row {row.name!r}: {before.method} yields neither directions nor an encoder, so it "
                    "has no control; take the row out of the recipe"
                )
