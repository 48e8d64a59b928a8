"""Write the table of docs/which_metric.md: ``python docs/metrics/which.py [times]``; with ``times``, measure them anew.

A row for each metric of codes and factors: what it asks and what fools it, in its own page's words, from how many
points its score of clean codes holds still, and how long it takes.
"""

from __future__ import annotations

import json
import re
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from contrafact.evaluation.codes import evaluate, static_metrics
from contrafact.evaluation.result import info_of
from contrafact.metrics import CATALOG

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "which_metric.md"
TIMES = FOLDER / "seconds.json"
HEADER = "| metric | what it asks | what fools it, first of all | points | time |\n|---|---|---|---|---|\n"
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


def main() -> None:
    """Measure if asked to, and write the table into the page."""
    if "times" in sys.argv[1:]:
        TIMES.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    begin = text.index(HEADER)
    end = text.find("\n\n", begin) + 1 or len(text)
    PAGE.write_text(text[:begin] + table(json.loads(TIMES.read_text(encoding="utf-8"))) + text[end:], encoding="utf-8")


if __name__ == "__main__":
    main()
