"""Tables of scores that a paper can paste: one column a method, mean ± deviation over its runs, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contrafact.evaluation.reference import read_reference
from contrafact.evaluation.result import Evaluation, direction_of, label_of

if TYPE_CHECKING:
    Scored = Evaluation | Mapping[str, float] | str | Path

_LATEX = {"\\": r"\textbackslash{}", **{sign: rf"\{sign}" for sign in "&%$#_{}"}, "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "→": r"$\rightarrow$"}
_LATEX |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "≤": r"$\le$", "≥": r"$\ge$", "|": r"\textbar{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "–": "--", "“": "``", "”": "''", "…": r"\dots{}"}
_LATEX |= {"≈": r"$\approx$", "≠": r"$\ne$", "∞": r"$\infty$", "∈": r"$\in$", "←": r"$\leftarrow$"}
_LATEX |= {"√": r"$\surd$", "‖": r"$\|$", "ϵ": r"$\epsilon$", "ς": r"$\varsigma$"}
_LATEX |= {"[": "{[}", "*": "{*}"}  # which the end of the row before would take for its own
_LATEX |= {chr(ord("₀") + digit): f"$_{digit}$" for digit in range(10)}
_CAPITALS = ("GAMMA", "DELTA", "THETA", "LAMDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA")
"""Greek capitals with a command of their own: the others look like Latin ones."""
TIED = 1e-12
"""How far apart means may be that count as equally good."""


@dataclass(frozen=True)
class Cell:
    """A method's value of a score.

    Attributes:
        mean: over its runs.
        deviation: sample standard deviation over them; None of one run.
        count: how many runs have it.
        limits: confidence limits of a single run that has them.
    """

    mean: float
    deviation: float | None
    count: int
    limits: tuple[float, float] | None = None

    def text(self, digits: int, plus_minus: str) -> str:
        """The value as a table shows it.

        >>> Cell(0.5, 0.1, 3).text(2, "±"), Cell(0.5, None, 1, (0.4, 0.6)).text(2, "±")
        ('0.50 ± 0.10', '0.50 [0.40, 0.60]')
        """
        shown = f"{self.mean:.{digits}f}"
        if self.deviation is not None:
            return f"{shown} {plus_minus} {self.deviation:.{digits}f}"
        return shown if self.limits is None else f"{shown} [{self.limits[0]:.{digits}f}, {self.limits[1]:.{digits}f}]"


@dataclass(frozen=True)
class Summary:
    """Scores of several methods, each of one run or more.

    Attributes:
        columns: a method's cells by full name of the score.
        notes: what a reader of the table must know.
        compared: whether columns are methods, of which one is best.

    >>> summary = summarize({"ours": [{"mig.score": 0.5}, {"mig.score": 0.7}], "theirs": {"mig.score": 0.3}})
    >>> print(summary.to_markdown(digits=2))
    | score | ours | theirs |
    |---|---|---|
    | mig ↑ | **0.60 ± 0.14** | 0.30 |
    <BLANKLINE>
    mean ± sample standard deviation over runs: ours 2, theirs 1
    """

    columns: dict[str, dict[str, Cell]]
    notes: tuple[str, ...] = ()
    compared: bool = True

    def scores(self) -> list[str]:
        """Full names of all scores, in the order of their first appearance."""
        return list(dict.fromkeys(score for cells in self.columns.values() for score in cells))

    def best(self, score: str) -> set[str]:
        """Methods with the best mean, where there is more than one method and the score has a better end."""
        means = {name: cells[score].mean for name, cells in self.columns.items() if score in cells}
        direction = direction_of(score)
        if len(means) < 2 or not direction or not self.compared:
            return set()
        top = max(direction * value for value in means.values())
        return {name for name, value in means.items() if direction * value >= top - TIED}

    def _rows(self, digits: int, plus_minus: str) -> list[tuple[str, list[tuple[str, bool]]]]:
        """For each score its full name and, for each method, the text and whether it is the best."""
        rows = []
        for score in self.scores():
            best = self.best(score)
            cells = [(name, column.get(score)) for name, column in self.columns.items()]
            texts = [
                ("–" if c is None else c.text(digits, plus_minus), c is not None and name in best) for name, c in cells
            ]
            rows.append((score, texts))
        return rows

    def to_markdown(self, digits: int = 3) -> str:
        """A Markdown table, the best method of each score in bold, and the notes below it."""
        lines = ["| score | " + " | ".join(self.columns) + " |", "|---" * (1 + len(self.columns)) + "|"]
        for score, texts in self._rows(digits, "±"):
            cells = [f"**{text}**" if is_best else text for text, is_best in texts]
            lines.append(f"| {label_of(score)} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def to_latex(self, digits: int = 3) -> str:
        """A LaTeX table (``booktabs``), the best method of each score in bold, and the notes as comments."""
        head = " & ".join(["score", *map(latex_text, self.columns)])
        lines = [r"\begin{tabular}{l" + "c" * len(self.columns) + "}", r"\toprule", head + r" \\", r"\midrule"]
        for score, texts in self._rows(digits, r"\pm"):
            cells = []
            for text, is_best in texts:
                bare = text == "–"
                cells.append("--" if bare else rf"$\mathbf{{{text}}}$" if is_best else f"${text}$")
            label = latex_text(label_of(score))
            lines.append(" & ".join([label, *cells]) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in self.notes)])

    def to_csv(self) -> str:
        """One line per score and method: mean, standard deviation, number of runs."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["score", "method", "mean", "std", "runs"])
        for score in self.scores():
            for name, cells in self.columns.items():
                if score in cells:
                    cell = cells[score]
                    writer.writerow(
                        [
                            score,
                            name,
                            repr(cell.mean),
                            "" if cell.deviation is None else repr(cell.deviation),
                            cell.count,
                        ]
                    )
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        plain = {
            name: {s: {"mean": c.mean, "std": c.deviation, "runs": c.count} for s, c in cells.items()}
            for name, cells in self.columns.items()
        }
        return {"methods": plain, "notes": list(self.notes)}

    def text(self, form: str) -> str:
        """The table as ``markdown``, ``latex``, ``csv`` or ``json``."""
        if form == "json":
            return json.dumps(self.to_dict(), indent=1)
        return {"markdown": self.to_markdown, "latex": self.to_latex, "csv": self.to_csv}[form]().rstrip()

    def to_frame(self) -> Any:
        """The lines of :meth:`to_csv` as a pandas DataFrame.

        Raises:
            ValueError: pandas is not installed.
        """
        return frame_of(self.to_csv())

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in ("score", *self.columns))
        body = ""
        for score, texts in self._rows(3, "±"):
            cells = "".join(f"<td>{'<b>' * is_best}{escape(text)}{'</b>' * is_best}</td>" for text, is_best in texts)
            body += f"<tr><td>{escape(label_of(score))}</td>{cells}</tr>"
        return f"<table><tr>{head}</tr>{body}</table>" + "".join(f"<p>{escape(note)}</p>" for note in self.notes)

    def __str__(self) -> str:
        return self.to_markdown()


def latex_text(text: str) -> str:
    """Plain text for LaTeX: signs that mean something there, and those that its fonts lack, by their commands.

    >>> print(latex_text("β-TCVAE, 5 % & λ = -0.5 ± 0.1"))
    $\\beta$-TCVAE, 5 \\% \\& $\\lambda$ = $-$0.5 $\\pm$ 0.1
    """
    signed = re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)
    return "".join(_LATEX.get(sign) or _greek(sign) for sign in signed)


def _greek(sign: str) -> str:
    """A small or capital Greek letter by its command; any other sign as it is."""
    kind, _, name = unicodedata.name(sign, "").partition(" LETTER ")
    if kind == "GREEK SMALL" and name.isalpha():
        return "o" if name == "OMICRON" else rf"$\{name.lower().replace('lamda', 'lambda')}$"
    if kind == "GREEK CAPITAL" and name in _CAPITALS:
        return rf"$\{name.title().replace('Lamda', 'Lambda')}$"
    return sign


def frame_of(text: str) -> Any:
    """A CSV text as a pandas DataFrame.

    Raises:
        ValueError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ValueError("a DataFrame needs pandas: pip install pandas; to_csv() needs nothing") from error
    return pandas.read_csv(io.StringIO(text))


def summarize(methods: Mapping[str, Scored | Sequence[Scored]]) -> Summary:
    """Scores of several methods beside each other, mean ± sample standard deviation over each one's runs.

    Args:
        methods: by name an evaluation, scores by full name, or a ``.json`` file that :meth:`Evaluation.write` made; or
            several of these, one a run.

    Raises:
        ValueError: no method, a method without runs, or a file that holds no scores.

    >>> summarize({"ours": [{"sap.score": 0.2}, {"sap.score": 0.4}]}).columns["ours"]["sap.score"].text(1, "±")
    '0.3 ± 0.1'
    """
    if not methods:
        raise ValueError("expected at least one method by name")
    columns: dict[str, dict[str, Cell]] = {}
    protocols: dict[str, set[str]] = {}
    for name, given in methods.items():
        runs = [given] if isinstance(given, Evaluation | Mapping | str | Path) else list(given)
        if not runs:
            raise ValueError(f"{name} has no runs; pass its evaluations")
        scores = [_scores_of(run) for run in runs]
        columns[name] = {}
        for score in dict.fromkeys(key for one in scores for key in one):
            values = np.array([one[score] for one in scores if score in one and math.isfinite(one[score])])
            if len(values):
                spread = float(values.std(ddof=1)) if len(values) > 1 else None
                single = runs[0] if len(runs) == 1 and isinstance(runs[0], Evaluation) else None
                limits = None if single is None else single.intervals.get(score)
                columns[name][score] = Cell(float(values.mean()), spread, len(values), limits)
        for run in runs:
            if isinstance(run, Evaluation):
                for metric, result in run.results.items():
                    protocols.setdefault(metric, set()).add(result.protocol)
    notes = []
    counts = {name: max((cell.count for cell in cells.values()), default=0) for name, cells in columns.items()}
    if any(count > 1 for count in counts.values()):
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        notes.append(f"mean ± sample standard deviation over runs: {shown}")
    if any(cell.limits for cells in columns.values() for cell in cells.values()):
        notes.append("in brackets: 95 % limits by resampling rows")
    notes += [
        f"{metric} was measured by different protocols, which do not compare: {', '.join(sorted(found))}"
        for metric, found in protocols.items()
        if len(found) > 1
    ]
    return Summary(columns, tuple(notes))


def _scores_of(run: Scored) -> Mapping[str, float]:
    if isinstance(run, Evaluation):
        return run.scores()
    if isinstance(run, Mapping):
        return run
    return read_reference(run)[0]
