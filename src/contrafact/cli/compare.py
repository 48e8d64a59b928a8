"""Draw what several runs' directions do to the same images; or compare scores of methods over their seeds."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from contrafact.cli._globals import answer
from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import FileOrFolder, Folder
from contrafact.core.ranges import Panels, Positive, Seed, Share

WIDTH = 120  # of tables that go to a file or a pipe


@dataclass(frozen=True)
class Options:
    """Compare runs on one generator: the first run's directions, and of every other run those most like them. Or, with
    --scores, --picture or a table, the scores of methods over runs paired by seed."""

    runs: Positional[tuple[FileOrFolder, ...]]
    """Run folders, two or more. For scores also files of evaluate --out, called NAME-SEED.json, and tables (.csv, .tsv,
    .parquet) with columns method, seed and one for each score."""
    scores: tuple[str, ...] = ()
    """Compare these scores, such as mig.score; all: every score that all methods have."""
    picture: Path | None = None
    """For scores: a picture of mean ranks and of what does not differ, of the first of the scores."""
    format: Literal["text", "markdown", "latex", "csv", "json"] = "text"
    """For scores: print means ± deviations alone, to paste into a paper."""
    test: Literal["wilcoxon", "flip", "nemenyi"] = "wilcoxon"
    """For scores: of pairs of methods. nemenyi has one critical difference for all."""
    correction: Literal["holm", "bonferroni", "none"] = "holm"
    """For scores: of the pairs' p-values, for their number."""
    directions: tuple[str, ...] = ()
    """Names or numbers of the first run's directions; by default those that change images most."""
    generator: tuple[str, ...] = ()
    """Generators of runs on modules of your own, which their folders cannot hold: FILE.py:FUNCTION that returns one."""
    changes: Assignments = ()
    """An argument of these generators: depth=3. May be repeated."""
    out: Folder = Path("comparison")
    """Folder of the pictures."""
    samples: Panels = 3
    """Images to start from."""
    frames: Panels = 7
    """Columns; odd, the middle one is the image unchanged."""
    span: Positive | None = None
    """Largest step, in standard deviations of the latent space; by default what the generator's edits need to be seen,
    2.5 of most and 8 of a diffusion model's h."""
    most: Panels = 6
    """Directions to compare when none are named."""
    seed: Seed = 0
    """Seed of the images to start from."""
    truncation: Share | None = None
    """Pulls the images to start from towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""


def compare(arguments: Sequence[str]) -> None:
    """Write the pictures."""
    options = parse(Options, arguments, "compare")
    if options.scores or options.picture or options.format != "text" or any(map(_is_scores, options.runs)):
        _compare_scores(options)
        return
    from contrafact.core.claim import hold
    from contrafact.report.comparison import compare as compare_contenders
    from contrafact.report.comparison import contenders_of, write_comparison
    from contrafact.report.subject import find_runs

    runs = find_runs(options.runs, options.generator, changes_of(options.changes))
    hold(options.out)
    compared = compare_contenders(
        contenders_of(runs),
        options.directions,
        samples=options.samples,
        frames=options.frames,
        span=options.span,
        seed=options.seed,
        most=options.most,
        truncation=options.truncation,
    )
    written = write_comparison(compared, options.out)
    shown = compared.contenders
    answer(
        {
            "overview": str(written[0]),
            "strips": [str(path) for path in written[1:]],
            "contenders": [contender.label for contender in shown],
            "matches": [[dataclasses.asdict(match) for match in row] for row in compared.matches],
        }
    )
    print(f"wrote {written[0]} and {len(written) - 1} strips beside it")


def _is_scores(path: Path) -> bool:
    """Whether a file holds scores: a run's folder may be called anything."""
    return path.suffix.lower() in (".csv", ".tsv", ".txt", ".parquet", ".json") and not path.is_dir()


def _compare_scores(options: Options) -> None:
    from rich.console import Console

    from contrafact.evaluation.paper import summarize
    from contrafact.evaluation.ranks import paired, rank_methods
    from contrafact.evaluation.runs import read_runs

    if options.picture is not None and options.picture.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--picture writes .png, .svg or .pdf, got {options.picture.name!r}")
    runs = read_runs(options.runs)
    by_method: dict[str, list[Mapping[str, float]]] = {}
    for method, _, scores in runs:
        by_method.setdefault(method, []).append(scores)
    if len(by_method) < 2:
        raise ValueError(f"expected runs of two methods or more, got {', '.join(by_method)} alone")
    shared = [name for name in runs[0][2] if all(name in scores for _, _, scores in runs)]
    asked = [name for name in options.scores if name != "all"] or shared
    if not asked:
        raise ValueError("no score is known of every run; evaluate them by the same metrics, or name --scores")
    kept = {
        method: [{name: one[name] for name in asked if name in one} for one in scores]
        for method, scores in by_method.items()
    }
    summary = summarize(kept)
    rankings = [
        rank_methods(paired(runs, name), score=name, test=options.test, correction=options.correction) for name in asked
    ]
    answer({**summary.to_dict(), "rankings": [ranking.to_dict() for ranking in rankings]})
    if options.format == "text":
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        for ranking in rankings:
            for table in ranking.tables():
                console.print(table)
            print("\n".join(ranking.notes()))
    else:
        print(summary.text(options.format))
    if options.picture is not None:
        from contrafact.report.charts import save_chart

        figure = rankings[0].plot().figure
        print(
            f"wrote {save_chart(figure, options.picture)}", file=sys.stdout if options.format == "text" else sys.stderr
        )
