"""What a recipe is: a table of a paper as rows to run, columns to measure, and the numbers that were published.

A recipe is one Python file in ``recipes/`` that defines ``RECIPE``; ``contrafact bench NAME`` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from contrafact.core.catalog import PACKAGE_ROOT, unknown_name_message
from contrafact.core.plugins import admit, is_spelled_out, load_file, load_plugin, load_spelled_out, plugins
from contrafact.evaluation.regression import RegressionSettings

Scale = Literal["smoke", "small", "paper"]
SCALES: tuple[Scale, ...] = ("small", "paper")
"""What a recipe describes; the smoke scale is derived from it (:mod:`contrafact.bench.smoke`)."""
Role = Literal["method", "control", "ceiling", "ablation"]
LOG = "log"
"""In a recipe's columns: not a metric, but the last line of the training log."""


class Column(NamedTuple):
    """What a column measures; a pair of metric and scalar is one too.

    Attributes:
        metric: catalogue name, or ``"log"`` for the last line of the training log.
        scalar: which of its numbers.
        generator: another generator, on which the row's method runs once more to be scored there; None for the row's
            own source.
        changes: arguments of that generator, as :func:`load_generator` takes them.
        scales: scales at which the column makes sense.
        better: which end is the better one, where it is not its metric's: ``higher``, ``lower``, or ``neither``, of a
            number to compare others with; None for the metric's.
    """

    metric: str
    scalar: str
    generator: str | None = None
    changes: Mapping[str, Any] = {}
    scales: tuple[Scale, ...] = ("smoke", "small", "paper")
    better: Literal["higher", "lower", "neither"] | None = None


@dataclass(frozen=True)
class Trained:
    """A generator that is trained first, one for each of its seeds, for all rows that are measured on it.

    A row on it is computed at each seed on each of the generators: five of each are 25 runs, which share five
    trainings, as does every other row and recipe with the same one.

    Attributes:
        method: catalogue name of a method on images that yields a generator.
        source: the data it learns from.
        settings: fields that differ from the scale's preset.
        small: further fields at the small scale.
        data: further options of its data, beside the recipe's.
        seeds: one generator each.

    >>> Trained("stylegan2", "shapes3d", seeds=(0, 1)).seeds
    (0, 1)
    """

    method: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def row(self) -> Row:
        """Its training as a line of a table."""
        return Row(
            f"generator {self.method}", self.method, {}, self.settings, self.small, source=self.source, data=self.data
        )


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: as the table prints it.
        method: catalogue name, or ``"control"`` for the control of the row above. A method that this version does not
            have leaves our side of the row empty.
        published: ``{column: (mean, standard deviation)}``; the second is None where the paper gives none.
        settings: fields that differ from the preset.
        small: further fields at the small scale.
        elsewhere: further fields on the generators that columns name.
        source: generator or data, if other than the recipe's; or a generator that is trained first; a mapping says one
            for each scale, and a scale that it lacks needs ``--source``.
        changes: arguments of its generator that differ, as :func:`load_generator` takes them: ``{"space": "z"}``.
        data: further options of its data, such as ``{"labels": 100}``; the seed of the row chooses which.
        scales: scales at which the row makes sense.
        regression: settings of the encoder for a method that finds directions only, and for a control; None takes the
            recipe's, and for a control the budget of the run it controls.
        num_images: images it is scored on, where that is costly; None takes the recipe's numbers.
        encoder: another row's name, of which the encoder at the same seed is what the method begins with, as its
            setting ``pretrained_encoder``.
        role: what it is in its table: the ``method`` itself; a ``control``, which shows what a method is worth beside
            it; a ``ceiling``, which is told what methods have to find; an ``ablation``, the method with a part of it
            changed or left out. A summary of tables shows the method; no cell's key depends on it.

    >>> Row("random", "random", published={"MIG": (0.1, 0.02)}, settings={"num_directions": 10}).scales
    ('small', 'paper')
    """

    name: str
    method: str
    published: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, Any] = field(default_factory=dict)
    source: str | Trained | Mapping[Scale, str | Trained] | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    scales: tuple[Scale, ...] = SCALES
    regression: RegressionSettings | None = None
    num_images: int | None = None
    encoder: str | None = None
    role: Role = "method"


@dataclass(frozen=True)
class Recipe:
    """A paper's table.

    Attributes:
        title: what the table shows.
        table: paper and number.
        rows: its lines.
        columns: ``{title: (metric, scalar)}``, such as ``{"MIG": ("mig", "score")}``, or ``{title: Column(...)}``.
        presets: named settings methods start from at each scale; one that lacks the name starts from its defaults.
        sources: generator of the rows at each scale, by name or to be trained first; a scale without one needs
            ``--source``.
        data: options of the rows' data at each scale, as ``load_dataset`` takes them: ``{"small": {"size": 16}}``.
        small: fields every row takes at the small scale.
        regression: encoder of rows that find directions only, at each scale.
        num_train: images that metrics are fitted on.
        num_test: held-out images.
        num_latents: how many edits start from in metrics of directions; None for each metric's own number.
        best: also print the best seed, in brackets, for papers that report nothing else.
        predictor: who judges edited images unless somebody else is asked for, as :func:`load_predictor` takes it.
        against: row that every other one is tested against, seed by seed, in a second table.
        sweep: what the number in the rows' names is, where the table is a curve: ``"threshold T"``.
        remark: how the small scale differs from the paper, for the reader of the table.
        curves: rows of each curve by its label, where a sweep is several curves; by default all rows are one.

    >>> from contrafact.bench.recipe import load_recipe
    >>> table = load_recipe("disco-table1")
    >>> isinstance(table, Recipe), table.rows[0].method in __import__("contrafact").methods.CATALOG
    (True, True)
    """

    title: str
    table: str
    rows: tuple[Row, ...]
    columns: Mapping[str, tuple[str, str] | Column]
    presets: Mapping[Scale, str] = field(default_factory=dict)
    sources: Mapping[Scale, str | Trained] = field(default_factory=dict)
    data: Mapping[Scale, Mapping[str, Any]] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    regression: Mapping[Scale, RegressionSettings] = field(default_factory=dict)
    num_train: int = 10_000
    num_test: int = 5_000
    num_latents: int | None = None
    best: bool = False
    predictor: str | None = None
    against: str = ""
    sweep: str = ""
    remark: str = ""
    curves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a comparison with a row that is not there, and a role that there is not."""
        names = [row.name for row in self.rows]
        for row in self.rows:
            if row.role not in get_args(Role):
                raise ValueError(unknown_name_message("role", row.role, get_args(Role)))
            if row.encoder is not None and row.encoder not in names:
                raise ValueError(unknown_name_message("row of this recipe", row.encoder, names))
        if self.against and self.against not in names:
            raise ValueError(unknown_name_message("row of this recipe", self.against, names))


def methods_of(recipe: Recipe) -> list[str]:
    """Names of all methods that a recipe trains, each once: its rows' and its generators'."""
    own = [row.source.values() if isinstance(row.source, Mapping) else [row.source] for row in recipe.rows]
    sources = [*recipe.sources.values(), *(source for row in own for source in row)]
    generators = [source.method for source in sources if isinstance(source, Trained)]
    return list(dict.fromkeys([*(row.method for row in recipe.rows), *generators]))


def column_of(entry: tuple[str, str] | Column) -> Column:
    """A recipe's entry, whichever form it has."""
    return entry if isinstance(entry, Column) else Column(*entry)


def recipe_folder() -> Path:
    """Where the recipes are: inside an installed package, or at the top of a checkout."""
    installed = PACKAGE_ROOT / "recipes"
    return installed if installed.is_dir() else PACKAGE_ROOT.parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Names of all recipes, with hyphens; those of installed packages included."""
    own = (path.stem for path in recipe_folder().glob("*.py"))
    return sorted({name.replace("_", "-") for name in (*own, *plugins("recipes"))})


def load_recipe(name: str) -> Recipe:
    """The recipe called ``name`` (``disco-table1``), in any spelling; or ``FILE.py``'s ``RECIPE``, or ``FILE.py:NAME``.

    Raises:
        ValueError: unknown name (the nearest one is suggested), or a file that holds no recipe.

    >>> load_recipe("disco-table1").table
    'Ren et al. 2022, Table 1, Shapes3D'
    """
    path = recipe_folder() / f"{name.replace('-', '_').lower()}.py"
    offered = {point.replace("_", "-"): entry for point, entry in plugins("recipes").items()}
    wanted = name.replace("_", "-").lower()
    if is_spelled_out(name) or name.endswith(".py"):
        recipe = load_spelled_out(name if is_spelled_out(name) else f"{name}:RECIPE")
    elif path.is_file():
        recipe = load_file(path).RECIPE
    elif wanted in offered:
        recipe = load_plugin(offered[wanted])
    else:
        raise ValueError(unknown_name_message("recipe", name, recipe_names()))
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{name} is no recipe: expected a contrafact.bench.recipe.Recipe, got {type(recipe).__name__}")
    for method in methods_of(recipe):
        admit(method)  # a recipe is code itself, and may name more of it
    return recipe
