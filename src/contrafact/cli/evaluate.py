"""Score a run with metrics, beside its control; or score codes and factors of your own."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from contrafact.cli._globals import answer, wants_hints
from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder
from contrafact.core.command import quoted
from contrafact.core.ranges import Count, CountOrZero, MetricSeed, Share

if TYPE_CHECKING:
    from contrafact.core.metric import MetricResult
    from contrafact.evaluation.result import Evaluation


_OF_A_RUN = (
    *("data", "labels", "generator", "changes", "predictor", "extractor", "control"),
    *("num_train", "num_test", "num_latents", "device"),
)
_OF_FILES = (
    *("factors", "codes_test", "factors_test", "id", "missing", "continuous", "resamples", "active"),
    *("compare", "compare_test", "reference", "heat_maps"),
)
"""Options that only one of the two kinds of subject has."""
WIDTH = 120  # of tables that go to a file or a pipe


@dataclass(frozen=True)
class Options:
    """Score a run: how well its codes name the factors of the data, one at a time. Or score --codes and --factors."""

    run: Positional[Folder | None] = None
    """Run folder."""
    data: str | None = None
    """Images with factors or labels; by default what the run, or its generator, was trained on."""
    labels: Path | None = None
    """Score on the images that this table knows, such as labels held out: a column file or index, one per factor, as
    fit --labels reads it."""
    metrics: tuple[str, ...] = ()
    """Metrics (contrafact list metrics), or all; by default clustering where the run is about classes, else MIG
    and DCI, and recovery of directions where known."""
    predictor: str | None = None
    """Who judges images, for rescoring, matched_rescoring, mds, attribute_dependency, linear_separability and, beside
    its extractor, edit_effects: a run of attribute_predictor, FILE.py:FUNCTION, faces (networks of packages), or
    silhouette (area, lightness, width, height and slant of one object on a plain ground). The last two measure, and
    are nothing for mds and linear_separability, which ask for a yes or no."""
    extractor: str | None = None
    """Whose features fid and kid compare: inception, dinov2:PATH (its weights), or FILE.py:FUNCTION from images
    (n, C, H, W) in [0, 1] to features (n, D); by default a classifier trained on the data's labels. edit_effects needs
    one."""
    generator: str | None = None
    """Generator of a run on a module of your own, which its folder cannot hold: FILE.py:FUNCTION that returns it."""
    changes: Assignments = ()
    """An argument of that generator: depth=3. May be repeated."""
    control: bool = False
    """Also make and score a control: random directions on the same generator, read by an encoder that costs what the
    run's did; of a run without directions, its encoder untrained."""
    num_train: Count = 10_000
    """Images that metrics are fitted on; and the most votes, where factors are held fixed."""
    num_test: Count = 5_000
    """Held-out images, or votes."""
    num_latents: Count | None = None
    """Latents that edits start from, in metrics of directions; by default as many as each metric takes by itself."""
    codes: Path | None = None
    """Instead of a run: a file of codes (N, J): .npy, .npz, .pt, .csv, .tsv, .parquet, or - for stdin. An .npz or .pt
    may hold everything."""
    factors: Path | None = None
    """A file of their factors (N, K): whole numbers, words, or measurements."""
    codes_test: Path | None = None
    """A file of held-out codes."""
    factors_test: Path | None = None
    """A file of their factors."""
    seed: MetricSeed = 0
    """Seed of the sample of images, and of metrics with randomness of their own."""
    device: str = "auto"
    """Where to encode."""
    id: tuple[str, ...] = ()
    """For --codes: names of columns that say which image a row is of; rows of codes and factors are matched by them. By
    default a first column called file, image, index or alike is one."""
    missing: Literal["rows", "pairs", "refuse"] = "rows"
    """For --codes: rows where a value is missing are left out; or only from the pairs that lack it; or refused."""
    continuous: bool = False
    """For --codes: all factors are measurements; by default those of a table with a number that is not whole are."""
    resamples: CountOrZero = 0
    """For --codes: resamples for 95 % limits, each as costly as the scores; 0 for none (--compare: 200)."""
    active: Share = 0.01
    """For --codes: also score without codes that move less than this share of the widest; 0 for all codes only."""
    compare: Path | None = None
    """For --codes: other codes of the same images; which of the two scores higher, by a paired test."""
    compare_test: Path | None = None
    """Held-out codes of the same images as --codes-test, for --compare."""
    reference: Path | None = None
    """For --codes: a .json of recorded scores (as --out writes) to print beside ours; exit status 1 if out of its
    tolerances."""
    heat_maps: Folder | None = None
    """For --codes: a folder for a picture of each metric's matrix."""
    format: Literal["text", "markdown", "latex", "csv", "json"] = "text"
    """Print the scores alone, to paste into a paper or to read by another program; notes go to stderr."""
    out: Path | None = None
    """Also write the results to this .json or .csv; those of a run are in its scores.jsonl anyway."""


def evaluate(arguments: Sequence[str]) -> None:
    """Print the scores; those of a run are noted in its folder."""
    options = parse(Options, arguments, "evaluate")
    from contrafact.core.metric import MetricWarning
    from contrafact.evaluation.result import check_results_path

    warnings.simplefilter("ignore", MetricWarning)  # what they say is printed with the score
    if (options.run is None) == (options.codes is None):
        raise ValueError("name a run folder to score, or give --codes and --factors; one of the two")
    _refuse_options_of_the_other(options)
    if options.out is not None:
        check_results_path(options.out)
    _check_names(options.metrics)
    if options.codes is not None:
        _evaluate_files(options, options.codes)
    elif options.run is not None:
        _evaluate_run(options, options.run)


def _check_names(metrics: Sequence[str]) -> None:
    """Refuse metrics nobody knows before anything is read (ValueError)."""
    from contrafact.metrics import CATALOG

    for name in (part.strip().partition(":")[0] for text in metrics if ".py:" not in text for part in text.split(",")):
        if name != "all":
            CATALOG.resolve(name)


def _refuse_options_of_the_other(options: Options) -> None:
    """An option that would be ignored is refused: nobody gives one in vain."""
    others = _OF_A_RUN if options.run is None else _OF_FILES
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    spelled = {"changes": "set"}
    given = [
        f"--{spelled.get(name, name).replace('_', '-')}" for name in others if getattr(options, name) != defaults[name]
    ]
    if given:
        what = "--codes" if options.run is None else "a run"
        raise ValueError(f"{', '.join(given)} has no meaning for {what}; leave it out (contrafact evaluate --help)")


def _evaluate_files(options: Options, codes: Path) -> None:
    from rich.console import Console

    from contrafact.evaluation.reference import put_beside, read_reference, reference_table
    from contrafact.evaluation.tables import evaluate_files

    if options.compare is not None:
        _compare_files(options, codes, options.compare)
        return
    recorded = None if options.reference is None else read_reference(options.reference)  # before the work is done
    with Console(stderr=True).status("reading") as status:
        evaluation = evaluate_files(
            codes,
            options.factors,
            options.codes_test,
            options.factors_test,
            metrics=options.metrics or "all",
            continuous=options.continuous or None,
            missing=options.missing,
            id=options.id,
            seed=options.seed,
            num_resamples=options.resamples,
            active=options.active or None,
            progress=status.update,
        )
    answer(evaluation.to_dict())
    if options.format != "text":
        print(evaluation.text(options.format))
    with _aside(options.format):
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        if options.format == "text":
            console.print(evaluation.table())
        said: dict[str, list[str]] = {}
        for name, result in evaluation.results.items():
            for note in result.notes:
                said.setdefault(note, []).append(name)
        for note, names in said.items():
            print(f"{', '.join(names)}: {note}")
        for note in evaluation.notes:
            print(note)
        if options.heat_maps is not None:
            for path in _draw(evaluation, options.heat_maps):
                print(f"wrote {path}")
        if options.out is not None:
            print(f"wrote {evaluation.write(options.out)}")
        if recorded is not None:
            rows = put_beside(evaluation, *recorded)
            console.print(reference_table(rows))
            if not all(row.within for row in rows):
                raise SystemExit(1)


@contextmanager
def _aside(form: str) -> Iterator[None]:
    """All that is printed goes to stderr, where stdout holds a table for others to read."""
    if form == "text":
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def _draw(evaluation: Evaluation, folder: Path) -> list[Path]:
    from contrafact.core.claim import hold
    from contrafact.report.charts import heat_map, save_chart

    hold(folder)
    paths = []
    for drawing in evaluation.heat_maps():
        figure = heat_map(drawing.values.T, drawing.columns, title=drawing.metric.replace("_", " "))
        paths.append(save_chart(figure, folder / f"{drawing.metric}.png"))
    return paths


def _compare_files(options: Options, codes: Path, other: Path) -> None:
    from rich.console import Console

    from contrafact.evaluation.compare import compare, comparison_notes, comparison_table, write_comparisons
    from contrafact.evaluation.tables import read_pair_of_codes

    first, second = read_pair_of_codes(
        (codes, options.codes_test),
        (other, options.compare_test),
        options.factors,
        options.factors_test,
        options.id,
        options.missing,
    )
    rows = compare(
        first.codes,
        second.codes,
        first.factors,
        first.codes_test,
        second.codes_test,
        first.factors_test,
        metrics=options.metrics or ("mig", "modularity", "sap"),
        continuous=options.continuous or first.continuous or False,
        missing=options.missing,
        num_resamples=options.resamples or 200,
        seed=options.seed,
    )
    answer([dataclasses.asdict(row) for row in rows])
    Console(width=None if sys.stdout.isatty() else WIDTH).print(comparison_table(rows, str(codes), str(other)))
    for note in comparison_notes(rows, options.resamples or 200):
        print(note)
    if options.out is not None:
        print(f"wrote {write_comparisons(rows, options.out)}")


def _evaluate_run(options: Options, folder: Path) -> None:
    from contrafact.core.claim import hold
    from contrafact.core.run import find_device
    from contrafact.evaluation.control import budget_of, fit_control, fit_regression
    from contrafact.evaluation.labelled import held_out
    from contrafact.evaluation.paper import summarize
    from contrafact.evaluation.result import Evaluation
    from contrafact.evaluation.run import REGRESSION, Who, check_asked, evaluate_run, needs_regression
    from contrafact.evaluation.sampling import dataset_of
    from contrafact.report.subject import find_run

    run = find_run(folder, options.generator, changes_of(options.changes))
    check_asked(run, options.metrics, options.predictor, options.extractor)
    hold(folder)
    images = dataset_of(run, options.data) if options.data is not None or options.labels is not None else None
    if options.labels is not None and images is None:
        raise ValueError(f"nothing says which images {options.labels} is about; name them with --data")
    dataset = images if options.labels is None or images is None else held_out(run, images, options.labels)
    whom: list[Who] = ["run"]
    scored: dict[str, MetricResult] = {}
    if options.control:
        if needs_regression(run, options.metrics):  # the run's directions and the control's are read alike
            fit_regression(run, run.directions, REGRESSION, budget_of(run), device=options.device)
        fit_control(run, device=options.device, source=images)
        whom.append("control")
    device, metrics = find_device(options.device), options.metrics or None
    of_each: dict[str, Evaluation | Mapping[str, float]] = {}
    with _aside(options.format):
        for who in whom:
            print(run.folder if who == "run" else "its control")
            results = evaluate_run(
                run,
                dataset,
                metrics,
                options.num_train,
                options.num_test,
                options.seed,
                who,
                device,
                predictor=options.predictor,
                extractor=options.extractor,
                num_latents=options.num_latents,
            )
            _print_results(results)
            of_each[who] = Evaluation(dict(results))
            scored |= {name if who == "run" else f"{who} {name}": result for name, result in results}
        if options.out is not None:
            print(f"wrote {Evaluation(scored).write(options.out)}")
    answer({"folder": str(run.folder), **Evaluation(scored).to_dict()})
    if options.format == "json":
        print(Evaluation(scored).to_json())
    elif options.format != "text":
        print(summarize(of_each).text(options.format))
    elif wants_hints():
        print(f"next:\n  contrafact report {quoted(run.folder, *run.generator_options())}")


def _print_results(results: Sequence[tuple[str, MetricResult]]) -> None:
    width = max(len(name) for name, _ in results)
    for name, result in results:
        values = [(key.replace("_", " "), f"{value:.3f}") for key, value in result.scores().items()]
        scores = "  ".join(value if key == "score" else f"{key} {value}" for key, value in values)
        print(f"  {name:<{width}}  {scores}  ({result.protocol}, {result.seconds:.1f} s)")
        for line in result.details():
            print(f"  {'':<{width}}  {line}")
        for note in result.notes:
            print(f"  {'':<{width}}  note: {note}")
