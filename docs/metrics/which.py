"""Write the tables of docs/which_metric.md: ``python docs/metrics/which.py [times]``; with ``times``, measured anew.

A row for each metric of codes and factors: what it asks and what fools it, in its own page's words, from how many
points its score of clean codes holds still, and how long it takes. A second table has the other metrics, of which
``which_others.py`` measured the last two.
"""

from __future__ import annotations

import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.evaluation.codes import evaluate, static_metrics
from contrafact.evaluation.result import info_of
from contrafact.metrics import CATALOG

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "which_metric.md"
TIMES = FOLDER / "seconds.json"
OTHERS = FOLDER / "others.json"
HEADER = "| metric | what it asks | what fools it, first of all | points | time |\n|---|---|---|---|---|\n"
OTHERS_HEADER = "| metric | what it asks | what fools it, first of all | enough | cost |\n|---|---|---|---|---|\n"
TOLERANCE = 0.05
UNMEASURED = {
    "recovery": ("compares directions, not samples", "0.4 ms at 8 directions of 64 dimensions"),
}
"""Enough, and cost, of what draws no samples."""
NUM_POINTS, NUM_TEST, NUM_CODES = 10_000, 5_000, 10
SIZES = np.array([10, 10, 10, 8, 4, 15])
"""Factors of Shapes3D."""
FEWEST = 100
"""Where a metric names no number of points it was measured from this one on."""


def codes_and_factors(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Six codes of a factor each, with noise, and four of noise alone."""
    rng = np.random.default_rng(seed)
    factors = rng.integers(SIZES, size=(n, len(SIZES)))
    known = factors / (SIZES - 1) * 2 - 1 + 0.1 * rng.normal(size=factors.shape)
    return np.hstack([known, rng.normal(size=(n, NUM_CODES - len(SIZES)))]), factors


def measure() -> dict[str, float]:
    """Seconds of each metric, the better of two (of what is compiled, the second does not compile)."""
    train, test = codes_and_factors(NUM_POINTS, 0), codes_and_factors(NUM_TEST, 1)
    seconds = {}
    for name in static_metrics():
        taken = []
        for _ in range(2):
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evaluate(*train, *test, metrics=name)
            taken.append(time.perf_counter() - begin)
        seconds[name] = round(min(taken), 4)
        print(name, seconds[name], file=sys.stderr)
    return seconds


def asks(name: str) -> str:
    """The question of a metric's first line."""
    return CATALOG.summary(name).partition(": ")[2].rstrip(".")


def fools(name: str) -> str:
    """The first point of "What fools it" on a metric's page, its first sentence, with links that hold one folder up."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    found = re.search(r"## What fools it\n\n- (.*?)(?=\n- |\n\n|\Z)", text, re.DOTALL)
    point = " ".join(found.group(1).split()) if found else ""
    sentence = re.split(r"(?<=[a-z0-9)])[.;] ", point)[0].rstrip(".").replace("|", "\\|")
    return re.sub(r"\]\((\w+\.md)\)", r"](reference/metrics/\1)", sentence)


def points(name: str) -> str:
    """From how many points a metric's scores of clean codes hold still."""
    return f"{max(info_of(name).enough.values(), default=FEWEST):,}"


def spoken(seconds: float) -> str:
    """A time, rounded as far as it may be trusted."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def table(seconds: dict[str, float]) -> str:
    """The table, the quickest metric first."""
    rows = [
        f"| [{name}](reference/metrics/{name}.md) | {asks(name)} | {fools(name)} | {points(name)} | {spoken(taken)} |\n"
        for name, taken in sorted(seconds.items(), key=lambda item: item[1])
    ]
    return HEADER + "".join(rows)


def enough(scores: dict[str, float]) -> str:
    """The least number from which on a score stays within a twentieth of what it is at the largest.

    >>> enough({"100": 2.0, "300": 1.04, "1000": 1.0})
    '300'
    """
    sizes = sorted(scores, key=int)
    limit = scores[sizes[-1]]
    far = [size for size in sizes if abs(scores[size] - limit) > TOLERANCE * abs(limit)]
    first = sizes[sizes.index(far[-1]) + 1] if far else sizes[0]
    return f"{int(first):,}" + (" or more" if first == sizes[-1] else "")


def table_of_others(found: dict[str, dict[str, Any]]) -> str:
    """The second table: metrics of votes, of several models, of images, of directions and generators."""
    rows = []
    for name in sorted({*found, *UNMEASURED}):
        if name in found:
            row = found[name]
            largest = max(map(int, row["scores"]))
            unit = row.get("unit", "latents" if "images" in row else "")
            cost = f"{spoken(row['seconds'])} at {largest:,}"
            if "encoded" in row:
                cost = f"{row['encoded']:,} images encoded at {largest:,}"
            elif "images" in row:
                cost = f"{row['images']} image{'s' * (row['images'] != 1)} a {unit.rstrip('s')}"
            least = f"{enough(row['scores'])} {unit}".strip()
        else:
            least, cost = UNMEASURED[name]
        rows.append(f"| [{name}](reference/metrics/{name}.md) | {asks(name)} | {fools(name)} | {least} | {cost} |\n")
    return OTHERS_HEADER + "".join(rows)


def replaced(text: str, header: str, rows: str) -> str:
    """The page with another table in the place of that of this header."""
    begin = text.index(header)
    end = text.find("\n\n", begin) + 1 or len(text)
    return text[:begin] + rows + text[end:]


def main() -> None:
    """Measure if asked to, and write the table into the page."""
    if "times" in sys.argv[1:]:
        TIMES.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    text = replaced(text, HEADER, table(json.loads(TIMES.read_text(encoding="utf-8"))))
    text = replaced(text, OTHERS_HEADER, table_of_others(json.loads(OTHERS.read_text(encoding="utf-8"))))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
