"""What the stages of latent optimisation share: which images are trained on, what is known of them, a prior at the end.

Shape suffixes: N images of a batch, M annotated images, F factors, L latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from contrafact.core.annotations import UNKNOWN
from contrafact.core.dataset import FewLabels, ImageDataset, IntArray, check_count
from contrafact.core.run import Run
from contrafact.losses.assignment import assignment_entropy, classification_loss
from contrafact.losses.reconstruction import Distance
from contrafact.nn.factor_codes import SPREAD, AssignedEncoder, FactorEncoder, embedded
from contrafact.training.latent_table import LatentTable

PRIOR_IMAGES = 4_000
LARGE = 2**29
"""Bytes of rows and moments from which on a table lies in a file, where it would be in the computer's own memory."""
_BATCH = 500

ValueCodes = Literal["learned", "spaced"]


class Annotations(NamedTuple):
    """What is known of a batch's images.

    Attributes:
        values_NF: factors' values ``(N, F)``, −1 where unknown.
        shares_NF: how far each is from its value to the next, where a factor is continuous; else None.
    """

    values_NF: Tensor
    shares_NF: Tensor | None

    @property
    def known_NF(self) -> Tensor:
        """Which factors of which images are known."""
        return self.values_NF != UNKNOWN

    @property
    def filled(self) -> Tensor:
        """The values, 0 where unknown: something to look up."""
        return self.values_NF.clamp_min(0)


class TrainingImages:
    """Some images of a dataset, the annotated ones first; places count within them.

    Each of several processes has images of its own, since their latents are its own.

    Args:
        dataset: where the images come from.
        labels: what is known of a few of them.
        number: how many to train on.
        run: supplies the choice and this process's share.
    """

    def __init__(self, dataset: ImageDataset, labels: FewLabels, number: int, run: Run) -> None:
        number = min(check_count("num_images", number), len(dataset))
        self.dataset, self.labels, self._shares_MF = dataset, labels, labels.shares
        rng = run.numpy_rng("training images", shared=True)
        others = np.setdiff1d(rng.choice(len(dataset), number, replace=False), labels.indices)
        others = rng.permutation(others)[: max(0, number - len(labels))][run.rank :: run.world_size]
        self.indices: IntArray = np.concatenate([labels.indices, others]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, places: IntArray, run: Run) -> Tensor:
        """Images ``(N, C, H, W)`` on the run's device."""
        return self.dataset.batch(self.indices[places]).to(run.device)

    def annotations(self, places: IntArray, run: Run) -> Annotations:
        """What is known of each image."""
        annotated_N = places < len(self.labels)
        values_NF = np.full((len(places), len(self.labels.names)), UNKNOWN, dtype=np.int64)
        values_NF[annotated_N] = self.labels.values[places[annotated_N]]
        shares = None
        if self._shares_MF is not None:
            shares_NF = np.zeros(values_NF.shape, dtype=np.float32)
            shares_NF[annotated_N] = self._shares_MF[places[annotated_N]]
            shares = torch.from_numpy(shares_NF).to(run.device)
        return Annotations(torch.from_numpy(values_NF).to(run.device), shares)

    def codes(self, embeddings: ValueEmbeddings, places: IntArray, own_ND: Tensor, run: Run) -> Tensor:
        """Codes ``(N, D)``: the embedding of what is known of an image's factor, else its own."""
        known = self.annotations(places, run)
        made_NFE = embeddings(known.filled, known.shares_NF)
        return torch.where(known.known_NF[..., None], made_NFE, own_ND.reshape(made_NFE.shape)).flatten(1)

    def pick_annotated(self, rng: np.random.Generator, most: int) -> IntArray:
        """Places of annotated images: all of them, or ``most`` drawn without repetition."""
        count = len(self.labels)
        return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


class ValueEmbeddings(nn.Module):
    """A code for every value of every factor.

    Args:
        sizes: F numbers of values.
        dim: E, dimensions of a code.
    """

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter((2 * torch.rand(len(sizes), max(sizes), dim) - 1) * SPREAD)

    def forward(self, values_NF: Tensor, shares_NF: Tensor | None = None) -> Tensor:
        """Codes ``(N, F, E)`` of values ``(N, F)``, or of places between them and the next ones."""
        return embedded(self.weight, values_NF, shares_NF)


@dataclass(frozen=True)
class FewLabelWeights:
    """Weights of :func:`few_label_loss`; defaults are ZeroDIM's.

    Attributes:
        distance: of images from their targets.
        sigma: standard deviation of the noise on the residual.
        decay: of the residual's mean square.
        entropy: of the assignments' entropy; 0 leaves it out.
        classification: of the cross-entropy of annotated images, inside the supervised term.
        supervised: of the annotated images' terms against the others.
    """

    distance: Distance
    sigma: float
    decay: float
    entropy: float = 1e-3
    classification: float = 1e-3
    supervised: float = 10.0


def few_label_loss(
    encoder: AssignedEncoder,
    generator: nn.Module,
    images: TrainingImages,
    places: IntArray,
    annotated: IntArray,
    residual_NR: Tensor,
    noise: torch.Generator,
    weights: FewLabelWeights,
    run: Run,
) -> tuple[Tensor, dict[str, Tensor]]:
    """ZeroDIM's objective (Gabbay et al. 2021, Eqs 1–4) on a batch, and on annotated images beside it.

    Args:
        encoder: classifiers and value embeddings.
        generator: codes and residual ``(N, F·E + R)`` to images.
        images: where the images come from.
        places: of the batch.
        annotated: of the annotated images.
        residual_NR: residuals of both, in this order.
        noise: source of the residual's noise.
        weights: of the terms.
        run: device and precision.

    Returns:
        the loss, and what to log.
    """
    count, every = len(places), np.concatenate([places, annotated])
    pictures = images.batch(every, run)
    known = images.annotations(every, run)
    drawn = torch.randn(residual_NR.shape, generator=noise).to(run.device)
    with run.autocast():
        logits_NFV = encoder.logits(pictures)
        embedded_NFE = encoder.embed(known.filled, known.shares_NF)
        codes_NFE = torch.where(known.known_NF[..., None], embedded_NFE, encoder.assign(logits_NFV))
        made = generator(torch.cat([codes_NFE.flatten(1), residual_NR + weights.sigma * drawn], dim=1)).float()
    distance = weights.distance(made[:count], pictures[:count])
    decay, entropy = mean_square(residual_NR[:count]), assignment_entropy(logits_NFV[:count])
    loss = distance + weights.decay * decay + weights.entropy * entropy
    scalars = {"distance": distance, "decay": decay, "entropy": entropy}
    if len(annotated):
        shares_NF = None if known.shares_NF is None else known.shares_NF[count:]
        error = classification_loss(logits_NFV[count:], known.values_NF[count:], shares_NF)
        supervised = weights.distance(made[count:], pictures[count:])
        supervised = supervised + weights.decay * mean_square(residual_NR[count:])
        loss = loss + weights.supervised * (supervised + weights.classification * error)
        scalars["classification"] = error
    return loss, scalars


def start_values(encoder: AssignedEncoder, codes: ValueCodes, rate: float) -> float:
    """Place the value embeddings as ``codes`` says; returns their learning rate, for latents that learn at ``rate``.

    Values of one number each that learn as fast as the latents can end up in a folded order, wherever they start: hues
    from opposite sides of the circle then share a place.
    """
    if codes == "learned":
        return rate
    encoder.space_values(2.0)
    return 0.01 * rate


@torch.no_grad()
def assigned_codes(encoder: AssignedEncoder, images: TrainingImages, run: Run) -> Tensor:
    """Codes ``(N, F·E)`` of all training images, in their order: of the annotation where there is one."""
    codes = []
    for places in np.array_split(np.arange(len(images)), math.ceil(len(images) / 500)):
        known = images.annotations(places, run)
        with run.autocast():
            assigned = encoder.assign(encoder.logits(images.batch(places, run)))
        embedded_NFE = encoder.embed(known.filled, known.shares_NF)
        codes.append(torch.where(known.known_NF[..., None], embedded_NFE, assigned.float()).flatten(1))
    return torch.cat(codes)


def run_table(num_rows: int, dim: int, run: Run) -> LatentTable:
    """The run's latents; large ones in a file of the run folder that has no name any more: it ends with the process."""
    if run.device.type != "cpu" or 12 * num_rows * dim < LARGE:
        return LatentTable(num_rows, dim, run.rng("latents"), run.device)
    file = run.folder / f"latents-{run.rank}"
    table = LatentTable(num_rows, dim, run.rng("latents"), file=file)
    file.unlink()
    return table


def mean_square(numbers: Tensor) -> Tensor:
    """Mean of squares; 0 of nothing, which a residual of no dimensions is."""
    return numbers.square().sum() / max(1, numbers.numel())


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, run: Run) -> None:
    """One step of ``optimizer`` down ``loss``, with the mean gradient of all processes."""
    optimizer.zero_grad(set_to_none=True)
    run.backward(loss, (p for group in optimizer.param_groups for p in group["params"]))
    optimizer.step()


@torch.no_grad()
def fit_prior(generator: Any, encoder: FactorEncoder, images: TrainingImages, run: Run) -> dict[str, Any]:
    """Give the generator the distribution of the encoder's latents to draw from; returns a note on its quality."""
    encoder.eval()
    places = run.numpy_rng("prior", shared=True).permutation(len(images))[:PRIOR_IMAGES]
    latents, errors = [], []
    for start in range(0, len(places), _BATCH):
        pictures = images.batch(places[start : start + _BATCH], run)
        latents.append(encoder.latent(pictures))
        errors.append((generator(latents[-1]) - pictures).square().mean())
    generator.fit_prior(torch.cat(latents))
    return {"mse": round(float(torch.stack(errors).mean()), 5)}
