"""A table of texts in two forms, read back by a reader of its own."""

import re

import pytest

from contrafact.evaluation.grid import Grid

HOSTILE = ["[50 %] of a_b & c#d", r"\input{x}", "β-VAE, λ = -0.1 (K ≤ 5)", "* x^2 ~ {y}", "A → B, “so” <c>"]
GRID = Grid(
    (("", ()), ("MIG & D", ("ours", "published")), ("FID_5", ())),
    tuple((name, "0.422 ± 0.022", "–", "-1.5") for name in HOSTILE),
    frozenset({(1, 1)}),
)
READ = {
    **{rf"\{sign}": sign for sign in "&%$#_{}"},
    **{r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<"},
    **{r"\textgreater{}": ">", r"$\pm$": "±", r"$\beta$": "β", r"$\lambda$": "λ", r"$\le$": "≤", "$-$": "-"},
    **{r"$\rightarrow$": "→", "{[}": "[", "{*}": "*", "``": "“", "''": "”", "--": "–"},
}
TOKEN = re.compile("|".join([*map(re.escape, sorted(READ, key=len, reverse=True)), r"[^\\&%$#_{}~^<>]", r"\\"]))


def read(cell):
    """A cell's text; nothing in it that LaTeX would take for a command is left."""
    cell = re.sub(r"^\\textbf\{(.*)\}$", r"\1", cell)
    tokens = TOKEN.findall(cell)
    assert "".join(tokens) == cell
    assert "\\" not in tokens
    return "".join(READ.get(token, token) for token in tokens)


def test_latex_says_what_the_table_says_and_escapes_it():
    lines = GRID.to_latex().splitlines()
    assert lines[:2] == [r"\begin{tabular}{lrrr}", r"\toprule"]
    assert lines[2:6] == [
        r" & \multicolumn{2}{c}{MIG \& D} &  \\",
        r"\cmidrule(lr){2-3}",
        r" & ours & published & FID\_5 \\",
        r"\midrule",
    ]
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    cells = [re.split(r"(?<!\\) ?& ", line.removesuffix(r" \\")) for line in lines[6:-2]]
    assert [[read(cell) for cell in row] for row in cells] == [list(row) for row in GRID.rows]
    assert [[cell.startswith(r"\textbf{") for cell in row] for row in cells].count([False] * 4) == len(HOSTILE) - 1
    assert cells[1][1] == r"\textbf{0.422 $\pm$ 0.022}"


def test_markdown_names_the_part_behind_the_title():
    assert GRID.to_markdown().splitlines()[0] == "|  | MIG & D, ours | MIG & D, published | FID_5 |"


def test_rows_are_as_long_as_the_heads_say():
    with pytest.raises(ValueError, match="expected 4 texts in every row, got 2 in that of 'short'"):
        Grid(GRID.heads, (("short", "1"),))
    with pytest.raises(ValueError, match="expected 4 texts in every row, got 0 in row 2"):
        Grid(GRID.heads, (GRID.rows[0], ()))


def test_signs_of_a_markdown_table_and_line_breaks_stay_in_their_cell():
    grid = Grid((("a | b", ()), ("c\nd", ("e|f",))), (("|x|\r\ny", "1"),))
    assert grid.to_markdown().splitlines() == [r"| a \| b | c d, e\|f |", "| --- | --- |", r"| \|x\| y | 1 |"]
