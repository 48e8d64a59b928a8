"""What every recipe promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from contrafact.bench.plan import settings_of
from contrafact.bench.recipe import LOG, SCALES, Recipe, Row, Scale, Trained, column_of
from contrafact.contract.promise import expect
from contrafact.core.catalog import unknown_name_message
from contrafact.core.settings import flat_fields
from contrafact.evaluation.representations import parse_target
from contrafact.evaluation.run import CONTROL
from contrafact.generators.checkpoints import load_generator
from contrafact.methods import CATALOG


@dataclass(frozen=True)
class Subject:
    """A recipe to check.

    Attributes:
        recipe: the recipe.
    """

    recipe: Recipe

    def trained(self) -> list[tuple[Row, Any]]:
        """Rows whose method this version has, and the method."""
        rows = [*self.recipe.rows, *(replace(source.row(), scales=(scale,)) for scale, source in self.generators())]
        return [(row, CATALOG.get(row.method)) for row in rows if row.method != CONTROL and row.method in CATALOG]

    def generators(self) -> list[tuple[Scale, Trained]]:
        """Generators that are trained before the rows, each with a scale at which it is."""
        every = [
            (scale, row.source.get(scale) if isinstance(row.source, Mapping) else row.source)
            for row in self.recipe.rows
            for scale in row.scales
        ]
        return [
            (scale, source) for scale, source in (*self.recipe.sources.items(), *every) if isinstance(source, Trained)
        ]


def describes_itself(subject: Subject) -> None:
    """It has a title, says whose table it is, and has rows and columns, each row with a name of its own."""
    recipe = subject.recipe
    expect(recipe.title.strip(), "give it a title: what the table shows")
    expect(recipe.table.strip(), "say in table whose it is: 'DisCo, Table 1', or 'none: ours'")
    expect(recipe.rows, "give it rows: rows=(Row('as printed', 'disco'), ...); one row needs a comma behind it")
    expect(recipe.columns, "give it columns: columns={'MIG': ('mig', 'score')}")
    names = [row.name for row in recipe.rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    expect(not twice, f"rows of one name, {', '.join(twice)}, would share a folder; name each otherwise")
    for label, rows in recipe.curves.items():
        for name in rows:
            expect(name in names, f"curve {label!r}: {unknown_name_message('row of this recipe', name, names)}")


def names_methods_that_are_there(subject: Subject) -> None:
    """Every row's method is here, and a control follows the row it controls."""
    for place, row in enumerate(subject.recipe.rows):
        if row.method == CONTROL:
            expect(place > 0, f"row {row.name!r} is a control, so it must follow the row it controls")
        else:
            expect(row.method in CATALOG, unknown_name_message("method", row.method, CATALOG.names()))


def trains_generators_that_are_there(subject: Subject) -> None:
    """A generator that is trained before the rows has a method that yields one, and seeds."""
    for _, source in subject.generators():
        expect(source.method in CATALOG, unknown_name_message("method", source.method, CATALOG.names()))
        cls = CATALOG.get(source.method)
        fits = cls.source == "images" and "generator" in cls.yields
        expect(fits, f"{source.method} trains no generator on images; a source that is Trained needs one that does")
        expect(source.seeds, f"the generators of {source.method} have no seeds; give at least one")


def measures_what_is_there(subject: Subject) -> None:
    """Every column names a metric, and a generator that loads where it names one."""
    for title, entry in subject.recipe.columns.items():
        column = column_of(entry)
        if column.metric != LOG:
            try:
                parse_target(column.metric)
            except ValueError as error:
                expect(False, f"column {title!r}: {error}")
        if column.generator is not None:
            load_generator(column.generator, column.changes)


def publishes_numbers_of_its_columns(subject: Subject) -> None:
    """Published numbers are (mean, deviation or None) of columns that the table has."""
    recipe = subject.recipe
    for row in recipe.rows:
        for title, numbers in row.published.items():
            expect(title in recipe.columns, f"row {row.name!r} publishes {title!r}, which is no column of the table")
            mean, deviation = numbers
            is_number = isinstance(mean, int | float) and (deviation is None or isinstance(deviation, int | float))
            expect(
                is_number, f"row {row.name!r}, {title!r}: expected (mean, standard deviation or None), got {numbers}"
            )


def gives_settings_that_methods_take(subject: Subject) -> None:
    """At every scale it has, each row's settings are the method's and within their ranges."""
    recipe = subject.recipe
    for row, cls in subject.trained():
        shared = recipe.small if "small" in row.scales else {}
        unknown = {*row.settings, *row.small, *row.elsewhere, *shared} - set(flat_fields(cls))
        expect(not unknown, f"row {row.name!r}: {row.method} has no {', '.join(sorted(unknown))}")
        foreign = [scale for scale in row.scales if scale not in SCALES]
        expect(not foreign, f"row {row.name!r}: scales are among {', '.join(SCALES)}, not {', '.join(foreign)}")
        for scale in row.scales:
            cls.of(**settings_of(recipe, row, scale))
            cls.of(**settings_of(recipe, row, scale) | dict(row.elsewhere))


def starts_from_presets_that_exist(subject: Subject) -> None:
    """A preset it names is one of its methods', and sources are given for scales there are."""
    recipe = subject.recipe
    known = {preset for _, cls in subject.trained() for preset in cls.presets}
    unknown = {preset for preset in recipe.presets.values() if preset not in known}
    expect(
        not unknown, f"no method of it has a preset {', '.join(sorted(unknown))}; they have {', '.join(sorted(known))}"
    )
    scales = {*recipe.presets, *recipe.sources, *recipe.data, *recipe.regression} - {*SCALES}
    expect(not scales, f"scales are among {', '.join(SCALES)}, not {', '.join(sorted(map(str, scales)))}")


CHECKS = (
    describes_itself,
    names_methods_that_are_there,
    trains_generators_that_are_there,
    measures_what_is_there,
    publishes_numbers_of_its_columns,
    gives_settings_that_methods_take,
    starts_from_presets_that_exist,
)
