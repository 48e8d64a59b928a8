"""Score a run with metrics, beside its control; or score codes and factors of your own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from contrafact.cli._parse import parse

if TYPE_CHECKING:
    from contrafact.core.metric import MetricResult


@dataclass(frozen=True)
class Options:
    """Score a run: how well its codes name the factors of the data, one at a time. Or score --codes and --factors."""

    run: Positional[Path | None] = None
    """Run folder."""
    data: str | None = None
    """Images with factors or labels; by default what the run, or its generator, was trained on."""
    metrics: tuple[str, ...] = ()
    """Metrics (contrafact list metrics), or all; by default clustering where the run is about classes, else MIG
    and DCI, and recovery of directions where known."""
    control: bool = False
    """Also train and score a control: random directions and a regression encoder, same generator, same budget."""
    num_train: int = 10_000
    """Images that metrics are fitted on."""
    num_test: int = 5_000
    """Held-out images."""
    codes: Path | None = None
    """Instead of a run: a file of codes (N, J), .npy, .npz or .csv; an .npz may hold everything."""
    factors: Path | None = None
    """A file of their factors (N, K), whole numbers."""
    codes_test: Path | None = None
    """A file of held-out codes."""
    factors_test: Path | None = None
    """A file of their factors."""
    seed: int = 0
    """Seed of the sample of images, and of metrics with randomness of their own."""
    device: str = "auto"
    """Where to encode."""
    out: Path | None = None
    """For --codes: also write the results to this .json or .csv."""


def evaluate(arguments: Sequence[str]) -> None:
    """Print the scores; those of a run are noted in its folder."""
    options = parse(Options, arguments, "evaluate")
    from contrafact.core.metric import MetricWarning

    warnings.simplefilter("ignore", MetricWarning)  # what they say is printed with the score
    if (options.run is None) == (options.codes is None):
        raise ValueError("name a run folder to score, or give --codes and --factors; one of the two")
    if options.codes is not None:
        _evaluate_files(options, options.codes)
    elif options.run is not None:
        _evaluate_run(options, options.run)


def _evaluate_files(options: Options, codes: Path) -> None:
    from rich.console import Console

    from contrafact.metrics._files import evaluate_files

    metrics = list(options.metrics or ("all",))
    files = (codes, options.factors, options.codes_test, options.factors_test)
    evaluation = evaluate_files(*files, metrics=metrics, seed=options.seed)
    Console().print(evaluation.table())
    for note in evaluation.notes:
        print(note)
    if options.out is not None:
        print(f"wrote {evaluation.write(options.out)}")


def _evaluate_run(options: Options, folder: Path) -> None:
    from contrafact.bench.control import fit_control
    from contrafact.bench.evaluate import Who, evaluate_run
    from contrafact.core.method import load_run
    from contrafact.core.run import find_device
    from contrafact.data.load import load_dataset

    run = load_run(folder)
    dataset = None if options.data is None else load_dataset(options.data, size=run.config["source"]["image_shape"][-1])
    whom: list[Who] = ["run"]
    if options.control:
        fit_control(run, device=options.device)
        whom.append("control")
    device, metrics = find_device(options.device), options.metrics or None
    for who in whom:
        print(run.folder if who == "run" else "its control")
        _print_results(
            evaluate_run(run, dataset, metrics, options.num_train, options.num_test, options.seed, who, device)
        )
    print(f"next:\n  contrafact report {run.folder}")


def _print_results(results: Sequence[tuple[str, MetricResult]]) -> None:
    width = max(len(name) for name, _ in results)
    for name, result in results:
        values = [(key.replace("_", " "), f"{value:.3f}") for key, value in result.scores().items()]
        scores = "  ".join(value if key == "score" else f"{key} {value}" for key, value in values)
        print(f"  {name:<{width}}  {scores}  ({result.protocol}, {result.seconds:.1f} s)")
        for note in result.notes:
            print(f"  {'':<{width}}  note: {note}")
