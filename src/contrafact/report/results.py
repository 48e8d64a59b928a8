"""A benchmark's tables as a page to pass on: one self-contained file, nothing in it reaches for the network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from contrafact.core.files import write_text
from contrafact.evaluation.grid import BOLD, Grid
from contrafact.report.page import whole_page
from contrafact.report.sections import Section

PAGE = "results.html"


def write_results(title: str, grids: Sequence[Grid], path: str | Path, facts: Sequence[tuple[str, str]] = ()) -> Path:
    """Write the page.

    Args:
        title: what the tables show.
        grids: the tables.
        path: the file.
        facts: what to say below them, by its name: how they were computed.

    Returns:
        the file.

    >>> grid = Grid((("", ()), ("MIG", ())), (("DisCo", "0.2"),))
    >>> write_results("Tiny", [grid], "results.html").name
    'results.html'
    """
    notes = f"Mean ± standard deviation over seeds. {BOLD.capitalize()}." if any(g.best for g in grids) else ""
    sections = []
    for number, grid in enumerate(grids):
        note = f'<p class="notes">{html.escape(notes)}</p>' if notes and not number else ""
        sections.append(Section(f"table-{number}", grid.title, f'<div class="scroll">{_table(grid)}</div>{note}'))
    if facts:
        rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in facts)
        sections.append(Section("how", "How it was computed", f'<div class="scroll"><table>{rows}</table></div>'))
    lead = dict(facts).get("table", "")
    text = whole_page(title, lead, sections, ("results.css",))
    write_text(Path(path), text.encode(errors="backslashreplace").decode())
    return Path(path)


def _table(grid: Grid) -> str:
    """The table, its titles above the parts they have."""
    is_deep = any(parts for _, parts in grid.heads)
    above = "".join(
        f'<th scope="colgroup" colspan="{len(parts)}">{html.escape(title)}</th>'
        if parts
        else f'<th scope="col"{" rowspan=2" if is_deep else ""}>{html.escape(title)}</th>'
        for title, parts in grid.heads
    )
    below = "".join(f'<th scope="col">{html.escape(part)}</th>' for _, parts in grid.heads for part in parts)
    heads = f"<tr>{above}</tr>" + (f"<tr>{below}</tr>" if is_deep else "")
    body = "".join(f"<tr>{_row(grid, number)}</tr>" for number in range(len(grid.rows)))
    return f'<table class="scores results"><thead>{heads}</thead><tbody>{body}</tbody></table>'


def _row(grid: Grid, number: int) -> str:
    name, *texts = map(html.escape, grid.rows[number])
    shown = (
        f"<td>{f'<b>{text}</b>' if (number, place) in grid.best else text}</td>"
        for place, text in enumerate(texts, start=1)
    )
    return f'<th scope="row">{name}</th>{"".join(shown)}'
