"""Score a run with metrics, beside its control; or score codes and factors of your own."""

from __future__ import annotations

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
    """Score a run: how well its codes name the factors of the data, one at a time."""

    run: Positional[Path]
    """Run folder."""
    data: str | None = None
    """Images with factors or labels; by default what the run, or its generator, was trained on."""
    metrics: tuple[str, ...] = ()
    """Metrics (contrafact list metrics); by default MIG and DCI, and recovery of directions where they are known."""
    control: bool = False
    """Also train and score a control: random directions and a regression encoder, same generator, same budget."""
    num_train: int = 10_000
    """Images that metrics are fitted on."""
    num_test: int = 5_000
    """Held-out images."""
    seed: int = 0
    """Seed of the sample of images."""
    device: str = "auto"
    """Where to encode."""


def evaluate(arguments: Sequence[str]) -> None:
    """Print the scores and note them in the run folder."""
    options = parse(Options, arguments, "evaluate")
    from contrafact.bench.control import fit_control
    from contrafact.bench.evaluate import Who, evaluate_run
    from contrafact.core.method import load_run
    from contrafact.core.run import find_device
    from contrafact.data.load import load_dataset

    run = load_run(options.run)
    dataset = None if options.data is None else load_dataset(options.data, size=run.config["source"]["image_shape"][-1])
    whom: list[Who] = ["run"]
    if options.control:
        fit_control(run, device=options.device)
        whom.append("control")
    for who in whom:
        results = evaluate_run(
            run,
            dataset,
            options.metrics or None,
            options.num_train,
            options.num_test,
            options.seed,
            who,
            find_device(options.device),
        )
        _print_results(str(run.folder) if who == "run" else "control", results)
    print(f"next:\n  contrafact report {run.folder}")


def _print_results(title: str, results: Sequence[tuple[str, MetricResult]]) -> None:
    print(title)
    for name, result in results:
        scores = "  ".join(f"{key} {value:.3f}" for key, value in result.scores().items())
        print(f"  {name:<8} {scores}  ({result.protocol}, {result.seconds:.1f} s)")
        for note in result.notes:
            print(f"           {note}")
