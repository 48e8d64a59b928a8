"""What predictors see when directions are walked: the shared part of MDS and rescoring.

Shape suffixes: N latents, L latent dimensions, D directions, A attributes, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions
from contrafact.core.generator import Generator
from contrafact.core.metric import as_array
from contrafact.nn.features import run

Predictor = Callable[[Tensor], Any]
Array = npt.NDArray[Any]


def start_latents(generator: Generator, directions: Directions, latents: Tensor | None, n: int, seed: int) -> Tensor:
    """The given latents ``(N, L)``, or ``n`` drawn by the seed.

    Raises:
        ValueError: directions of another latent size than the generator's, or fewer than one latent.
    """
    if directions.latent_dim != generator.edit_dim:
        raise ValueError(
            f"the directions live in {directions.latent_dim} latent dimensions but the generator in "
            f"{generator.edit_dim}; use them with the generator they were found on"
        )
    if latents is not None:
        if not len(latents):
            raise ValueError("latents must hold at least one row")
        return generator.check_latent(latents)
    return generator.sample(check_count("num_latents", n), torch.Generator().manual_seed(seed))


def best_directions(attributes: Sequence[str], best: Sequence[int] | Array) -> list[str]:
    """One line that names the best direction for each attribute; none where the attributes have no names."""
    named = [f"{name} {number}" for name, number in zip(attributes, best, strict=bool(attributes))]
    return [f"best directions: {', '.join(named)}"] if named else []


def check_names(attributes: Sequence[str], number: int) -> tuple[str, ...]:
    """The names of a predictor's attributes, if there are none or as many as it returns (else ValueError)."""
    if attributes and len(attributes) != number:
        raise ValueError(f"{len(attributes)} attributes named, but the predictor returns {number}: {list(attributes)}")
    return tuple(attributes)


def scores_by_name(attributes: Sequence[str], per_attribute: Array | None) -> dict[str, float]:
    """Each attribute's score by its name, where names are known."""
    return {} if per_attribute is None else dict(zip(attributes, per_attribute.tolist(), strict=False))


def answers_to(predictor: Predictor, images: Tensor, may_miss: bool = False) -> Array:
    """The predictor's answers ``(n, A)`` to images, as pictures show them: an edit may leave [0, 1] by far.

    They are nan of those it cannot judge, where it ``may_miss`` some.

    Raises:
        ValueError: not one row of finite numbers per image.
    """
    answers = as_array(run(predictor, images.clamp(0, 1)))
    answers = answers[:, None] if answers.ndim == 1 else answers
    if answers.ndim != 2 or len(answers) != len(images):
        raise ValueError(
            f"the predictor got {len(images)} images and returned an array of shape {answers.shape}; "
            f"expected one row of attributes per image, ({len(images)}, A)"
        )
    if not (np.isfinite(answers) | (np.isnan(answers) if may_miss else False)).all():
        advice = "" if may_miss else "; of these metrics only matched_rescoring takes nan for an image not judged"
        raise ValueError(f"the predictor returned values that are not finite{advice}")
    return answers


def predict(
    generator: Generator, predictor: Predictor, latents: Tensor, batch_size: int, may_miss: bool = False
) -> Array:
    """The predictor's answers ``(N, A)`` to the images of latents, as :func:`answers_to`.

    Raises:
        ValueError: not one row of finite numbers per image.
    """
    parts = []
    with torch.no_grad():
        for batch in latents.split(check_count("batch_size", batch_size)):
            parts.append(answers_to(predictor, generator(batch), may_miss))
    return np.concatenate(parts)


def predict_shifted(
    generator: Generator,
    directions: Directions,
    predictor: Predictor,
    latents: Tensor,
    magnitudes: npt.NDArray[np.float64],
    batch_size: int,
) -> Array:
    """Answers ``(D, S, N, A)`` after moving every latent along every direction by every magnitude."""
    n = len(latents)
    answers = []
    with torch.no_grad():
        for d in range(directions.num_directions):  # one direction's sweep at a time bounds memory
            steps = torch.as_tensor(magnitudes, dtype=latents.dtype, device=latents.device).repeat_interleave(n)
            copies = latents.repeat(len(magnitudes), *([1] * (latents.ndim - 1)))
            index = torch.full((len(copies),), d, device=latents.device)
            moved = directions(copies, index, steps)
            rows = predict(generator, predictor, moved, batch_size)
            answers.append(rows.reshape(len(magnitudes), n, -1))
    return np.stack(answers)
