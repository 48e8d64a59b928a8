"""Measure how scores depend on the number of points: ``python docs/metrics/sample_size.py [rows] [coverage] [pages]``.

``rows`` scores clean one-to-one codes and codes of noise at 100 to 100,000 points. ``coverage`` draws many samples of
one known process, asks for 95 % limits of each, and counts how often they hold the mean score of samples of that size,
and the score at 30,000 points. Both write to ``sample_size.json``; ``pages`` prints that into the metrics' pages.
Without a word all three are done: about ten minutes of one core. ``--metrics mig,med`` restricts it.

Slow metrics (a score of 3,000 points takes more than 10 ms) get the limits' deviations from the resamples of four
samples, pooled, instead of each sample's own.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from contrafact.core.metric import MetricWarning
from contrafact.evaluation.bootstrap import (
    bootstrap,
    centred_limits,
    deviations,
    draw_rows,
    score_rows,
    split_as_scored,
)
from contrafact.evaluation.codes import call_static, static_metrics
from contrafact.metrics import CATALOG

FOLDER = Path(__file__).parent
FOUND = FOLDER / "sample_size.json"
SIZES = np.array([3, 4, 5])
POINTS = (100, 300, 1_000, 10_000, 100_000)
REPEATS = {100: 10, 300: 10, 1_000: 4}
COVERED = (300, 1_000, 3_000)
LIMIT_POINTS = 30_000
SLOW = 0.01
SAMPLES, RESAMPLES = 60, 40
SLOW_SAMPLES, POOLED, SLOW_RESAMPLES = 40, 4, 15
HEADING = "## Sample size"
NOT_OF_SIZE = {"downstream"}
"""Its scores are each of so many labels, whatever the number of points."""


def clean(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One code per factor, of deviation 0.6 to 0.8, with noise of deviation 0.05."""
    rng = np.random.default_rng(seed)
    factors = rng.integers(SIZES, size=(n, 3))
    return factors / (SIZES - 1) * 2 - 1 + 0.05 * rng.normal(size=factors.shape), factors


def noise(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three codes that know nothing."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.integers(SIZES, size=(n, 3))


def mixed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each code knows one factor best and the others a little, with noise of deviation 0.4; a fourth code is noise."""
    rng = np.random.default_rng(seed)
    factors = rng.integers(SIZES, size=(n, 3))
    means = (factors / (SIZES - 1) * 2 - 1) @ (np.eye(3) + 0.25)
    return np.c_[means + 0.4 * rng.normal(size=means.shape), rng.normal(size=(n, 1))], factors


def settings_of(name: str, codes: np.ndarray) -> dict[str, Any]:
    """A metric's settings for so many codes."""
    return {"parts": [1, codes.shape[1] - 1]} if name == "sub_embedding_gaps" else {}


def score(name: str, pair: tuple[np.ndarray, np.ndarray], **settings: Any) -> dict[str, float]:
    """Every score of a metric."""
    codes, factors = pair
    data = {"codes": codes, "factors": factors}
    return call_static(name, data, {**settings_of(name, codes), **settings}, 0).scores()


def measure_rows(name: str, n: int) -> dict[str, dict[str, float]]:
    """Mean scores of clean codes and of noise; and of clean codes with the chance part of informations taken off."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {"clean": (clean, {}), "noise": (noise, {})}
    parameters = inspect.signature(CATALOG.get(name)).parameters
    if "bias" in parameters and "discrete" not in parameters:
        for bias in ("miller-madow", "shuffle"):
            kinds[f"clean, {bias}"] = (clean, {"bias": bias})
    rows = {}
    for kind, (draw, settings) in kinds.items():
        drawn = [score(name, draw(n, seed), **settings) for seed in range(REPEATS.get(n, 1))]
        names = [key for key in drawn[0] if all(key in row for row in drawn)]
        rows[kind] = {key: round(float(np.mean([row[key] for row in drawn])), 4) for key in names}
    return rows


@functools.cache
def far_score(name: str) -> dict[str, float]:
    """Scores of the process at many points."""
    return score(name, mixed(LIMIT_POINTS, 10**6))


def measure_coverage(name: str, n: int, slow: bool) -> dict[str, Any]:
    """How often 95 % limits held the mean score at ``n`` points, and the score at many."""
    samples = SLOW_SAMPLES if slow else SAMPLES
    far = far_score(name)
    estimates, limits = [], []
    pooled: dict[str, list[np.ndarray]] = {}
    repeats = CATALOG.module(name).INFO.repeats
    for seed in range(samples):
        codes, factors = mixed(n, seed)
        data, settings = {"codes": codes, "factors": factors}, settings_of(name, codes)
        result = call_static(name, data, settings, 0)
        estimates.append(result.scores())
        if not slow:
            limits.append(bootstrap(name, data, result, settings, RESAMPLES, seed))
        elif seed < POOLED:
            parts, rng = split_as_scored(data, result, repeats), np.random.default_rng(seed)
            draws = [
                score_rows(name, parts, draw_rows(parts, repeats, rng), settings, 0) for _ in range(SLOW_RESAMPLES)
            ]
            for key in result.scores():
                values = np.array([draw[key] for draw in draws if key in draw])
                # A mean of so few takes up a share of the spread.
                stretch = np.sqrt(len(values) / (len(values) - 1))
                pooled.setdefault(key, []).append(stretch * deviations(values, repeats))
    found: dict[str, Any] = {}
    for key in [key for key in estimates[0] if key in far and all(key in row for row in estimates)]:
        values = np.array([row[key] for row in estimates])
        if slow:
            low_high = [centred_limits(value, np.concatenate(pooled[key])) for value in values]
        else:
            low_high = [row[key] for row in limits]
        held = [np.mean([low <= truth <= high for low, high in low_high]) for truth in (values.mean(), far[key])]
        found[key] = {"mean": round(float(held[0]), 3), "limit": round(float(held[1]), 3)}
    return {"pooled": slow, "samples": samples, "scores": found}


def is_slow(name: str) -> bool:
    """Whether one score of 3,000 points takes long."""
    score(name, mixed(3_000, 0))
    start = time.process_time()
    score(name, mixed(3_000, 1))
    return time.process_time() - start > SLOW


def enough(name: str, found: dict[str, Any]) -> dict[str, int]:
    """Points from which each score of clean codes stays within 0.05 of what it is at the most; 100 is left out."""
    rows = found["rows"][name]
    points = [n for n in POINTS if str(n) in rows]
    least = {}
    for key, final in rows[str(points[-1])]["clean"].items():
        values = [rows[str(n)]["clean"].get(key) for n in points]
        if all(value is not None and np.isfinite(value) for value in values):
            far = [n for n, value in zip(points, values, strict=True) if abs(value - final) > 0.05]
            if far:
                least[key] = points[points.index(far[-1]) + 1]
    return least


def covered(name: str, found: dict[str, Any]) -> dict[str, float]:
    """Scores whose limits held too rarely at one of the sizes, and how often; chance alone makes 0.87 of 60 samples."""
    least: dict[str, float] = {}
    for cell in found["coverage"].get(name, {}).values():
        for key, held in cell["scores"].items():
            least[key] = min(held["mean"], least.get(key, 1.0))
    return {key: round(held, 2) for key, held in least.items() if held < 0.87}


def near_the_limit(least: dict[str, int], points: list[int]) -> list[str]:
    """From how many points on scores of clean codes hold still, in words.

    >>> near_the_limit({}, [100, 300])
    ['Clean codes are within 0.05 of their score at 300 points from 100 points on.']
    """
    final = f"their score at {points[-1]:,} points"
    if not least:
        return [f"Clean codes are within 0.05 of {final} from {points[0]:,} points on."]
    sizes = {n: [key for key, wanted in least.items() if wanted == n] for n in sorted(set(least.values()))}
    said = " and ".join(f"{n:,} ({', '.join(keys)})" if len(sizes) > 1 else f"{n:,}" for n, keys in sizes.items())
    text = f"Clean codes are within 0.05 of {final} from {said} points on; a result of fewer says so."
    return textwrap.wrap(text, 118)


def shown(value: float | None) -> str:
    """A score for a table."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def section(name: str, found: dict[str, Any]) -> str:
    """What a metric's page says of sample size, as Markdown."""
    rows = found["rows"].get(name, {})
    points = [n for n in POINTS if str(n) in rows]
    lines = [HEADING, ""]
    if points:
        lines += [
            "Clean codes are three factors of 3, 4 and 5 values, each in a code of its own, with noise of deviation",
            "0.05; noise is three codes that know nothing.",
            "",
            "| score | codes | " + " | ".join(f"{n:,}" for n in points) + " |",
            "|---|---|" + "---|" * len(points),
        ]
        for key in rows[str(points[-1])]["clean"]:
            for kind in rows[str(points[0])]:
                values = [rows[str(n)].get(kind, {}).get(key) for n in points]
                lines.append(f"| {key} | {kind} | " + " | ".join(shown(v) for v in values) + " |")
        lines += ["", *([] if name in NOT_OF_SIZE else [*near_the_limit(enough(name, found), points), ""])]
    coverage = found["coverage"].get(name, {})
    sizes = [n for n in COVERED if str(n) in coverage]
    if sizes:
        first = coverage[str(sizes[0])]
        how = "pooled resamples of four of them" if first["pooled"] else "each one's own resamples"
        lines += [
            f"Of {first['samples']} samples of one process of mixed, noisy codes, so large a share of the 95 % limits",
            f"({how}) held the mean score of samples of that size, and the score at 30,000 points:",
            "",
            "| score | " + " | ".join(f"{n:,}" for n in sizes) + " |",
            "|---|" + "---|" * len(sizes),
        ]
        for key in first["scores"]:
            cells = [coverage[str(n)]["scores"].get(key) for n in sizes]
            held = ["–" if cell is None else f"{cell['mean']:.2f}, {cell['limit']:.2f}" for cell in cells]
            lines.append(f"| {key} | " + " | ".join(held) + " |")
        lines.append("")
        rare = [f"{key} ({held:.2f})" for key, held in covered(name, found).items()]
        if rare:
            lines += [f"Too rarely: {', '.join(rare)}; results with limits say so.", ""]
    return "\n".join(lines)


def put_into(page: str, text: str) -> str:
    """A page with its section on sample size replaced, or put before its source."""
    if HEADING in page:
        before, after = page.split(HEADING, 1)
        return before + text + "\n" + after[after.index("\n## ") + 1 :]
    before, after = page.split("## Source", 1)
    return f"{before}{text}\n## Source{after}"


def main() -> None:
    """Measure what is asked for, and keep each value as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", choices=["rows", "coverage", "pages", []], default=[])
    parser.add_argument("--metrics", default="")
    parser.add_argument("--points", default="", help="only these numbers of points, comma-separated")
    asked = parser.parse_args()
    what = asked.what or ["rows", "coverage", "pages"]
    names = asked.metrics.split(",") if asked.metrics else static_metrics()
    wanted = {int(n) for n in asked.points.split(",")} if asked.points else {*POINTS, *COVERED}
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {"rows": {}, "coverage": {}}
    warnings.simplefilter("ignore", MetricWarning)

    def keep(part: str, name: str, n: int, value: Any) -> None:
        found[part].setdefault(name, {})[str(n)] = value
        FOUND.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(part, name, n, f"{time.process_time():.0f} s", flush=True)

    if "rows" in what:
        for n in (n for n in POINTS if n in wanted):
            for name in names:
                keep("rows", name, n, measure_rows(name, n))
    if "coverage" in what:
        slow = {name: is_slow(name) for name in names}
        for name in sorted(names, key=slow.__getitem__):
            for n in (n for n in COVERED if n in wanted):
                keep("coverage", name, n, measure_coverage(name, n, slow[name]))
    if "pages" in what:
        for name in names:
            page = FOLDER / f"{name}.md"
            page.write_text(put_into(page.read_text(encoding="utf-8"), section(name, found)), encoding="utf-8")


if __name__ == "__main__":
    main()
