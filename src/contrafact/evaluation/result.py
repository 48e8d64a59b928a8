"""Results of many metrics, kept together: JSON, CSV, a table, heat maps."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contrafact.core.catalog import Catalog
from contrafact.core.claim import claim
from contrafact.core.files import write_text
from contrafact.core.metric import FloatArray, MetricInfo, MetricResult

if TYPE_CHECKING:
    from rich.table import Table

    from contrafact.evaluation.paper import Summary

CATALOG = Catalog("metrics", "metric")


def info_of(metric: str) -> MetricInfo:
    """What a metric says of itself (its file's ``INFO``)."""
    info: MetricInfo = CATALOG.module(metric).INFO
    return info


def direction_of(score: str) -> int:
    """Which end of a score is better by its full name: 1 the higher, -1 the lower, 0 for a metric nobody knows.

    >>> direction_of("mig.score"), direction_of("mine.score")
    (1, 0)
    """
    metric = score.partition(".")[0]
    try:
        return 1 if info_of(metric).higher_is_better else -1
    except (ValueError, ImportError):  # one of images needs torch, which matrices do not
        return 0


def label_of(score: str) -> str:
    """A full name for a table: the metric, the score's own name where it has one, and which end is better.

    >>> label_of("mig.score"), label_of("dci.informativeness_train")
    ('mig ↑', 'dci informativeness train ↑')
    """
    metric, _, name = score.partition(".")
    words = [metric, *([] if name in ("", "score") else [name.replace("_", " ")])]
    return " ".join([*words, *{1: ["↑"], -1: ["↓"]}.get(direction_of(score), [])])


def check_results_path(path: str | Path) -> Path:
    """``path`` if results can be written there: ask before the work is done.

    Raises:
        ValueError: a suffix other than ``.json`` and ``.csv``, or a folder.
    """
    target = Path(path)
    if target.suffix not in (".json", ".csv"):
        raise ValueError(f"results are written as .json or .csv, got {target.name!r}")
    if target.is_dir():
        raise ValueError(f"{target} is a folder; results are written to a file")
    return target


def write_results(path: str | Path, as_json: str, as_csv: str) -> Path:
    """Write one of two texts to ``path``, as its suffix says; a broken-off write leaves no half file.

    Raises:
        ValueError: a suffix other than ``.json`` and ``.csv``, or a folder.
    """
    target = check_results_path(path)
    with claim(target):
        write_text(target, as_json if target.suffix == ".json" else as_csv)
    return target


def _bar(value: float, low: float | None, high: float | None) -> str:
    """A bar from 0 to 1 as HTML, its end at the value, and a line over it from limit to limit."""

    def pixels(share: float) -> str:
        return f"{120 * min(1.0, max(0.0, share)):.0f}px" if np.isfinite(share) else "0px"

    style = "position:absolute;left:{left};width:{width};top:{top};height:{height};background:{colour}"
    bars = [style.format(left="0px", width=pixels(value), top="20%", height="60%", colour="#c8d6f0")]
    if low is not None and high is not None:
        width = f"calc({pixels(high)} - {pixels(low)})"
        bars.append(style.format(left=pixels(low), width=width, top="44%", height="12%", colour="#2f6fdb"))
    inner = "".join(f'<div style="{bar}"></div>' for bar in bars)
    frame = "position:relative;width:120px;height:1.1em;border-left:1px solid #888;border-right:1px solid #ddd"
    return f'<div style="{frame}">{inner}</div>'


@dataclass(frozen=True)
class HeatMap:
    """A matrix a metric reports, with its axes named, ready to draw.

    Attributes:
        metric: the metric's name.
        values: ``(R, C)``.
        rows: R names.
        columns: C names.
    """

    metric: str
    values: FloatArray
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """Results of several metrics.

    Attributes:
        results: by metric name, in the order asked for.
        code_names: one per code.
        factor_names: one per factor that was scored.
        intervals: confidence limits by score name (``"dci.completeness"``), where they were asked for.
        notes: what happened to the input before any metric saw it.
        active: the same scores, by full name, on the codes that count alone; empty where all do.

    >>> from contrafact.metrics import evaluate
    >>> factors = np.random.default_rng(0).integers(4, size=(1000, 2))
    >>> result = evaluate(factors * [1.0, -2.0], factors, metrics=["mig", "modularity"], factor_names=["hue", "size"])
    >>> list(result.scores()), result.to_dict()["factor_names"]
    (['mig.score', 'modularity.score'], ['hue', 'size'])
    >>> result.to_csv().splitlines()[0]
    'metric,score,value,low,high,protocol,num_train,num_test,seed,seconds'
    >>> result.to_frame()["metric"].tolist(), json.loads(result.to_json())["notes"]
    (['mig', 'modularity'], [])
    >>> print(result.to_markdown(digits=1).splitlines()[2])
    | mig ↑ | 1.0 |
    >>> result.to_latex().splitlines()[0], result.text("csv") == result.to_csv().rstrip()
    ('\\\\begin{tabular}{lc}', True)
    >>> [label.get_text() for label in result.plot().get_yticklabels()]
    ['mig ↑', 'modularity ↑']
    >>> result.write("scores.json").name, result.heat_maps()[0].columns, result.table().row_count
    ('scores.json', ('hue', 'size'), 2)
    """

    results: dict[str, MetricResult]
    code_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    active: dict[str, float] = field(default_factory=dict)

    def scores(self) -> dict[str, float]:
        """Every scalar by full name: ``{"mig.score": ..., "dci.disentanglement": ...}``."""
        return {f"{metric}.{name}": value for metric, r in self.results.items() for name, value in r.scores().items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, ready for JSON."""
        return {
            "scores": {name: value if np.isfinite(value) else None for name, value in self.scores().items()},
            "active": {name: value if np.isfinite(value) else None for name, value in self.active.items()},
            "intervals": {name: list(limits) for name, limits in self.intervals.items()},
            "code_names": list(self.code_names),
            "factor_names": list(self.factor_names),
            "notes": list(self.notes),
            "results": {name: result.to_dict() for name, result in self.results.items()},
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """One line per scalar: metric, score, value, limits, protocol, sizes, seed, seconds, value on active codes."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                *("metric", "score", "value", "low", "high", "protocol", "num_train", "num_test", "seed", "seconds"),
                *(["active"] if self.active else []),
            ]
        )
        for metric, result in self.results.items():
            for name, value in result.scores().items():
                full = f"{metric}.{name}"
                low, high = self.intervals.get(full, ("", ""))
                seed = "" if result.seed is None else result.seed
                sizes = (result.protocol, result.num_train, result.num_test, seed, f"{result.seconds:.4f}")
                active = [repr(self.active[full]) if full in self.active else ""] if self.active else []
                writer.writerow([metric, name, repr(value), low, high, *sizes, *active])
        return out.getvalue()

    def to_frame(self) -> Any:
        """The rows of :meth:`to_csv` as a pandas DataFrame.

        Raises:
            ValueError: pandas is not installed.
        """
        from contrafact.evaluation.paper import frame_of

        return frame_of(self.to_csv())

    def to_markdown(self, digits: int = 3) -> str:
        """A Markdown table: scores, each with its limits where there are any; ``print`` of an evaluation shows it."""
        return self._summary().to_markdown(digits)

    def to_latex(self, digits: int = 3) -> str:
        """A LaTeX table (``booktabs``): scores, each with its limits where there are any.

        For several methods or runs beside each other see :func:`~contrafact.metrics.summarize`.
        """
        return self._summary().to_latex(digits)

    def text(self, form: str) -> str:
        """The scores as ``markdown``, ``latex``, ``csv`` or ``json``."""
        forms = {"markdown": self.to_markdown, "latex": self.to_latex, "csv": self.to_csv, "json": self.to_json}
        return forms[form]().rstrip()

    def _summary(self) -> Summary:
        from contrafact.evaluation.paper import summarize

        summary = summarize({"value": self, "active codes": self.active} if self.active else {"value": self})
        return replace(summary, notes=(*summary.notes, *self.notes), compared=False)

    def __str__(self) -> str:
        return self.to_markdown()

    def plot(self, ax: Any = None) -> Any:
        """Scores as bars with limits (:func:`~contrafact.evaluation.pictures.plot_scores`); matplotlib's axes."""
        from contrafact.evaluation.pictures import plot_scores

        return plot_scores(self, ax)

    def _repr_html_(self) -> str:
        """In a notebook: a table with a bar for each score between 0 and 1, and a line from limit to limit."""
        rows = []
        for metric, result in self.results.items():
            arrow = "↑" if info_of(metric).higher_is_better else "↓"
            for name, value in result.scores().items():
                low, high = self.intervals.get(f"{metric}.{name}", (None, None))
                limits = "" if low is None else f"{low:.3f} to {high:.3f}"
                of_active = self.active.get(f"{metric}.{name}")
                second = [] if not self.active else ["" if of_active is None else f"{of_active:.3f}"]
                bar, protocol = _bar(value, low, high), escape(result.protocol)
                cells = (escape(metric), escape(name), arrow, f"{value:.3f}", *second, limits, bar, protocol)
                rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        titles = ("metric", "score", "", "value", *(["active codes"] if self.active else []), "95 %", "", "protocol")
        head = "".join(f"<th>{name}</th>" for name in titles)
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>{notes}"

    def write(self, path: str | Path) -> Path:
        """Write to ``path``, as its suffix says: ``.json`` or ``.csv``; a broken-off write leaves no half file.

        Raises:
            ValueError: another suffix.
        """
        return write_results(path, self.to_json(), self.to_csv())

    def heat_maps(self) -> list[HeatMap]:
        """Every matrix with its axes named; codes and factors by their names where the sizes fit."""
        maps = []
        for metric, result in self.results.items():
            if result.matrix is None:
                continue
            names = []
            for size, axis_names in zip(result.matrix.shape, (self.code_names, self.factor_names), strict=True):
                known = next((n for n in (axis_names, self.code_names) if len(n) == size), None)
                names.append(known if known is not None else tuple(str(i) for i in range(size)))
            maps.append(HeatMap(metric, result.matrix, names[0], names[1]))
        return maps

    def table(self) -> Table:
        """A ``rich`` table of all scores: value, the same on active codes alone, limits, direction, per factor."""
        from rich.table import Table

        table = Table(title="Scores", title_justify="left")
        table.add_column("metric")
        table.add_column("score", justify="right")
        if self.active:
            table.add_column("active codes", justify="right")
        if self.intervals:
            table.add_column("95 %", justify="right")
        table.add_column("per factor", overflow="fold")
        table.add_column("protocol", overflow="fold", style="dim")
        table.add_column("s", justify="right", style="dim")
        for metric, result in self.results.items():
            arrow = "↑" if info_of(metric).higher_is_better else "↓"
            for i, (name, value) in enumerate(result.scores().items()):
                label = metric if name == "score" else f"{metric} {name.replace('_', ' ')}"
                row = [f"{label} {arrow}" if i == 0 else label, f"{value:.4f}"]
                if self.active:
                    of_active = self.active.get(f"{metric}.{name}")
                    row.append("" if of_active is None else f"{of_active:.4f}")
                if self.intervals:
                    limits = self.intervals.get(f"{metric}.{name}")
                    row.append("" if limits is None else f"{limits[0]:.4f} to {limits[1]:.4f}")
                first = i == 0 and result.per_factor is not None
                row.append(" ".join(f"{v:.2f}" for v in result.per_factor) if first else "")  # type: ignore[union-attr]
                row += [result.protocol, f"{result.seconds:.2f}"] if i == 0 else ["", ""]
                table.add_row(*row)
        return table
