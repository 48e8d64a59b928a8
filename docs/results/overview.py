"""Write docs/results.md, docs/scale.md's costs, this folder's tables and pictures from its JSON files, and the
leaderboards' tables from the suites': ``python docs/results/overview.py``.

Every number of the page is in a JSON file that ``contrafact bench`` wrote; which table shows a method on some data is
decided by the number of seeds, then whether it is a paper's, then by date, never by its scores.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import kendalltau

from contrafact.bench.pictures import FEWEST_FOR_A_SHAPE, runs_picture, save, sweep_picture
from contrafact.bench.recipe import Recipe, Role, Row, Scale, load_recipe
from contrafact.bench.results import rewrite, stored
from contrafact.bench.suite import load_suite, shipped, suite_names
from contrafact.bench.suite import standings as places
from contrafact.bench.table import Scores, Standing, ranking_of, split_by_device, standings
from contrafact.core.plugins import load_file
from contrafact.evaluation.pictures import plot_ranking
from contrafact.evaluation.run import CONTROL
from contrafact.methods import CATALOG

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "results.md"
READINGS = FOLDER / "readings.toml"
PICTURES = FOLDER.parent / "pictures"
SHOWN = 2
"""Scores of a line: the first ones of the table it is from."""
ARTICLES = {"control": "a control", "ablation": "an ablation", "ceiling": "a ceiling"}
"""What a row is called that stands for a method for want of another, the one to be chosen first."""
INTRO = """# Results

Every number that was measured here, from the files in `docs/results/` that `contrafact bench` wrote, by
`python docs/results/overview.py`. A line shows the first two scores of its table, mean ± standard deviation over so
many seeds; where several tables have a method on the same data it is from the one with the most seeds, then one of a
paper before one of ours, then the newest, and there from the method's first row: never the best. Rows that a table has
as a control, as a ceiling that is told what methods must find, or as the method with a part left out stand for a method
only where there is nothing else of it, a control first and a ceiling last, and say so. With annotated images
(*labels*: how many, or their share) and without are two lines. Scores of different tables are comparable only where
they have the same budget; each table says its own.

## Methods × data

"""
PAPERS = """
## Beside the papers

Only rows that have both a number of ours and a published one. *Order* is Kendall's τ between our means and the
published ones over those rows: 1 where the rows come in the published order, −1 where in the opposite one; below
three rows there is none to speak of. *Difference* is the mean of ours less published. *Why* is what explains where they
part, as far as we can tell; ours are small, so that they can tell the order at most. The page that a line links to says
more.

"""
DRAWN = """
## Runs, curves and ranks

Dots are runs, bars their means, diamonds what was published; of the tables in which two rows or more have five runs.
Where a table sweeps a setting its means and their deviations are a curve over it. Ranks are of a table's first column,
where all rows share five runs or more: of so few, and so many rows, no difference however large can be told once
corrected for the number of pairs, so that the bar joins them all.

"""
MISSING = """
## Not measured

"""


class Measured(NamedTuple):
    """One row of a table: its method, the data it saw, scores over seeds."""

    recipe: str
    row: str
    method: str
    data: str
    scores: dict[str, list[float]]
    seeds: int
    date: str
    role: Role = "method"
    labels: float = 0


class Picture(NamedTuple):
    """A picture of the page: what it shows, its file's name, and what draws it."""

    text: str
    file: str
    figure: Callable[[], Any]


def measured() -> Iterator[Measured]:
    """Every row of every file, in the recipes' order; one that was computed on processors and on GPUs is two."""
    for path in sorted(FOLDER.glob("*.json")):
        recipe, cells, results = stored(path)
        known = {row.name for row in load_recipe(results["recipe"]).rows}
        recipe = replace(recipe, rows=tuple(row for row in recipe.rows if row.name in known))
        recipe, by_row = split_by_device(recipe, cells)
        for row in recipe.rows:
            if by_row[row.name] and row.method != CONTROL:
                yield Measured(
                    results["recipe"],
                    row.name,
                    row.method,
                    data_of(recipe, row, by_row[row.name], results),
                    scores_of(by_row[row.name]),
                    len(by_row[row.name]),
                    results["date"],
                    row.role,
                    labels_of(recipe, row, results["scale"]),
                )


def data_of(recipe: Recipe, row: Row, cells: Sequence[Scores], results: dict[str, Any]) -> str:
    """What a row learned from: the cells say it, in older files only the recipe does."""
    said = next((cell.source for cell in cells if cell.source), "")
    name = said.split(" ")[0] or row.source or results.get("source") or recipe.sources.get(results["scale"], "")
    return f"generator {name}" if CATALOG.get(row.method).source == "generator" else name.partition(":")[0]


def labels_of(recipe: Recipe, row: Row, scale: Scale) -> float:
    """How many of its images were annotated, or their share; 0 for a method that learned without."""
    asked: float | None = {**recipe.data.get(scale, {}), **row.data}.get("labels")
    return asked or 0


def scores_of(cells: Sequence[Scores]) -> dict[str, list[float]]:
    """The cells' scores by column."""
    titles = dict.fromkeys(title for cell in cells for title in cell.scores)
    return {title: [cell.scores[title] for cell in cells if title in cell.scores] for title in titles}


def spoken(values: list[float]) -> str:
    """Mean ± standard deviation, which no line breaks apart."""
    return f"{np.mean(values):.3f}" + (f"\u00a0±\u00a0{np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def matrix(rows: list[Measured]) -> str:
    """A line per method, in the catalogue's order, data it has a number on, and whether it had labels."""
    itself = {(row.method, row.data) for row in rows if row.role == "method"}
    chosen: dict[tuple[str, str, bool], Measured] = {}
    for row in rows:
        if row.role != "method" and (row.method, row.data) in itself:
            continue
        key = (row.method, row.data, row.labels > 0)
        kept = chosen.get(key)
        if kept is None or (late(kept), *rank(row), kept.recipe) > (late(row), *rank(kept), row.recipe):
            chosen[key] = row
    lines = [["method", "data", "labels", "scores", "seeds", "row of table"], ["---"] * 6]
    for method in CATALOG:
        link = f"[{method}](reference/methods/{method}.md)"
        for _, row in sorted((key[1:], row) for key, row in chosen.items() if key[0] == method):
            there = "" if row.role == "method" else f", there {ARTICLES[row.role]}"
            labels = f"{row.labels:g}" if row.labels else "–"
            lines.append([link, row.data, labels, scores(row), str(row.seeds), f"{row.row}, `{row.recipe}`{there}"])
            link = ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def of_method(name: str, rows: list[Measured]) -> str:
    """A section for a method's page: each of its rows in every table, the newest first; empty where it has none."""
    own = sorted((row for row in rows if row.method == name), key=lambda row: row.date, reverse=True)
    if not own:
        return ""
    lines = [["data", "row", "scores", "seeds", "table", "date"], ["---"] * 6]
    for row in own:
        called = row.row if row.role == "method" else f"{row.row} ({ARTICLES[row.role]})"
        labels = f", {row.labels:g} labels" if row.labels else ""
        lines.append(
            [row.data + labels, called, scores(row), str(row.seeds), f"`contrafact bench {row.recipe}`", row.date]
        )
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        "## In the tables\n\nThe first scores of each row of it that [was computed here](../../results.md), mean ± "
        "standard deviation over seeds; one thread of a processor unless its table says otherwise. Scores of different "
        f"tables are comparable only where their budgets are.\n\n{table}\n"
    )


def late(row: Measured) -> int:
    """How late a row is chosen for what it is in its table: a ceiling, which is told the answer, last."""
    return ["method", *ARTICLES].index(row.role)


def rank(row: Measured) -> tuple[int, bool, str]:
    """What decides between tables: seeds, whether it is a paper's, its date."""
    return row.seeds, not load_recipe(row.recipe).table.startswith("none"), row.date


def scores(row: Measured) -> str:
    """The first scores of a row."""
    titles = [title for title in map(str, load_recipe(row.recipe).columns) if title in row.scores][:SHOWN]
    return ", ".join(f"{title} {spoken(row.scores[title])}" for title in titles)


def beside_papers() -> str:
    """A line per table that has published numbers, and per kind of device, where it has several."""
    lines = [["table", "rows", "order", "difference", "why", "how ours was made"], ["---"] * 6]
    why = readings()
    for path in sorted(FOLDER.glob("*.json")):
        recipe, cells, results = stored(path)
        kinds = list(dict.fromkeys(cell.kind_of_device for runs in cells.values() for cell in runs))
        for kind in kinds:
            here = {row: [cell for cell in runs if cell.kind_of_device == kind] for row, runs in cells.items()}
            rows, orders, gaps = against_papers(recipe, here, results)
            if rows:
                on_kind = f", {kind}" if len(kinds) > 1 else ""
                name = f"{results['table']} (`{results['recipe']}`{on_kind}{reading(path.stem)})"
                remark = results["remark"].replace("|", r"\|")
                lines.append([name, rows, orders or "–", gaps, why.get(path.stem, "–"), remark or "–"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def readings() -> dict[str, str]:
    """Why a table's numbers are not the published ones, by its file's stem; somebody wrote that."""
    return tomllib.loads(READINGS.read_text(encoding="utf-8"))


def against_papers(
    recipe: Recipe, cells: Mapping[str, Sequence[Scores]], results: dict[str, Any]
) -> tuple[str, str, str]:
    """How many rows have a number of ours and a published one, their order, and how far apart they are."""
    orders, gaps, counts = [], [], set()
    means = {row: {title: np.mean(values) for title, values in scores_of(runs).items()} for row, runs in cells.items()}
    for title in recipe.columns:
        both = [
            (means[name][title], line["published"][title][0])
            for name, line in results["rows"].items()
            if title in line["published"] and title in means[name]
        ]
        if both:
            ours, published = np.array(both, dtype=float).T
            orders += [f"{title} {kendalltau(ours, published).statistic:+.2f}"] if len(both) > 2 else []
            gaps.append(f"{title} {np.mean(ours - published):+.2f}")
            counts.add(len(both))
    rows = "–".join(map(str, sorted({min(counts), max(counts)}))) if counts else ""
    return rows, "; ".join(orders), "; ".join(gaps)


def reading(table: str) -> str:
    """A link to the page that shows a table and says what to make of it."""
    for page in sorted((FOLDER.parent / "methods").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if f"/results/{table}.md" in text or f"results/{table}.json" in text:
            return f", [its reading](reference/methods/{page.stem}.md)"
    return ""


def missing(rows: list[Measured]) -> str:
    """Methods that no table has."""
    names = [name for name in CATALOG if name not in {row.method for row in rows}]
    listed = ", ".join(f"[{name}](reference/methods/{name}.md)" for name in names)
    return (
        f"No table of this folder has {listed}; their pages say what was run.\n"
        if names
        else "Every method has a number.\n"
    )


def on(results: dict[str, Any]) -> str:
    """The generator of a whole table."""
    return f", {results['source'].split()[0]}" if results.get("source") else ""


def drawn() -> Iterator[Picture]:
    """The pictures: runs where two rows have many, a curve where the recipe sweeps a setting, ranks over many runs."""
    for path in sorted(FOLDER.glob("*.json")):
        recipe, cells, results = stored(path)
        recipe, by_row = split_by_device(recipe, cells)
        of, title = path.stem, results["title"] + on(results)
        if sum(len(runs) >= FEWEST_FOR_A_SHAPE for runs in by_row.values()) > 1:
            yield Picture(f"{title}: every run", f"runs-{of}.png", partial(runs_picture, recipe, by_row))
        if recipe.sweep and sum(map(bool, by_row.values())) > 1:
            yield Picture(f"{title}: over {recipe.sweep}", f"sweep-{of}.png", partial(sweep_picture, recipe, by_row))
        for first in standings(recipe, by_row)[:1]:
            runs = len(first.scores[first.order[0]])
            if len(first.order) > 2 and runs >= FEWEST_FOR_A_SHAPE:
                text = f"{title}: mean ranks by {first.title} over {runs} runs"
                yield Picture(text, f"ranks-{of}.png", partial(ranks_picture, recipe, first))


def ranks_picture(recipe: Recipe, standing: Standing) -> Any:
    """A critical-difference diagram of a column."""
    return plot_ranking(ranking_of(recipe, standing.title, standing.scores)).figure


def draw() -> None:
    """Draw them anew."""
    for picture in drawn():
        save(picture.figure(), PICTURES / picture.file)


def pictured() -> str:
    """The pictures, each with what it shows."""
    return "\n".join(f"![{picture.text}](pictures/{picture.file})\n" for picture in drawn())


def page() -> str:
    """The whole page."""
    rows = list(measured())
    return INTRO + matrix(rows) + PAPERS + beside_papers() + DRAWN + pictured() + MISSING + missing(rows)


def boards() -> Iterator[tuple[Path, str]]:
    """A file for each suite, and what is in it: how the catalogued methods stand, as the package ships it."""
    for name in suite_names():
        results = shipped(name)
        table = places(load_suite(name), name, FOLDER).markdown()
        facts = f"`{results['command']}`, {results['date']}, {results['environment']['device']}"
        yield FOLDER / f"suite_{name.replace('-', '_')}.md", f"{table}\n\n{facts}\n"


def costs() -> Iterator[tuple[Path, str]]:
    """A file for each table of docs/scale.md, and what is in it: what the trainings of these results took."""
    for kind, table in load_file(FOLDER.parents[1] / "benchmarks" / "scale.py").costs()[0].items():
        yield FOLDER / f"cost_{kind}.md", f"{table}\n"


if __name__ == "__main__":
    for path, text in (*boards(), *costs()):
        path.write_text(text, encoding="utf-8")
    for results in sorted(FOLDER.glob("*.json")):
        results.with_suffix(".md").write_text(rewrite(results), encoding="utf-8")
    draw()
    PAGE.write_text(page(), encoding="utf-8")
