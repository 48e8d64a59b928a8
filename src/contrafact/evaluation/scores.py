"""The score file of a run: one JSON line per metric, of the run itself or of its control."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from contrafact.core.claim import claim
from contrafact.core.command import without_home
from contrafact.core.dataset import ImageDataset
from contrafact.core.files import read_json_lines, write_text
from contrafact.core.foreign import Kind, check_fields
from contrafact.core.metric import MetricResult
from contrafact.nn.attributes import Predictor

SCORES = "scores.jsonl"
# Scores may have taken hours: another's writing, which takes a moment, shall not cost them.
_WAIT_SECONDS = 60.0
_KEY = ("metric", "of", "data", "protocol", "seed")
_FIELDS: dict[str, Kind] = {
    "metric": str,
    "of": str | None,
    "data": dict | None,
    "protocol": str | None,
    "seed": int | None,
    "scores": dict | None,
    "result": dict,
}


def read_scores(folder: str | Path) -> list[dict[str, Any]]:
    """Lines of a run's ``scores.jsonl``, empty when it has not been evaluated.

    Returns:
        one dict per score: ``metric``, ``of`` (``"run"`` or ``"control"``), ``data`` (``name``, ``source``,
        ``image_shape``; the predictor's for scores it gave; None for scores that need neither), ``protocol``, ``seed``,
        ``scores`` (every scalar by name), ``result`` (all of the metric's result), ``date``.

    Raises:
        ValueError: a line is damaged or no score; it is named.
    """
    path = Path(folder) / SCORES
    if not path.exists():
        return []
    lines = []
    for number, line in read_json_lines(path, "delete that line and evaluate again"):
        where, remedy = f"{path}, line {number}, is no score", "delete that line and evaluate again"
        scores = check_fields(line, _FIELDS, where, remedy).get("scores") or {}
        check_fields(scores, dict.fromkeys(scores, int | float | None), where, remedy)
        lines.append(line)
    return lines


def score_line(
    metric: str, result: MetricResult, of: str, about: ImageDataset | Predictor | None, seed: int
) -> dict[str, Any]:
    """One line of ``scores.jsonl``; ``about`` is the data or the predictor that judged, ``seed`` that of the sample."""
    data: dict[str, Any] | None = None
    if isinstance(about, Predictor):
        data = {"name": f"as {without_home(about.origin)} sees it", "source": without_home(about.origin)}
    elif about is not None:
        data = {"name": about.name, "source": about.source_name, "image_shape": list(about.image_shape)}
        if (split := getattr(about, "split", None)) is not None:
            data["split"] = split
    return {
        "metric": metric,
        "of": of,
        "data": data,
        "protocol": result.protocol,
        "seed": seed,
        "scores": result.scores(),
        "result": result.to_dict(),
        "date": time.strftime("%Y-%m-%d"),
    }


def add_scores(folder: str | Path, lines: list[dict[str, Any]]) -> None:
    """Write ``lines`` into the run's score file, atomically; they replace earlier ones of the same measurement."""
    new = {_key(line): line for line in lines}
    with claim(folder, wait=_WAIT_SECONDS):
        kept = [line for line in read_scores(folder) if _key(line) not in new]
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in [*kept, *new.values()])
        write_text(Path(folder) / SCORES, text)


def _key(line: dict[str, Any]) -> str:
    return json.dumps([line.get(name) for name in _KEY])
