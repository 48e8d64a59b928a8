"""The control beside a run: random directions and a regression encoder, with the run's generator and budget."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import torch

from contrafact.bench.evaluate import CONTROL
from contrafact.bench.regression import RegressionSettings, regress_encoder
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, FinishedRun, load_run
from contrafact.core.run import RESULT, Run
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
    method: Any = DisCo(**run.config["hyperparameters"]).resolved()
    if method.batching == "all_pairs":
        pairs = method.directions_per_step * method.samples_per_direction
    else:
        pairs = method.num_queries + method.num_positives + method.num_negatives
    # Every pair is two images.
    return RegressionSettings(steps=method.steps, batch_size=2 * pairs, width=method.encoder_width)


def fit_control(
    run: FinishedRun,
    settings: RegressionSettings | None = None,
    *,
    seed: int | None = None,
    device: str = "auto",
    generator: Generator | None = None,
) -> FinishedRun:
    """Train the run's control and write it to the folder ``control`` inside the run's; a finished one is kept.

    Args:
        run: a finished run on a generator.
        settings: how to train the encoder; by default :func:`budget_of` the run.
        seed: of directions and encoder; by default the run's.
        device: where to train.
        generator: the run's generator, when it is a module of your own.

    Returns:
        the control, as a run.

    Raises:
        ValueError: a method without a control, or another control already there.
    """
    settings = settings or budget_of(run)
    generator = generator or run.generator
    control = Run(run.folder / CONTROL, seed=run.config["seed"] if seed is None else seed, device=device, resume=True)
    control.start(
        {
            "method": "random",
            "hyperparameters": dataclasses.asdict(settings),
            "source": run.config["source"],
            "command": sys.argv,
        }
    )
    if not (control.folder / RESULT).exists():
        begin = time.monotonic()
        generator.to(control.device).freeze()
        with torch.no_grad():
            directions = GlobalDirections.random(
                generator.latent_dim,
                settings.num_directions,
                control.rng("directions", shared=True),
                scale=generator.latent_scale(),
            )
        encoder = regress_encoder(generator, directions, control, settings)
        control.finish(
            Artefacts(encoder=encoder, directions=directions.requires_grad_(False)), time.monotonic() - begin
        )
    return load_run(control.folder, generator)
