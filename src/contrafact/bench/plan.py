"""What a recipe comes to: cells, each of which one process computes once, in the order in which they help most.

A cell is a training, the encoder regressed for it, its control, the judge of edited images, or the scores of a row at a
seed; it is known by a hash of all that its result depends on, so that rows and recipes that share one compute it once.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from contrafact.bench.contents import contents_of
from contrafact.bench.identity import identity
from contrafact.bench.kept import finished_cells, kept_cells
from contrafact.bench.recipe import LOG, Column, Recipe, Row, Scale, Trained, column_of
from contrafact.core.catalog import slug
from contrafact.core.device import find_device
from contrafact.core.ranges import Panels, check_value
from contrafact.core.settings import check_names
from contrafact.core.tiny import tiny
from contrafact.evaluation.regression import RegressionSettings
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.result import info_of
from contrafact.evaluation.run import CONTROL, JUDGED
from contrafact.methods import CATALOG

Kind = Literal["train", "read", "control", "judge", "score"]
PREDICTOR = "attribute_predictor"
"""The method that trains the judge of edited images."""
CELLS = "cells"
_MEASURED = 4
"""Entries of a column that say what is measured."""
ENCODER = "encoder.safetensors"
RUN = "run"
"""Folder of a training's run in its cell's."""


@dataclass(frozen=True)
class Bench:
    """A recipe and how to run it.

    Attributes:
        name: the recipe's name.
        recipe: rows, columns and published numbers.
        out: folder of the results.
        scale: ``small`` is what two cores do, ``paper`` the paper's own settings; ``smoke``, seconds for a recipe that
            :func:`~contrafact.bench.smoke.smoked` made, is for its structure only.
        seeds: the seeds of every row.
        source: generator, or data for rows on images, instead of the recipe's; every row that is run uses it.
        data: images to score on, instead of those the source was trained on.
        device: where to train.
        predictor: who judges edited images, for columns that need it; by default the recipe's, or one trained on the
            images.
        rows: names of the rows to run, or parts of them; by default all. The others stay in the table as they are.
        store: folder of the cells, which recipes may share; by default ``cells`` in ``out``.
        generators: seeds of the generators that are trained first; by default those that the recipe says.
        kept: a ``results.json`` whose scores are not computed again, though their runs may not be here.
        processes: how many train a method together, each with its share of a step's images
            (:mod:`contrafact.bench.divided`); all else is one process's work.
        finished: a folder of ``results.json`` files, whatever their names, whose scores are not computed again either,
            where they are of this scale and of the kind of this device.
    """

    name: str
    recipe: Recipe
    out: Path
    scale: Scale = "small"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    source: str | None = None
    data: str | None = None
    device: str = "auto"
    predictor: str | None = None
    rows: tuple[str, ...] = ()
    store: Path | None = None
    generators: tuple[int, ...] | None = None
    kept: Path | None = None
    processes: int = 1
    finished: Path | None = None

    def __post_init__(self) -> None:
        """Leave out the columns of other scales, and refuse no processes at all (ValueError)."""
        check_value("processes", self.processes, Panels)
        every = self.recipe.columns
        here = {title: entry for title, entry in every.items() if self.scale in column_of(entry).scales}
        if len(here) < len(every):
            object.__setattr__(self, "recipe", replace(self.recipe, columns=here))

    @property
    def judge(self) -> str | None:
        """Who judges edited images; None for one that is trained."""
        return self.predictor or self.recipe.predictor

    @property
    def cells(self) -> Path:
        """Folder of the cells."""
        return self.out / CELLS if self.store is None else self.store


@dataclass(frozen=True, eq=False)
class Cell:
    """One piece of work.

    Attributes:
        kind: ``train`` a row's method; ``read``: regress an encoder from its directions; ``control``: train its
            control; ``judge``: train the predictor that judges edited images; ``score`` the row.
        row: the row it is for, or the first that it is for.
        seed: the row's seed.
        facts: all that its result depends on, as it can stand in a JSON file.
        method: what it trains, or scores.
        needs: cells that must be finished before.
        options: how it is made from its row.
        generator: seed of the generator that it is on, where that was trained first.
    """

    kind: Kind
    row: Row
    seed: int
    facts: Mapping[str, Any]
    method: str
    needs: tuple[Cell, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    generator: int | None = None

    @cached_property
    def key(self) -> str:
        """Its name, and the name of its folder: what it is, and a hash of :attr:`facts`."""
        text = json.dumps([self.kind, self.facts], sort_keys=True, default=_plain)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{'' if self.kind == 'train' else f'{self.kind}-'}{slug(self.method)}-seed{self.seed}-{digest}"

    @property
    def trained(self) -> Cell:
        """The training whose run it reads."""
        return self if self.kind in ("train", "judge") else self.needs[0].trained

    @property
    def origin(self) -> Cell:
        """The training that saw images first: that of the generator it is on, or its own."""
        before = self.needs if self.kind != "train" or self.generator is not None else ()
        return before[0].origin if before else self

    def with_needs(self) -> Iterator[Cell]:
        """All it needs, directly or not, then itself."""
        for cell in self.needs:
            yield from cell.with_needs()
        yield self


def _plain(value: Any) -> Any:
    """What JSON has no form for: a path, or an object of somebody's own by its class."""
    return str(value) if isinstance(value, Path) else f"{type(value).__module__}.{type(value).__qualname__}"


def plan(bench: Bench, asked: set[str]) -> list[Cell]:
    """Every cell that rows in ``asked`` need, each once: seed by seed, rows in the recipe's order, needs first.

    Of scores that are known, and of what they alone need, there is none.
    """
    cells: dict[str, Cell] = {}
    known = known_cells(bench)
    for score in (cell for cell in score_cells(bench, asked) if cell.key not in known):
        for cell in score.with_needs():
            cells.setdefault(cell.key, cell)
    return list(cells.values())


def known_cells(bench: Bench) -> dict[str, Mapping[str, Any]]:
    """Finished score cells by their key, as they stand in results: those that somebody kept before all others.

    Raises:
        ValueError: a file that holds no results, or a device that is not there.
    """
    if bench.finished is None:
        return {**kept_cells(bench.kept)}
    kind = find_device(bench.device).type
    return {**finished_cells(bench.finished, bench.name, bench.scale, kind), **kept_cells(bench.kept)}


def taken(bench: Bench, asked: set[str]) -> dict[str, Path]:
    """The folders that hold the known scores of rows in ``asked``, by their cells' keys."""
    known, kept = known_cells(bench), kept_cells(bench.kept)
    places: dict[str, Path] = {}
    for key in (cell.key for cell in score_cells(bench, asked)):
        if bench.kept is not None and key in kept:
            places[key] = bench.kept.parent
        elif bench.finished is not None and key in known:
            places[key] = bench.finished
    return places


def spoken(cell: Cell) -> str:
    """Row and seeds: ``DisCo, seed 0``, ``DisCo, seed 0 on generator 3``."""
    on = "" if cell.generator is None else f" on generator {cell.generator}"
    return f"{cell.row.name}, seed {cell.seed}{on}"


def score_cells(bench: Bench, asked: set[str]) -> Iterator[Cell]:
    """The cells whose numbers stand in the table: each row at every seed, then the same on further generators.

    Where generators are trained first, the first round takes another one at every seed, so that both vary as soon as
    there is more than one number.
    """
    rows = [(row, generator_seeds(bench, row) or (None,)) for row in bench.recipe.rows if can_run(bench, row)]
    rounds = max((len(generators) for _, generators in rows), default=0)
    for turn, (place, seed) in itertools.product(range(rounds), enumerate(bench.seeds)):
        before: Cell | None = None
        for row, generators in rows:
            if row.method != CONTROL:
                is_over = turn >= len(generators)
                generator = generators[(place + turn) % len(generators)]
                before = None if is_over else _train_cell(bench, row, seed, generator=generator)
            if row.name in asked and before is not None:
                yield _score_cell(bench, row, seed, before)
            elif row.name in asked and turn == 0:
                raise ValueError(f"row {row.name!r} is a control, so it must follow the row it controls")


def generator_seeds(bench: Bench, row: Row) -> tuple[int, ...]:
    """Seeds of the generators that are trained before a row; none where its source is there."""
    if row.method == CONTROL:
        return ()
    source = source_of(bench, row)
    return (bench.generators or source.seeds) if isinstance(source, Trained) else ()


def can_run(bench: Bench, row: Row) -> bool:
    """Whether a row makes sense at the scale, and its method and source are there."""
    if bench.scale not in row.scales:
        return False
    if row.method == CONTROL:
        return True
    if row.method not in CATALOG or (source := source_of(bench, row)) is None:
        return False
    return not isinstance(source, Trained) or source.method in CATALOG


def source_of(bench: Bench, row: Row) -> str | Trained | None:
    """Generator or data of a row: the one asked for, else the row's own, else on generators the recipe's."""
    if bench.source is not None:
        return bench.source
    if row.source is not None:
        return row.source.get(bench.scale) if isinstance(row.source, Mapping) else row.source
    return bench.recipe.sources.get(bench.scale) if CATALOG.get(row.method).source == "generator" else None


def settings_of(recipe: Recipe, row: Row, scale: Scale) -> dict[str, Any]:
    """A row's settings at a scale, the preset's among them."""
    preset = CATALOG.get(row.method).presets.get(recipe.presets.get(scale, ""), {})
    small = {**recipe.small, **row.small} if scale == "small" else {}
    begun = {} if row.encoder is None else {"pretrained_encoder": row.encoder}
    return {**preset, **row.settings, **small, **begun}


def method_of(bench: Bench, row: Row, **fields: Any) -> Any:
    """The row's method with its settings at this scale."""
    cls = CATALOG.get(row.method)
    settings = settings_of(bench.recipe, row, bench.scale) | fields
    check_names(cls, settings, f"{row.method} in row {row.name!r}")
    return cls.of(**settings)


def _identity(method: Any) -> dict[str, Any]:
    """A method's settings, as far as they tell its cells from others."""
    return identity(method.name(), method.hyperparameters(), method.older)


def judge_of(bench: Bench) -> Any:
    """The method that trains the judge."""
    cls = CATALOG.get(PREDICTOR)
    method = cls.of(**cls.presets.get(bench.recipe.presets.get(bench.scale, ""), {}))
    return method.changed(**tiny(method)) if bench.scale == "smoke" else method


def regression_of(bench: Bench, row: Row) -> RegressionSettings | None:
    """How the encoder of a row's directions is trained."""
    return row.regression or bench.recipe.regression.get(bench.scale)


def data_options(bench: Bench, row: Row, seed: int) -> dict[str, Any]:
    """How a row's images are loaded."""
    options = {**bench.recipe.data.get(bench.scale, {}), **row.data}
    return options | ({"label_seed": seed} if "labels" in options else {})


Place = tuple[str | None, tuple[tuple[str, Any], ...]]
"""A generator that columns name, and its changes; None for the row's own source."""


def places_of(recipe: Recipe) -> dict[Place, dict[str, Column]]:
    """The columns by the generator they are measured on."""
    places: dict[Place, dict[str, Column]] = {}
    for title, column in ((title, column_of(entry)) for title, entry in recipe.columns.items()):
        places.setdefault((column.generator, tuple(column.changes.items())), {})[title] = column
    return places


def _train_cell(bench: Bench, row: Row, seed: int, place: Place | None = None, generator: int | None = None) -> Cell:
    """The row's method on its source, on a generator that a column names, or on one that is trained before."""
    on_generator = CATALOG.get(row.method).source == "generator"
    source, changes = (source_of(bench, row), tuple(row.changes.items())) if place is None else place
    assert source is not None, "rows without a source are not run"
    options = dict(changes) if on_generator else data_options(bench, row, seed)
    method = method_of(bench, row, **(row.elsewhere if place else {}))
    facts: dict[str, Any] = {"method": row.method, "settings": _identity(method)}
    needs: tuple[Cell, ...] = ()
    begun: tuple[Cell, ...] = ()
    if row.encoder is not None:
        begun = (_train_cell(bench, next(other for other in bench.recipe.rows if other.name == row.encoder), seed),)
        method = method.changed(pretrained_encoder=str(bench.cells / begun[0].key / RUN / ENCODER))
        facts["encoder of"] = begun[0].key
    if isinstance(source, Trained):
        assert generator is not None, "it is trained at a seed"
        needs = (_train_cell(replace(bench, source=None), source.row(), generator),)
        facts |= {"source": {"of": needs[0].key, **options}, "seed": seed, "contents": [contents_of(row.method), None]}
        name = str(bench.cells / needs[0].key / RUN)
    else:
        name = source
        contents = [contents_of(row.method), contents_of(name)]
        facts |= {"source": {"name": name, **options}, "seed": seed, "contents": contents}
    how = {"source": name, "options": options, "method": method}
    return Cell("train", row, seed, facts, row.method, (*needs, *begun), how, generator)


def _score_cell(bench: Bench, row: Row, seed: int, train: Cell) -> Cell:
    """A row at a seed: what it needs, and what is measured."""
    read = train
    metrics = [column_of(entry).metric for entry in bench.recipe.columns.values()]
    if "encoder" not in CATALOG.get(train.method).yields and any(map(_sees_codes, metrics)):
        read = _on_top("read", train, regression_of(bench, train.row))
    needs = [_on_top("control", read, row.regression) if row.method == CONTROL else read]
    if row.method != CONTROL and CATALOG.get(row.method).source == "generator":
        needs += [_train_cell(bench, row, seed, place) for place in places_of(bench.recipe) if place[0] is not None]
    if bench.judge is None and set(metrics) & set(JUDGED):
        needs.append(_judge_cell(bench, train))
    latents = [] if bench.recipe.num_latents is None else [bench.recipe.num_latents]
    facts = {
        "of": [cell.key for cell in needs],
        "columns": {title: column_of(entry)[:_MEASURED] for title, entry in bench.recipe.columns.items()},
        "images": [row.num_images or bench.recipe.num_train, bench.recipe.num_test, *latents],
        "data": bench.data,
        "predictor": bench.judge,
        "contents": [contents_of(bench.data), contents_of(bench.judge)],
    }
    return Cell("score", row, seed, facts, train.method, tuple(needs), generator=train.generator)


def _sees_codes(metric: str) -> bool:
    """Whether a column's metric is one of codes, for which directions need an encoder."""
    return metric != LOG and info_of(parse_target(metric).metric).kind in ("static", "interventional")


def _on_top(kind: Kind, base: Cell, regression: RegressionSettings | None) -> Cell:
    """A control of a training, or an encoder regressed for it; both lie in the training's folder."""
    read = None if regression is None else identity("regression", asdict(regression), regression.older)
    facts = {"of": base.key, "regression": read}
    return Cell(kind, base.row, base.seed, facts, base.method, (base,), {"regression": regression}, base.generator)


def _judge_cell(bench: Bench, train: Cell) -> Cell:
    """The judge, one for all rows and seeds on the same images: a run on them says which they are."""
    source = (
        {**train.origin.facts["source"], "contents": train.origin.facts["contents"][1]}
        if bench.data is None
        else {"data": bench.data, "contents": contents_of(bench.data)}
    )
    method = judge_of(bench)
    facts = {"method": PREDICTOR, "settings": _identity(method), "images of": source}
    return Cell("judge", train.row, 0, facts, PREDICTOR, (train,), {"method": method})
