"""Encoders beside a run: its control's (random directions, same generator and budget), or one for its directions."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch

from contrafact.core import command
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, FinishedRun, load_run
from contrafact.core.run import RESULT, Run
from contrafact.core.withdrawal import Withdrawal
from contrafact.evaluation.regression import RegressionSettings, regress_encoder
from contrafact.evaluation.run import CONTROL
from contrafact.methods.disco import DisCo


def budget_of(run: FinishedRun) -> RegressionSettings:
    """Regression settings that cost what the run cost: as many steps, images encoded per step, and channels.

    Raises:
        ValueError: not a DisCo run: other methods train no encoder together with directions.
    """
    if run.config["method"] != DisCo.name():
        raise ValueError(
            f"a control is for runs that find directions and an encoder together; {run.config['method']} does not"
        )
    settings = run.config["hyperparameters"]
    # A mark stands where the run had an encoder of somebody's own; the control's is the usual one all the same.
    method: Any = DisCo.of(**{n: v for n, v in settings.items() if not isinstance(v, dict)}).resolved()
    return RegressionSettings(steps=method.steps, batch_size=method.edits.images_per_step(), width=method.encoder_width)


def fit_control(
    run: FinishedRun,
    settings: RegressionSettings | None = None,
    *,
    device: str = "auto",
    generator: Generator | None = None,
) -> FinishedRun:
    """Train the run's control (random directions, regression encoder) into the folder ``control`` inside the run's.

    Args:
        run: a finished run on a generator.
        settings: how to train the encoder; by default :func:`budget_of` the run.
        device: where to train.
        generator: the run's generator, when it is a module of your own.

    Returns:
        the control, as a run; a finished one is kept.

    Raises:
        ValueError: a method without a control, or a control of another configuration already there.
    """
    settings = settings or budget_of(run)
    generator = generator or run.generator
    rng = torch.Generator().manual_seed(run.config["seed"])
    directions = GlobalDirections.random(
        generator.latent_dim, settings.num_directions, rng, scale=generator.latent_scale()
    )
    return fit_regression(run, directions, CONTROL, settings, device=device, generator=generator)


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
    settings, generator = settings or RegressionSettings(), generator or run.generator
    inner = Run(run.folder / name, seed=run.config["seed"], device=device, resume=True)
    with inner.claimed():
        withdrawal = Withdrawal(inner)
        inner.start(
            {
                "method": name,
                "hyperparameters": dataclasses.asdict(settings),
                "source": run.config["source"],
                "command": command.recorded(),
            }
        )
        if not (inner.folder / RESULT).exists():
            begin = time.monotonic()
            directions.requires_grad_(False)
            with withdrawal:
                encoder = regress_encoder(generator.freeze(), directions, inner, settings)
            inner.finish(Artefacts(encoder=encoder, directions=directions), time.monotonic() - begin)
        return load_run(inner.folder, generator)
