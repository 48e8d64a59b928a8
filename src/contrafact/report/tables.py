"""Score tables: this run, the control beside it, published numbers; for the terminal and for pages."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contrafact.core.command import without_home
from contrafact.core.foreign import reading
from contrafact.evaluation import scores as score_file
from contrafact.metrics import CATALOG

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Score:
    """What one metric said.

    Attributes:
        metric: catalogue name.
        of: what was scored: ``run``, ``control``, or another label.
        data: the dataset's name; empty for metrics that need none.
        source: where its images came from.
        values: every number the metric reports, by name; ``score`` for a metric with one only.
        protocol: name that carries the settings.
        notes: what a reader must know.
        matrix: importances or informations ``(J, K)`` as lists, where the metric has them.
        attributes: K names of what a predictor judged, where one did.
    """

    metric: str
    of: str
    data: str
    source: str
    values: Mapping[str, float]
    protocol: str = ""
    notes: tuple[str, ...] = ()
    matrix: Sequence[Sequence[float]] | None = None
    attributes: tuple[str, ...] = ()


def read_scores(folder: str | Path) -> list[Score]:
    """Scores in a run's folder; none when nothing was evaluated yet.

    Raises:
        ValueError: a damaged line of ``scores.jsonl``; the message says which and what to do.
    """
    return [_score_of(line, Path(folder) / score_file.SCORES) for line in score_file.read_scores(folder)]


def _score_of(line: dict[str, Any], path: Path) -> Score:
    result, data = line["result"], line.get("data") or {}  # None for metrics that need no data
    values = line.get("scores") or {"score": result.get("score")}
    with reading(path, "file of scores", f"delete the line of {line['metric']} and evaluate again"):
        return Score(
            metric=line["metric"],
            of=line.get("of") or "run",
            data=str(data.get("name") or ""),
            source=without_home(str(data.get("source") or "")),
            values={name: float(value) for name, value in values.items() if value is not None},
            protocol=str(result.get("protocol") or ""),
            notes=tuple(map(str, result.get("notes") or ())),
            matrix=None if result.get("matrix") is None else np.asarray(result["matrix"], np.float64).tolist(),
            attributes=tuple(map(str, result.get("attributes") or ())),
        )


@dataclass(frozen=True)
class Cell:
    """Mean and sample standard deviation over ``count`` evaluations; one evaluation has no deviation (NaN)."""

    mean: float
    std: float = math.nan
    count: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> Cell:
        """The cell of some evaluations."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan, len(values))

    def __str__(self) -> str:
        text = f"{self.mean:.3f}"
        return text if math.isnan(self.std) else f"{text} ± {self.std:.3f}"


@dataclass(frozen=True)
class Row:
    """One number of one metric.

    Attributes:
        label: what is printed, ``dci completeness``.
        cells: by column; a column without this number has no cell.
        best: columns that hold the best mean; none where better has no meaning.
        notes: numbers, from 1, of the table's footnotes that belong to the row.
    """

    label: str
    cells: Mapping[str, Cell]
    best: frozenset[str]
    notes: tuple[int, ...]


@dataclass(frozen=True)
class ScoreTable:
    """Rows of numbers under columns ``run``, ``control``, …, with footnotes."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]


Published = Mapping[str, Mapping[str, tuple[float, float]]]


def score_table(scores: Iterable[Score], published: Published | None = None) -> ScoreTable:
    """Scores side by side: a row per number, a column per label; several evaluations become mean ± std.

    Numbers of another protocol or dataset get a row of their own: they are not averaged.

    Args:
        scores: from :func:`read_scores`.
        published: other people's numbers: column name to row label to ``(mean, std)``, NaN where unknown.
    """
    published = published or {}
    gathered: dict[tuple[str, str, str, str, str], dict[str, list[float]]] = {}
    remarks: dict[tuple[str, str, str, str, str], dict[str, None]] = {}
    for score in scores:
        for name, value in score.values.items():
            key = (score.metric, name, score.protocol, score.data, score.source)
            gathered.setdefault(key, {}).setdefault(score.of, []).append(value)
            remarks.setdefault(key, {}).update(dict.fromkeys(score.notes))
    labels = dict.fromkeys(of for columns in gathered.values() for of in columns)
    columns = sorted(labels, key=_run_first)
    footnotes: dict[str, int] = {}
    rows = []
    for key, by_column in gathered.items():
        metric, name, protocol, data, source = key
        label = metric if name == "score" else f"{metric} {name.replace('_', ' ')}"
        cells = {of: Cell.of(values) for of, values in by_column.items()}
        for column, numbers in published.items():
            if label in numbers:
                cells[column] = Cell(*numbers[label])
        texts = [f"Protocol {protocol}." if protocol else "", _data_note(data, source), *remarks[key]]
        notes = tuple(sorted(footnotes.setdefault(text, len(footnotes) + 1) for text in texts if text))
        rows.append(Row(label, cells, _best(metric, cells), notes))
    counts = sorted({cell.count for row in rows for cell in row.cells.values() if cell.count > 1})
    if counts:
        spread = " or ".join(map(str, counts))
        footnotes[f"Mean ± sample standard deviation over {spread} evaluations."] = len(footnotes) + 1
    return ScoreTable((*columns, *published), tuple(rows), tuple(footnotes))


def _run_first(label: str) -> int:
    return {"run": 0, "control": 1}.get(label, 2)


def _data_note(data: str, source: str) -> str:
    if "stand-in" in source:
        return f"On a procedural stand-in of {data}, not the published images: not comparable with published numbers."
    return f"On {data}{f' from {source}' if source else ''}." if data else ""


def _best(metric: str, cells: Mapping[str, Cell]) -> frozenset[str]:
    if metric not in CATALOG or len(cells) < 2:
        return frozenset()
    means = {column: round(cell.mean, 3) for column, cell in cells.items()}  # as printed: equal numbers tie
    choose = max if CATALOG.module(metric).INFO.higher_is_better else min
    return frozenset(column for column, mean in means.items() if mean == choose(means.values()))


def to_rich(table: ScoreTable, title: str = "") -> Table:
    """The table for a terminal: best numbers bold, footnotes below."""
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(title=title or None, caption="\n".join(_numbered(table.footnotes)) or None, caption_justify="left")
    drawn.add_column("score")
    for column in table.columns:
        drawn.add_column(escape(column), justify="right")
    for row in table.rows:
        texts = [str(row.cells[c]) if c in row.cells else "–" for c in table.columns]
        bold = [f"[bold]{t}[/bold]" if c in row.best else t for c, t in zip(table.columns, texts, strict=True)]
        drawn.add_row(escape(f"{row.label} {_marks(row.notes)}"), *bold)
    return drawn


def to_html(table: ScoreTable) -> str:
    """The table for a page: best numbers bold, footnotes below."""
    head = "".join(f"<th scope=col>{html.escape(column)}</th>" for column in table.columns)
    body = []
    for row in table.rows:
        label = f"<th scope=row>{html.escape(row.label)}<sup>{_marks(row.notes)}</sup></th>"
        texts = [(c, str(row.cells[c]) if c in row.cells else "–") for c in table.columns]
        cells = (f"<td>{f'<strong>{text}</strong>' if c in row.best else text}</td>" for c, text in texts)
        body.append(f"<tr>{label}{''.join(cells)}</tr>")
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.footnotes)
    return (
        f'<div class="scroll"><table class="scores"><thead><tr><th scope=col>score</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>" + (f'<ol class="notes">{notes}</ol>' if notes else "")
    )


def _marks(notes: Sequence[int]) -> str:
    return ",".join(map(str, notes))


def _numbered(footnotes: Sequence[str]) -> list[str]:
    return [f"{number} {text}" for number, text in enumerate(footnotes, 1)]
