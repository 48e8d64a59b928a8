"""An encoder for inversion: images to the latents they come from, trained on what the generator makes."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch

from contrafact.core import command, hub
from contrafact.core.artefact import fingerprint, load_artefact
from contrafact.core.directions import GlobalDirections
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, load_run
from contrafact.core.run import RESULT, Run
from contrafact.evaluation.regression import RegressionSettings, regress_encoder


def fit_latent_encoder(generator: Generator, run: Run | str | Path, settings: RegressionSettings) -> Encoder:
    """Train an encoder whose codes are the generator's latents, in standard deviations from their mean.

    Args:
        generator: frozen.
        run: folder for the encoder, or a :class:`Run`; a finished one of the same settings is kept.
        settings: how to train it; ``num_directions`` is taken to be the latent's size.

    Returns:
        The encoder, in evaluation mode; the same is in the folder.

    Raises:
        ValueError: the folder holds another run, or a setting is out of range.
    """
    if generator.edit_columns is not None:
        raise ValueError(
            f"an encoder reads a latent that edits move as a whole, and this {type(generator).__name__} is edited in a "
            f"part of it ({generator.space}); leave out train_encoder"
        )
    settings = dataclasses.replace(settings, num_directions=generator.latent_dim)
    run = run if isinstance(run, Run) else Run(run, resume=True)
    source = {
        "kind": "generator",
        "name": command.without_home(generator.name),
        "weights": fingerprint(generator),
        "image_shape": list(generator.image_shape),
    }
    with run.claimed():
        run.start(
            {
                "method": "latent encoder",
                "hyperparameters": dataclasses.asdict(settings),
                "source": source,
                "command": command.recorded(),
            }
        )
        if not (run.folder / RESULT).exists():
            begin = time.monotonic()
            axes = GlobalDirections.of(torch.eye(generator.latent_dim), generator.latent_scale()).requires_grad_(False)
            encoder = regress_encoder(generator, axes, run, settings)
            run.finish(Artefacts(encoder=encoder), time.monotonic() - begin)
        return load_run(run.folder).encoder


def load_encoder(source: str | Path) -> Encoder:
    """The encoder of a run folder, or of an ``encoder.safetensors``.

    Raises:
        ValueError: no such file or folder, or one without an encoder.
    """
    path = hub.local(source, "encoder")
    if path.is_dir():
        return load_run(path).encoder
    return load_artefact(path, Encoder).requires_grad_(False)
