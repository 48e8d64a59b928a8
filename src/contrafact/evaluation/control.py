"""The control beside a run: what the same scores say of something that learned nothing.

What it is depends on what the run yields:

- directions and an encoder: random directions on the same generator, and an encoder that is trained to read them for as
  long as the method's budget says;
- directions: as many random ones, read by an encoder trained as the run's is, where the run's are read by one;
- an encoder: the same network, untrained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from contrafact.core import command
from contrafact.core.dataset import ImageDataset
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.files import read_json
from contrafact.core.foreign import check_fields
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, FinishedRun, load_run
from contrafact.core.ranges import Share, check_value
from contrafact.core.run import CONFIG, RESULT, Run
from contrafact.core.settings import check_names
from contrafact.core.withdrawal import Withdrawal
from contrafact.evaluation.regression import RegressionSettings, regress_encoder
from contrafact.evaluation.run import CONTROL, REGRESSION
from contrafact.evaluation.untrained import StillRun, settings_of, source_of, untrained

Kind = Literal["regression", "directions", "untrained"]


def control_kind(run: FinishedRun) -> Kind | None:
    """What the run's control is; None for a run without one: it yields neither directions nor an encoder, or is one.

    Returns:
        ``regression``: random directions and an encoder that reads them. ``directions``: random directions.
        ``untrained``: the run's encoder before its first step.
    """
    if run.config["method"] in (CONTROL, REGRESSION):
        return None
    if run.has("directions"):
        return "regression" if run.has("encoder") else "directions"
    return "untrained" if run.has("encoder") else None


def budget_of(run: FinishedRun) -> RegressionSettings:
    """How the encoder of the run's control is trained: at the same cost as the run's own.

    For directions and an encoder that were found together, the method's :meth:`~contrafact.core.method.Method.budget`.
    For directions alone, what the run's own regression encoder had, else the published protocol.

    Raises:
        ValueError: a run whose control trains no encoder.
    """
    kind = control_kind(run)
    if kind == "directions":
        return _recorded(load_run(run.folder / REGRESSION)) if _has_regression(run) else RegressionSettings()
    if kind != "regression":
        raise ValueError(f"a control of {run.folder} trains no encoder: the run found no directions")
    budget = settings_of(run).budget()
    given = {"steps": budget.steps, "batch_size": budget.images_per_step, "width": budget.encoder_width}
    # A control that was begun, perhaps by a version that knew one slope only, stays what it is.
    begun = begun_slope(run.folder / CONTROL)
    given["slope"] = budget.encoder_slope if begun is None else begun
    read = budget.num_directions or run.directions.num_directions
    return RegressionSettings(num_directions=read, **{name: v for name, v in given.items() if v is not None})  # type: ignore[arg-type]


def begun_slope(folder: Path) -> float | None:
    """The slope with which a regression was begun in a folder; None where none was.

    Raises:
        ValueError: the folder's ``config.json`` is damaged.
    """
    path = folder / CONFIG
    if not path.exists():
        return None
    said = check_fields(read_json(path), {"hyperparameters": dict}, path, f"remove {folder} to begin again")
    slope: float = check_value("slope", said["hyperparameters"].get("slope", RegressionSettings.older["slope"]), Share)
    return slope


def _recorded(regression: FinishedRun) -> RegressionSettings:
    settings = regression.config["hyperparameters"]
    check_names(RegressionSettings, settings, str(regression.folder))
    return RegressionSettings(**settings)


def _has_regression(run: FinishedRun) -> bool:
    return (run.folder / REGRESSION / RESULT).exists()


def fit_control(
    run: FinishedRun,
    settings: RegressionSettings | None = None,
    *,
    device: str = "auto",
    generator: Generator | None = None,
    source: ImageDataset | None = None,
) -> FinishedRun:
    """Make the run's control, in the folder ``control`` inside the run's.

    Args:
        run: a finished run that yields directions or an encoder.
        settings: how to train the control's encoder, where it is one that reads random directions; by default
            :func:`budget_of` the run.
        device: where to train.
        generator: the run's generator, when it is a module of your own.
        source: the images the run learned from, when they are in no file.

    Returns:
        the control, as a run; a finished one is kept.

    Raises:
        ValueError: a run without a control (it says why), or a control of another configuration already there.
    """
    kind = control_kind(run)
    if run.config["method"] in (CONTROL, REGRESSION):
        raise ValueError(f"{run.folder} was made to score another run; name the folder it lies in, {run.folder.parent}")
    if kind is None:
        yields = ", ".join(run.result["artefacts"]) or "nothing"
        raise ValueError(
            f"{run.folder} has no control: {run.config['method']} yields {yields}, neither directions, which random "
            "ones could be compared with, nor an encoder, which could be compared with itself untrained"
        )
    if kind == "untrained":
        if settings is not None:
            raise ValueError(
                f"the control of {run.folder} is its encoder untrained, so there are no settings to train one with; "
                "leave them out"
            )
        return _fit_untrained(run, device, source)
    generator = generator or run.generator
    if kind == "regression":
        settings = settings or budget_of(run)
        directions = _random_directions(run, generator, settings.num_directions)
        return fit_regression(run, directions, CONTROL, settings, device=device, generator=generator)
    found = run.directions
    directions = _random_directions(run, generator, found.num_directions)
    directions = GlobalDirections.of(
        directions.vectors(),
        directions.scale,
        layers=found.layers,
        num_layers=found.num_layers,
        columns=found.columns,
    )
    inner = Run(run.folder / CONTROL, seed=run.config["seed"], device=device, resume=True)
    _finish(run, inner, {"num_directions": found.num_directions}, lambda: Artefacts(directions=directions))
    control = load_run(inner.folder, generator)
    if _has_regression(run):
        fit_regression(
            control, control.directions, REGRESSION, settings or budget_of(run), device=device, generator=generator
        )
    return control


def _random_directions(run: FinishedRun, generator: Generator, number: int) -> GlobalDirections:
    rng = torch.Generator().manual_seed(run.config["seed"])
    scale, columns = generator.latent_scale(), generator.edit_columns
    return GlobalDirections.random(generator.edit_dim, number, rng, scale=scale, columns=columns)


def _fit_untrained(run: FinishedRun, device: str, source: ImageDataset | None) -> FinishedRun:
    inner = StillRun(run.folder / CONTROL, seed=run.config["seed"], device=device, resume=True)

    def make() -> Artefacts:
        learned_from = source_of(run, source)
        if isinstance(learned_from, Generator):
            learned_from.to(inner.device).freeze()
        return untrained(run, inner, learned_from)

    _finish(run, inner, {"untrained": run.config["method"]}, make)
    return run.inside(CONTROL)


def fit_regression(
    run: FinishedRun,
    directions: Directions,
    name: str,
    settings: RegressionSettings | None = None,
    *,
    device: str = "auto",
    generator: Generator | None = None,
) -> FinishedRun:
    """Train an encoder that reads coordinates along ``directions``, into the folder ``name`` inside the run's.

    Args:
        run: the run whose generator and seed are used.
        directions: what the codes shall mean.
        name: ``control``, or ``regression`` for a run's own directions.
        settings: how to train the encoder.
        device: where to train.
        generator: the run's generator, when it is a module of your own.

    Returns:
        the encoder and its directions, as a run; a finished one is kept.

    Raises:
        ValueError: directions of another latent size, or another configuration already there.
    """
    chosen, frozen = settings or RegressionSettings(), generator or run.generator
    inner = Run(run.folder / name, seed=run.config["seed"], device=device, resume=True)

    def train() -> Artefacts:
        directions.requires_grad_(False)
        return Artefacts(encoder=regress_encoder(frozen.freeze(), directions, inner, chosen), directions=directions)

    _finish(run, inner, chosen.recorded(), train)
    return load_run(inner.folder, frozen)


def _finish(run: FinishedRun, inner: Run, settings: Mapping[str, Any], make: Callable[[], Artefacts]) -> None:
    """A run inside another's folder, on the same source, made unless it is finished."""
    with inner.claimed():
        withdrawal = Withdrawal(inner)
        inner.start(
            {
                "method": inner.folder.name,
                "hyperparameters": dict(settings),
                "source": run.config["source"],
                "command": command.recorded(),
            }
        )
        if not (inner.folder / RESULT).exists():
            begin = time.monotonic()
            with withdrawal:
                artefacts = make()
            inner.finish(artefacts, time.monotonic() - begin)
