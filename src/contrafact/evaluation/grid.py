"""A table of texts as Markdown and LaTeX: what a benchmark prints, whichever form it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contrafact.evaluation.paper import latex_text

BOLD = "bold: the best mean over the runs that all ranked rows share"
"""What a table's bold numbers say."""


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        heads: of each column its title, and the parts it has, such as ``("ours", "published")``; none for a single one.
            The first column names the rows.
        rows: of each row its texts, one for each part of each column.
        best: places of the texts to set in bold, row and text, from 0.
        title: what the table is called, where it has a heading of its own.

    >>> grid = Grid((("", ()), ("MIG", ("ours", "published"))), (("β-VAE", "0.3 ± 0.1", "0.2"),), frozenset({(0, 1)}))
    >>> print(grid.to_markdown())
    |  | MIG, ours | MIG, published |
    | --- | --- | --- |
    | β-VAE | 0.3 ± 0.1 | 0.2 |
    >>> print(grid.to_latex())
    \\begin{tabular}{lrr}
    \\toprule
     & \\multicolumn{2}{c}{MIG} \\\\
    \\cmidrule(lr){2-3}
     & ours & published \\\\
    \\midrule
    $\\beta$-VAE & \\textbf{0.3 $\\pm$ 0.1} & 0.2 \\\\
    \\bottomrule
    \\end{tabular}
    """

    heads: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()
    title: str = "Results"

    def __post_init__(self) -> None:
        """Refuse rows that are not as long as the heads say."""
        wide = self.width
        for number, row in enumerate(self.rows, start=1):
            if len(row) != wide:
                which = f"that of {row[0]!r}" if row else f"row {number}"
                raise ValueError(f"expected {wide} texts in every row, got {len(row)} in {which}")

    @property
    def width(self) -> int:
        """Texts of a row."""
        return sum(max(1, len(parts)) for _, parts in self.heads)

    def to_markdown(self) -> str:
        """The table, a line a row."""
        flat = [f"{title}, {part}" if part else title for title, parts in self.heads for part in parts or ("",)]
        lines = [flat, ["---"] * len(flat), *self.rows]
        return "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)

    def to_latex(self) -> str:
        """A ``tabular`` with the rules of ``booktabs``; titles of several parts span them."""
        above, rules, below, place = list[str](), list[str](), list[str](), 1
        for title, parts in self.heads:
            text = latex_text(title)
            if parts:
                above.append(rf"\multicolumn{{{len(parts)}}}{{c}}{{{text}}}")
                rules.append(rf"\cmidrule(lr){{{place}-{place + len(parts) - 1}}}")
                below += map(latex_text, parts)
            else:
                above.append("")
                below.append(text)
            place += max(1, len(parts))
        heads = [_line(above), "".join(rules), _line(below)] if rules else [_line(below)]
        body = [
            _line([self._latex_cell(place, number, text) for number, text in enumerate(row)])
            for place, row in enumerate(self.rows)
        ]
        columns = "l" + "r" * (self.width - 1)
        frame = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *heads, r"\midrule", *body]
        return "\n".join([*frame, r"\bottomrule", r"\end{tabular}"])

    def _latex_cell(self, row: int, number: int, text: str) -> str:
        shown = "--" if text == "–" else latex_text(text)
        return rf"\textbf{{{shown}}}" if (row, number) in self.best else shown


def _markdown_cell(text: str) -> str:
    return one_line(text).replace("|", r"\|")


def one_line(text: str) -> str:
    """A text with its line breaks as blanks."""
    return " ".join(text.splitlines())


def _line(texts: Sequence[str]) -> str:
    return " & ".join(texts) + r" \\"
