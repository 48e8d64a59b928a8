"""A leaderboard as a page to pass on: one self-contained file, sortable, nothing in it reaches for the network."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from contrafact.core.files import write_text
from contrafact.evaluation.standings import Entry, Standings
from contrafact.report.page import whole_page
from contrafact.report.sections import Section

PAGE = "leaderboard.html"
_FILTERS = {
    "all": "all",
    "images": "from images",
    "generator": "of a generator",
    "own": "entered here",
}


def write_leaderboard(
    standings: Standings, path: str | Path, facts: Mapping[str, str] | None = None, command: str = ""
) -> Path:
    """Write the page.

    Args:
        standings: entries and columns.
        path: the file.
        facts: what to say of the protocol, by its name.
        command: how somebody enters a method of his own.

    Returns:
        the file.

    Raises:
        ValueError: there are no entries.

    >>> from contrafact.evaluation.standings import Entry, Standings
    >>> board = Standings("Tiny", {"MIG": True}, (Entry("a", "a", {"MIG": (0.1, 0.2)}),))
    >>> write_leaderboard(board, "board.html").name
    'board.html'
    """
    if not standings.entries:
        raise ValueError("there is nothing to rank: no entry has a score; compute one first")
    sections = [Section("standings", "Standings", _table(standings))]
    if facts:
        rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
        sections.append(Section("protocol", "Protocol", f'<div class="scroll"><table>{rows}</table></div>'))
    if command:
        said = (
            "<p>Write your method as one file, a class with a <code>train</code>, and put it through the same protocol "
            "on your machine; nothing is sent anywhere.</p>"
        )
        sections.append(Section("enter", "Enter a method", f"{said}<pre>{html.escape(command)}</pre>"))
    text = whole_page(standings.title, lead(standings), sections, ("leaderboard.css", "leaderboard.js"))
    write_text(Path(path), text.encode(errors="backslashreplace").decode())
    return Path(path)


def lead(standings: Standings) -> str:
    """What the table comes to, in a few sentences."""
    rows = standings.ordered
    first = rows[0][0]
    said = [f"{len(rows)} methods by the same protocol; by the mean of its ranks {first.name} comes first."]
    for place, (entry, rank) in enumerate(rows, start=1):
        if entry.is_own and not math.isnan(rank):
            own = standings.entries.index(entry)
            places = ", ".join(f"{column} {standings.ranks(column)[own]:.0f}" for column in standings.columns)
            said.append(f"{entry.name} is number {place} of {len(rows)}; its ranks: {places}.")
    return " ".join(said)


def _table(standings: Standings) -> str:
    heads = [
        _head("", "number", "low", "ascending"),
        _head("method", "text", "low"),
        _head("mean rank", "number", "low"),
    ]
    heads += [
        _head(f"{title} {'↑' if is_up else '↓'}", "number", "high" if is_up else "low")
        for title, is_up in standings.columns.items()
    ]
    heads += [_head("seeds", "number", "high"), _head("time", "number", "low")]
    best = {title: max(_finite(standings, title), default=0.0) for title in standings.columns}
    best |= {title: min(_finite(standings, title)) for title, up in standings.columns.items() if not up}
    rows = "".join(
        _row(standings, place, entry, rank, best) for place, (entry, rank) in enumerate(standings.ordered, start=1)
    )
    count = Counter(kind for entry in standings.entries for kind in _kinds(entry))
    filters = "".join(
        f'<button data-keep="{kind}" aria-pressed="{str(kind == "all").lower()}">{label}</button>'
        for kind, label in _FILTERS.items()
        if kind == "all" or 0 < count[kind] < len(standings.entries)
    )
    return (
        f'<div class="filters" role="group" aria-label="which methods">{filters}</div>'
        f'<div class="scroll"><table class="board"><thead><tr>{"".join(heads)}</tr></thead><tbody>{rows}</tbody>'
        '</table></div><p class="notes">Mean ± standard deviation over seeds; the bar is the mean, from 0 to 1. Few '
        "seeds tell neighbours apart only where their spreads do. Time is that of a training.</p>"
    )


def _finite(standings: Standings, column: str) -> list[float]:
    return [entry.mean(column) for entry in standings.entries if entry.scores.get(column)]


def _head(text: str, kind: str, better: str, sort: str = "none") -> str:
    label = text or "place"
    return (
        f'<th scope="col" class="{kind}" data-kind="{kind}" data-better="{better}" aria-sort="{sort}">'
        f'<button aria-label="sort by {html.escape(label)}">{html.escape(text or "#")}</button></th>'
    )


def _kinds(entry: Entry) -> list[str]:
    return [entry.learns_from, "own"] if entry.is_own else [entry.learns_from]


def _row(standings: Standings, place: int, entry: Entry, rank: float, best: Mapping[str, float]) -> str:
    badges = ["entered here"] if entry.is_own else []
    badges += [f"{entry.labels} labels"] if entry.labels else []
    badges += ["generator"] if entry.learns_from == "generator" else []
    badges += [entry.device] if entry.device not in ("", "cpu") else []
    marks = "".join(f'<span class="badge">{html.escape(badge)}</span>' for badge in badges)
    known = not math.isnan(rank)
    cells = [
        f'<td class="number" data-value="{place}">{place}</td>',
        f'<td data-value="{html.escape(entry.name, quote=True)}" title="{html.escape(entry.method, quote=True)}">'
        f"{html.escape(entry.name)}{marks}</td>",
        f'<td class="number" data-value="{f"{rank:.6f}" if known else ""}">{f"{rank:.1f}" if known else "–"}</td>',
        *(_score(entry, title, best[title]) for title in standings.columns),
        f'<td class="number" data-value="{entry.seeds}">{entry.seeds}</td>',
        f'<td class="number" data-value="{entry.seconds:.3f}">{entry.seconds:.0f} s</td>',
    ]
    own = ' class="own"' if entry.is_own else ""
    return f'<tr{own} data-kinds="{" ".join(_kinds(entry))}">{"".join(cells)}</tr>'


def _score(entry: Entry, column: str, best: float) -> str:
    if not entry.scores.get(column):
        return '<td class="score" data-value="">–</td>'
    mean, spread = entry.mean(column), entry.spread(column)
    beside = f" <small>± {spread:.3f}</small>" if spread is not None else ""
    mark = " best" if mean == best else ""
    part = 100 * min(1.0, max(0.0, mean))
    return f'<td class="score{mark}" data-value="{mean:.9f}">{mean:.3f}{beside}<i style="--part:{part:.1f}%"></i></td>'
