"""The smoke scale: every row of a recipe in seconds, to see that it runs from end to end; its numbers mean nothing.

Nobody writes it down: it is derived from the recipe's other scales. Methods keep a row's settings but are made tiny by
their names (:mod:`contrafact.core.tiny`); data and generators that are not at hand are replaced by shipped ones.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contrafact.bench.plan import settings_of
from contrafact.bench.recipe import Column, Recipe, Row, Scale, Trained, column_of
from contrafact.core.tiny import tiny
from contrafact.data.load import load_dataset
from contrafact.evaluation.classes import IMAGE_METRICS
from contrafact.evaluation.regression import RegressionSettings
from contrafact.evaluation.run import CONTROL, JUDGED
from contrafact.evaluation.translation import TRANSLATIONS
from contrafact.generators.checkpoints import WEIGHTS, load_generator
from contrafact.methods import CATALOG

SMOKE: Scale = "smoke"
STAND_IN = "shapes3d"
"""Data and generator in place of those that are not at hand."""
CLASS = "floor-hue"
"""Its factor in place of their classes."""
STEPS, TRAIN, TEST, LATENTS, LABELS = 2, 200, 100, 8, 40
BATCH = 12
"""Images of a step: every class of ten has one, as a class knob needs."""
REGRESSION = RegressionSettings(steps=STEPS, batch_size=4, num_directions=4, width=0.1)
_SIDES = (16, 28, 32, 64, None)
_OF_A_GENERATOR = ("layer", "first_layer", "last_layer")


def smoked(recipe: Recipe) -> Recipe:
    """The recipe at its smoke scale.

    Columns that need features of a trained classifier (FID and its kin) are left out.

    >>> from contrafact.bench.recipe import load_recipe
    >>> tiny = smoked(load_recipe("disco-quick"))
    >>> tiny.rows[0].scales, tiny.rows[0].settings["steps"], tiny.num_train
    (('smoke',), 2, 200)
    """
    columns = {title: column_of(entry) for title, entry in recipe.columns.items()}
    featured = (*IMAGE_METRICS, *TRANSLATIONS)
    return replace(
        recipe,
        rows=tuple(_row(recipe, row) for row in recipe.rows),
        columns={title: _column(column) for title, column in columns.items() if column.metric not in featured},
        presets={},
        sources={SMOKE: STAND_IN},
        data={},
        small={},
        regression={SMOKE: REGRESSION},
        num_train=TRAIN,
        num_test=TEST,
        num_latents=LATENTS,
        predictor=None,
        remark="smoke: structure only, the numbers mean nothing",
    )


def _column(column: Column) -> Column:
    """On the generator that it names, or on the stand-in; of attributes by place the first, which any judge has."""
    if column.metric in JUDGED:
        name, *places = column.scalar.split(".")
        column = column._replace(scalar=".".join([name, *("0" for _ in places)]))
    if column.generator is None or _has_generator(column.generator, json.dumps(dict(column.changes))):
        return column
    return column._replace(generator=STAND_IN, changes={})


def _row(recipe: Recipe, row: Row) -> Row:
    few = None if row.num_images is None else min(row.num_images, LABELS)
    plain = replace(
        row, scales=(SMOKE,), small={}, num_images=few, regression=REGRESSION if row.regression else None, source=None
    )
    if row.method == CONTROL or row.method not in CATALOG:
        return plain
    scale: Scale = "small" if "small" in row.scales else "paper"
    source = row.source.get(scale) if isinstance(row.source, Mapping) else row.source
    if CATALOG.get(row.method).source == "images":
        # An encoder that another row begins with sees that row's images, whose side is their generator's.
        is_begun_with = any(other.encoder == row.name for other in recipe.rows)
        asked = json.dumps({**recipe.data.get(scale, {}), **row.data})
        name, data = _data(str(source or STAND_IN), asked, not is_begun_with)
        return replace(plain, source=name, data=data, settings=_settings(recipe, row, scale))
    source = source or recipe.sources.get(scale)
    settings, elsewhere = _settings(recipe, row, scale), _settings(recipe, row, scale, row.elsewhere)
    small = replace(plain, settings=settings, elsewhere={name: elsewhere[name] for name in row.elsewhere})
    if isinstance(source, Trained):
        return replace(small, source=_trained(recipe, source, scale))
    if source is not None and _has_generator(source, json.dumps(dict(row.changes))):
        return replace(small, source=source)
    if "label" in row.changes:  # no generator that comes with the package has classes to stand in
        return replace(plain, scales=())
    # Layers are of the generator that is not there.
    fit = {name: value for name, value in settings.items() if name not in _OF_A_GENERATOR}
    return replace(small, settings=fit, source=STAND_IN, changes={})


def _settings(recipe: Recipe, row: Row, scale: Scale, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every setting of the row's method at that scale, made tiny."""
    method = CATALOG.get(row.method).of(**settings_of(recipe, row, scale) | dict(more or {}))
    small: Any
    try:
        small = method.changed(**tiny(method, STEPS, BATCH))
    except ValueError:  # its tiny queue is no longer than a tiny batch
        small = method.changed(**tiny(method, STEPS))
    settings: dict[str, Any] = small.hyperparameters()
    return settings


def _trained(recipe: Recipe, trained: Trained, scale: Scale) -> Trained:
    """One generator, hardly trained."""
    asked = {**recipe.data.get(scale, {}), **trained.data}
    name, data = _data(trained.source, json.dumps(asked), "size" not in asked)  # not every network takes every side
    return Trained(trained.method, name, _settings(recipe, trained.row(), scale), data=data, seeds=trained.seeds[:1])


@functools.cache
def _has_generator(name: str, changes: str) -> bool:
    """Whether it comes with this package; others may be there or not, and are large."""
    if name.partition(":")[0] != "analytic" and not (WEIGHTS / f"{name}.safetensors").is_file():
        return False
    try:
        load_generator(name, json.loads(changes))
    except ValueError:
        return False
    return True


@functools.cache
def _data(name: str, options: str, is_small: bool = True) -> tuple[str, Mapping[str, Any]]:
    """The data at its smallest side, or the stand-in, with few labels where there were any."""
    asked: dict[str, Any] = json.loads(options)
    for side in _SIDES if is_small else (asked.get("size"),):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load_dataset(name, **{**asked, "size": side})
        except ValueError:
            continue
        return name, {**asked, **({} if side is None else {"size": side})}
    # Labels of one factor, which a method of classes needs, and others do with.
    few = {"labels": LABELS, "factors": (CLASS,)} if "labels" in asked else {}
    return STAND_IN, {"size": _SIDES[0], **few}
