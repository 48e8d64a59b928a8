"""The sub-embedding table: what linear classifiers read from the codes, the projection, and each part of both."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contrafact.evaluation.representations import GAPS
from contrafact.evaluation.scores import read_scores
from contrafact.report.sections import Section


def parts_section(folder: Path) -> Section | None:
    """A table per scored representation: accuracy by task of the whole and of each part, their gap, and the trend.

    None when the run's parts were not scored.
    """
    lines = [line for line in read_scores(folder) if line["of"] == "run" and line["metric"].partition(":")[0] == GAPS]
    if not lines:
        return None
    tables = "".join(_table(line) for line in lines)
    text = (
        "<p>Test accuracy of linear classifiers on the codes r, the projection z, and each of their parts. Parts that "
        "came apart are near the whole at one task and near chance at the others; the <em>diagonal trend</em> asks "
        "only that each part be the best at a task of its own, by more than the test images' binomial error.</p>"
    )
    return Section("parts", "Sub-embeddings", f'{text}<div class="columns">{tables}</div>')


def _table(line: Mapping[str, Any]) -> str:
    result = line["result"]
    symbol = line["metric"].partition(":")[2] or "r"
    matrix: Sequence[Sequence[float]] = result["matrix"]
    tasks = result.get("tasks") or [f"task {k}" for k in range(len(result["whole"]))]
    rows = [(symbol, result["whole"])]
    rows += [(f"{symbol}<sub>{part}</sub>", accuracies) for part, accuracies in enumerate(matrix)]
    gap = f"|C({symbol}<sub>0</sub>) − C({symbol}<sub>1</sub>)|" if len(matrix) == 2 else "best − mean of others"
    rows.append((gap, result["per_factor"]))
    head = "".join(f"<th scope=col>{html.escape(task)}</th>" for task in tasks)
    body = "".join(
        f"<tr><th scope=row>{name}</th>{''.join(f'<td>{100 * value:.1f}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    trend = "holds" if result["diagonal"] else "does not hold"
    return (
        f'<div class="scroll"><table class="scores"><caption>Accuracy on {symbol}, in %. The diagonal trend {trend}.'
        f"</caption><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
